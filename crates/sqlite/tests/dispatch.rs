//! Commands on an SQLite file: across restarts, and from several processes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command as Process, Stdio};

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use ordain::prelude::*;
use ordain::store::{EventStoreExt, ReadAll};
use ordain::{App, CommandId, EventStore, RecordedEvent};
use ordain_sqlite::SqliteStore;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const FILE: &str = "ORDAIN_TEST_FILE";
const SEED: &str = "ORDAIN_TEST_SEED";

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Deposited {
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Withdrawn {
    amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Deposit {
    #[command(id)]
    account: u32,
    amount: u64,
    /// Where the order of keys changes from process to process.
    notes: HashMap<String, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Withdraw {
    #[command(id)]
    account: u32,
    amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the balance is {balance}")]
struct Overdrawn {
    balance: u64,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    commands(Deposit, Withdraw),
    events(Deposited, Withdrawn),
    error = Overdrawn,
    snapshot(every = 10)
)]
struct Account {
    balance: u64,
}

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let amount = command.amount;
        Ok(Deposited { amount }.into())
    }
}

impl Execute<Withdraw> for Account {
    fn execute(&self, command: &Withdraw) -> Decision<Self> {
        let (amount, balance) = (command.amount, self.balance);
        if amount > balance {
            return Err(Overdrawn { balance });
        }
        Ok(Withdrawn { amount }.into())
    }
}

impl Apply<Deposited> for Account {
    fn apply(&mut self, event: &Deposited) {
        self.balance += event.amount;
    }
}

impl Apply<Withdrawn> for Account {
    fn apply(&mut self, event: &Withdrawn) {
        self.balance -= event.amount;
    }
}

fn deposit(account: u32, amount: u64) -> Deposit {
    let notes = (0..20).map(|n| (format!("note {n}"), n)).collect();
    Deposit {
        account,
        amount,
        notes,
    }
}

fn withdraw(account: u32, amount: u64) -> Withdraw {
    Withdraw { account, amount }
}

async fn open(path: &Path) -> (SqliteStore, App) {
    let options = SqliteStore::options().path(path);
    let store = options
        .busy_timeout(std::time::Duration::from_secs(60))
        .open()
        .await
        .unwrap();
    let app = App::builder(store.clone())
        .aggregate::<Account>()
        .start()
        .await
        .unwrap();
    (store, app)
}

async fn close((store, app): (SqliteStore, App)) {
    app.shutdown().await.unwrap();
    store.close().await;
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("accounts.db");
    (folder, path)
}

fn key(text: impl ToString) -> CommandId {
    CommandId::from_key(Uuid::nil(), &text.to_string())
}

#[tokio::test]
async fn answers_outlive_a_restart() {
    let (_folder, path) = folder();
    let ids = [key("deposit"), key("refused")];
    let mut versions = Vec::new();
    for round in 0..3 {
        let opened = open(&path).await;
        let app = &opened.1;
        let refused = app
            .dispatch(withdraw(1, 50))
            .command_id(ids[1])
            .await
            .unwrap_err();
        assert_eq!(refused.rejection(), Some(&Overdrawn { balance: 0 }));
        let receipt = app
            .dispatch(deposit(1, 100))
            .command_id(ids[0])
            .await
            .unwrap();
        assert_eq!(receipt.repeated, round > 0);
        versions.push((receipt.version, receipt.position));
        let loaded = app.load::<Account>(&1).await.unwrap();
        assert_eq!(loaded.balance, 100);
        close(opened).await;
    }
    assert!(versions.iter().all(|version| *version == versions[0]));
}

#[tokio::test]
async fn two_nodes_on_one_aggregate_stay_correct() {
    let (_folder, path) = folder();
    let nodes = [open(&path).await, open(&path).await];
    nodes[0].1.dispatch(deposit(1, 5)).await.unwrap();
    let dispatches = (0..100).map(|n| {
        let app = nodes[n % 2].1.clone();
        tokio::spawn(async move {
            app.dispatch(deposit(1, 2)).retries(1_000).await.unwrap();
            app.dispatch(withdraw(1, 1)).retries(1_000).await.unwrap();
        })
    });
    for done in join_all(dispatches).await {
        done.unwrap();
    }
    for (_, app) in &nodes {
        assert_eq!(app.load::<Account>(&1).await.unwrap().balance, 105);
    }
    // An acknowledged deposit is seen by the other node's next refusal.
    assert!(nodes[1].1.dispatch(withdraw(1, 106)).await.is_err());
    nodes[0].1.dispatch(deposit(1, 1)).await.unwrap();
    nodes[1].1.dispatch(withdraw(1, 106)).await.unwrap();
    for node in nodes {
        close(node).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_queue_holds_up_nobody_for_good() {
    let (_folder, path) = folder();
    let options = SqliteStore::options().path(&path).queue_len(2);
    let store = options.open().await.unwrap();
    let app = App::builder(store.clone())
        .aggregate::<Account>()
        .start()
        .await
        .unwrap();
    let all = (0..20).map(|account| {
        let app = app.clone();
        tokio::spawn(async move {
            let first = app.dispatch(deposit(account, 1));
            let refused = app
                .dispatch(withdraw(account, 1_000))
                .command_id(key(account));
            let deposits = join_all((0..60).map(|_| app.dispatch(deposit(account, 1))));
            let (first, refused, deposits) = tokio::join!(first, refused, deposits);
            first.unwrap();
            assert!(refused.unwrap_err().is_rejected());
            deposits
                .into_iter()
                .for_each(|receipt| drop(receipt.unwrap()));
        })
    });
    let all = tokio::time::timeout(std::time::Duration::from_secs(60), join_all(all)).await;
    all.unwrap().into_iter().for_each(|done| done.unwrap());
    close((store, app)).await;
}

#[tokio::test]
async fn a_burst_on_one_aggregate_keeps_its_order() {
    let (_folder, path) = folder();
    let opened = open(&path).await;
    let burst = join_all((0..400).map(|_| opened.1.dispatch(deposit(1, 1)).retries(0))).await;
    let versions: Vec<_> = burst
        .into_iter()
        .map(|done| done.unwrap().version.get())
        .collect();
    assert_eq!(versions, (1..=400).collect::<Vec<_>>());
    close(opened).await;
}

/// Every process sends the same commands under the same ids, in an order of its own.
async fn send_all(app: &App, seed: u64) -> Vec<(u64, bool)> {
    let mut numbers: Vec<u64> = (0..200).collect();
    let mut random = seed;
    for index in (1..numbers.len()).rev() {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        numbers.swap(index, (random >> 33) as usize % (index + 1));
    }
    let answers = stream::iter(numbers).map(|number| async move {
        let account = (number % 5) as u32;
        let accepted = match number % 3 {
            0 => app
                .dispatch(withdraw(account, 30))
                .command_id(key(number))
                .retries(1_000)
                .await
                .map(drop),
            _ => app
                .dispatch(deposit(account, 10))
                .command_id(key(number))
                .retries(1_000)
                .await
                .map(drop),
        };
        if let Err(error) = &accepted {
            assert!(error.is_rejected(), "{error}");
        }
        (number, accepted.is_ok())
    });
    answers.buffer_unordered(16).collect().await
}

/// Not a test: what the child processes do.
#[tokio::test]
async fn child() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let seed = std::env::var(SEED).unwrap().parse().unwrap();
    let opened = open(Path::new(&file)).await;
    println!();
    for (number, accepted) in send_all(&opened.1, seed).await {
        println!("answer {number} {accepted}");
    }
    close(opened).await;
}

fn start_child(path: &Path, seed: u64) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FILE, path)
        .env(SEED, seed.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

fn answers_of(child: Child) -> HashMap<u64, bool> {
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let answers = text.lines().filter_map(|line| line.strip_prefix("answer "));
    let answers = answers.filter_map(|answer| answer.split_once(' '));
    answers
        .map(|(number, accepted)| (number.parse().unwrap(), accepted == "true"))
        .collect()
}

#[tokio::test]
async fn one_id_has_one_effect_and_one_answer_in_all_processes() {
    let (_folder, path) = folder();
    close(open(&path).await).await;
    let mut children: Vec<_> = (1..=3).map(|seed| start_child(&path, seed)).collect();
    // The last one is cut down on its way.
    let mut killed = children.pop().unwrap();
    let opened = open(&path).await;
    while opened.0.head().await.unwrap() < 20.into() {
        tokio::task::yield_now().await;
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    // Not on this thread: the store's writer runs on it, and may be in the middle of a transaction.
    let answers = children
        .into_iter()
        .map(|child| tokio::task::spawn_blocking(|| answers_of(child)));
    let answers: Vec<_> = join_all(answers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    let own: HashMap<_, _> = send_all(&opened.1, 9).await.into_iter().collect();
    assert_eq!(own.len(), 200);
    assert!(answers.iter().all(|answers| *answers == own));

    let log: Vec<RecordedEvent> = opened
        .0
        .stream_all(ReadAll::forward())
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        log.len(),
        own.values().filter(|accepted| **accepted).count()
    );
    let positions = log.iter().map(|event| event.position.get());
    assert!(positions.eq(1..=log.len() as u64));
    close(opened).await;
}
