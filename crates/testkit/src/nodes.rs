//! Commands on one store from several nodes: what tests of adapters share.
//!
//! The nodes are apps on handles of one store, or processes.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "it is a test, for the adapters of this workspace"
)]

use std::collections::HashMap;
use std::process::{Child, Command as Process, Stdio};

use futures::future::join_all;
use futures::{StreamExt, TryStreamExt, stream};
use ordain::prelude::*;
use ordain::store::{EventStoreExt, ReadAll, SubscriptionStore};
use ordain::{App, CommandId, EventStore, RecordedEvent};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::contract::StoreFixture;

const PLACE: &str = "ORDAIN_TEST_PLACE";
const SEED: &str = "ORDAIN_TEST_SEED";

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Deposited {
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Withdrawn {
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Deposit {
    #[command(id)]
    pub account: u32,
    pub amount: u64,
    /// Where the order of keys changes from process to process.
    pub notes: HashMap<String, u32>,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Withdraw {
    #[command(id)]
    pub account: u32,
    pub amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("the balance is {balance}")]
pub struct Overdrawn {
    pub balance: u64,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    commands(Deposit, Withdraw),
    events(Deposited, Withdrawn),
    error = Overdrawn,
    snapshot(every = 10)
)]
pub struct Account {
    pub balance: u64,
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

/// A deposit.
pub fn deposit(account: u32, amount: u64) -> Deposit {
    let notes = (0..20).map(|n| (format!("note {n}"), n)).collect();
    Deposit {
        account,
        amount,
        notes,
    }
}

/// A withdrawal.
pub fn withdraw(account: u32, amount: u64) -> Withdraw {
    Withdraw { account, amount }
}

pub fn key(text: impl ToString) -> CommandId {
    CommandId::from_key(Uuid::nil(), &text.to_string())
}

/// A node on a store.
pub async fn start<S: SubscriptionStore + Clone>(store: &S) -> App {
    let builder = App::builder(store.clone()).aggregate::<Account>();
    builder.start().await.expect("the app starts")
}

/// Two nodes, each with a handle of its own.
pub async fn two_nodes<F: StoreFixture>(fixture: &F) -> [(F::Store, App); 2]
where
    F::Store: SubscriptionStore + Clone,
{
    let store = fixture.open().await;
    let other = fixture.open_another_handle(&store).await;
    let other = other.expect("the store can be opened twice");
    let apps = [start(&store).await, start(&other).await];
    let [app, other_app] = apps;
    [(store, app), (other, other_app)]
}

pub async fn close<S: EventStore>((store, app): (S, App)) {
    app.shutdown().await.expect("the app ends");
    store.close().await;
}

pub async fn answers_outlive_a_restart<F: StoreFixture>(fixture: &F)
where
    F::Store: SubscriptionStore + Clone,
{
    let mut store = fixture.open().await;
    let ids = [key("deposit"), key("refused")];
    let mut versions = Vec::new();
    for round in 0..3 {
        let app = &start(&store).await;
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
        app.shutdown().await.expect("the app ends");
        store = fixture
            .reopen(store)
            .await
            .expect("the data outlive the store");
    }
    store.close().await;
    assert!(versions.iter().all(|version| *version == versions[0]));
}

pub async fn two_nodes_on_one_aggregate_stay_correct<F: StoreFixture>(fixture: &F)
where
    F::Store: SubscriptionStore + Clone,
{
    let nodes = two_nodes(fixture).await;
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

pub async fn a_burst_on_one_aggregate_keeps_its_order<F: StoreFixture>(fixture: &F)
where
    F::Store: SubscriptionStore + Clone,
{
    let store = fixture.open().await;
    let app = start(&store).await;
    let opened = (store, app);
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

/// Where the store of a child process is, if this process is one.
pub fn place_of_child() -> Option<String> {
    std::env::var(PLACE).ok()
}

/// What the child processes do.
#[allow(clippy::print_stdout, reason = "the parent reads it")]
pub async fn child<S: SubscriptionStore + Clone>(store: S) {
    let seed = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let app = start(&store).await;
    println!();
    for (number, accepted) in send_all(&app, seed.unwrap_or(1)).await {
        println!("answer {number} {accepted}");
    }
    close((store, app)).await;
}

fn start_child(place: &str, seed: u64) -> Child {
    Process::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(PLACE, place)
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

/// Three processes and a node here send the same, one process is killed. The file of the test has one named
/// `child`, which is a [`child`] with a store at that place.
pub async fn one_id_has_one_effect_and_one_answer_in_all_processes<S: SubscriptionStore + Clone>(
    store: S,
    place: &str,
) {
    let mut children: Vec<_> = (1..=3).map(|seed| start_child(place, seed)).collect();
    // The last one is cut down on its way.
    let mut killed = children.pop().unwrap();
    let opened = (store.clone(), start(&store).await);
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
