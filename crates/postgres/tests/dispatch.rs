//! Commands from several nodes and processes: what each is answered, and what is stored.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod common;
mod wire;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use common::Schemas;
use futures::future::{join, join_all};
use ordain::store::{Deletion, ReadAll, ReadStream};
use ordain::{
    App, EventId, EventStore, ExpectedVersion, RecordedEvent, Snapshot, StoreError, StreamId,
};
use ordain_postgres::{Payload, PostgresStore};
use ordain_testkit::nodes::{self, Account, Overdrawn, deposit, key, two_nodes, withdraw};
use ordain_testkit::postgres::Database;
use tokio::sync::watch;
use wire::{Proxy, options, stream, within};

const SOON: Duration = Duration::from_secs(60);

fn schemas() -> Schemas {
    Schemas::new(Payload::Json)
}

async fn close_all(nodes: [(PostgresStore, App); 2]) {
    for node in nodes {
        nodes::close(node).await;
    }
}

/// The events of the log, whose versions are dense in each stream.
async fn sound_log(store: &PostgresStore) -> Vec<RecordedEvent> {
    let log = store.read_all(ReadAll::forward().limit(100_000)).await;
    let log = log.unwrap().events;
    let mut places = HashSet::new();
    assert!(log.iter().all(|event| places.insert(event.event_id)));
    log
}

async fn types(store: &PostgresStore, name: &str) -> Vec<String> {
    let page = store.read_stream(ReadStream::forward(stream(name))).await;
    let events = page.unwrap().events;
    events
        .iter()
        .map(|event| event.event_type.to_string())
        .collect()
}

fn snapshot(stream: &StreamId, version: u64, entry: EventId) -> Snapshot {
    Snapshot {
        stream: stream.clone(),
        version: version.into(),
        entry,
        schema_version: 1,
        data: format!("{{\"balance\":{version}}}").into(),
        taken_at: std::time::SystemTime::UNIX_EPOCH.into(),
    }
}

#[tokio::test]
async fn answers_outlive_a_restart() {
    nodes::answers_outlive_a_restart(&schemas()).await;
}

#[tokio::test]
async fn two_nodes_on_one_aggregate_stay_correct() {
    nodes::two_nodes_on_one_aggregate_stay_correct(&schemas()).await;
}

#[tokio::test]
async fn two_nodes_behind_a_pooler_stay_correct() {
    nodes::two_nodes_on_one_aggregate_stay_correct(&Schemas::pooled()).await;
}

#[tokio::test]
async fn a_burst_on_one_aggregate_keeps_its_order() {
    nodes::a_burst_on_one_aggregate_keeps_its_order(&schemas()).await;
}

/// Not a test: what the child processes do.
#[tokio::test]
async fn child() {
    if let Some(place) = nodes::place_of_child() {
        let options = PostgresStore::options().url(&place);
        nodes::child(options.connect().await.unwrap()).await;
    }
}

/// The payload of a command has a map, whose keys every process writes in an order of its own.
#[tokio::test]
async fn one_id_has_one_effect_and_one_answer_in_all_processes() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let place = database.url();
    nodes::one_id_has_one_effect_and_one_answer_in_all_processes(store, &place).await;
}

#[tokio::test]
async fn after_an_acknowledged_deposit_a_stale_node_does_not_refuse() {
    let nodes = two_nodes(&schemas()).await;
    let [(_, one), (_, stale)] = &nodes;
    for round in 0..40 {
        // Its state is that before the deposit.
        let refused = stale.dispatch(withdraw(1, 1)).await.unwrap_err();
        assert_eq!(refused.rejection(), Some(&Overdrawn { balance: 0 }));
        one.dispatch(deposit(1, 1)).await.unwrap();
        let receipt = stale.dispatch(withdraw(1, 1)).await.unwrap();
        assert_eq!(receipt.version, 2 * round + 2);
    }
    close_all(nodes).await;
}

/// The deposit of the first node is stored, its answer withheld, and a second command is decided on it.
/// Meanwhile the other node takes what was brought.
#[tokio::test]
async fn a_slow_acknowledgement_crosses_a_foreign_append() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let slow = proxy.options(&database).connect().await.unwrap();
    let other = options(&database).connect().await.unwrap();
    let (slow_app, other_app) = (nodes::start(&slow).await, nodes::start(&other).await);
    slow_app.dispatch(deposit(1, 1)).await.unwrap();
    slow_app.dispatch(withdraw(1, 1)).await.unwrap();

    let held = proxy.withhold_answers();
    let first = tokio::spawn({
        let app = slow_app.clone();
        async move { app.dispatch(deposit(1, 10)).await }
    });
    wire::until("the deposit is stored", || async {
        wire::head(&other).await == 3
    })
    .await;
    let second = tokio::spawn({
        let app = slow_app.clone();
        async move { app.dispatch(withdraw(1, 10)).await }
    });
    let foreign = within(
        "the foreign append",
        SOON,
        other_app.dispatch(withdraw(1, 10)),
    )
    .await;
    assert_eq!(foreign.unwrap().version, 4);
    held.pass_on();
    let first = within("the deposit", SOON, first).await.unwrap();
    assert_eq!(first.unwrap().version, 3);
    let second = within("the withdrawal", SOON, second).await.unwrap();
    let second = second.unwrap_err();
    assert_eq!(second.rejection(), Some(&Overdrawn { balance: 0 }));
    assert_eq!(wire::head(&other).await, 4);
    close_all([(slow, slow_app), (other, other_app)]).await;
}

/// The one node has no deposit yet when it gets the withdrawal, the other gets the deposit before.
#[tokio::test]
async fn an_id_refused_on_one_node_and_accepted_on_another_at_once_has_one_answer() {
    const ACCOUNTS: u32 = 60;
    let nodes = two_nodes(&schemas()).await;
    let [(store, refusing), (_, accepting)] = &nodes;
    let race = |account: u32| async move {
        // Each begins after some requests to the server, now the one earlier and now the other.
        let refused = async {
            for _ in 0..account % 8 {
                refusing
                    .load::<Account>(&(account + 1_000))
                    .await
                    .unwrap_err();
            }
            let withdrawal = refusing.dispatch(withdraw(account, 10));
            withdrawal.command_id(key(account)).await
        };
        let accepted = async {
            for _ in 0..2 {
                accepting
                    .load::<Account>(&(account + 2_000))
                    .await
                    .unwrap_err();
            }
            let deposit = accepting.dispatch(deposit(account, 10));
            let withdrawal = accepting.dispatch(withdraw(account, 10));
            join(deposit, withdrawal.command_id(key(account))).await.1
        };
        let (refused, accepted) = join(refused, accepted).await;
        for answer in [&refused, &accepted] {
            assert!(answer.is_ok() || answer.as_ref().unwrap_err().is_rejected());
        }
        assert_eq!(refused.is_ok(), accepted.is_ok(), "account {account}");
        (account, accepted.is_ok())
    };
    let answers = within("the races", SOON, join_all((0..ACCOUNTS).map(race))).await;
    for (account, accepted) in &answers {
        let stored = types(store, &format!("account-{account}")).await;
        assert_eq!(stored.len(), 1 + usize::from(*accepted), "{stored:?}");
    }
    let accepted = answers.iter().filter(|(_, accepted)| *accepted).count();
    println!("accepted {accepted} of {ACCOUNTS}");
    close_all(nodes).await;
}

/// Streams are deleted and opened again while both nodes append on warm states and old snapshots come in.
#[tokio::test]
async fn deleting_and_opening_again_races_cached_appends_and_late_snapshots() {
    let nodes = two_nodes(&schemas()).await;
    let [(store, _), (other, _)] = &nodes;
    let name = stream("account-1");
    let first = nodes[0].1.dispatch(deposit(1, 1)).await.unwrap();
    assert_eq!(first.version, 1);
    let entry = store.stream_head(&name).await.unwrap().entry.unwrap();
    // How many deposits are stored, and whether these are all.
    let (progress, mut seen) = watch::channel((0, false));
    let deposits = join_all(nodes.iter().map(|(_, app)| async {
        for _ in 0..40 {
            while app.dispatch(deposit(1, 1)).retries(1_000).await.is_err() {}
            progress.send_modify(|(stored, _)| *stored += 1);
        }
    }));
    let deposits = async {
        deposits.await;
        progress.send_modify(|(_, done)| *done = true);
    };
    let deletions = async {
        let mut deletions = 0;
        loop {
            let before = seen.borrow().0;
            let moved = seen.wait_for(|(stored, done)| *done || *stored > before);
            if moved.await.unwrap().1 {
                return deletions;
            }
            store
                .delete_stream(&name, ExpectedVersion::Any, Deletion::Soft)
                .await
                .unwrap();
            let late = snapshot(&name, 1, entry);
            other.record_snapshot(late).await.unwrap();
            other.undelete_stream(&name).await.unwrap();
            deletions += 1;
        }
    };
    let ((), deletions) = within("the race", SOON, join(deposits, deletions)).await;
    let stored = 80;
    for (_, app) in &nodes {
        let account = app.load::<Account>(&1).await.unwrap();
        assert_eq!(account.balance, stored + 1);
    }
    let log = sound_log(store).await;
    assert_eq!(log.len() as u64, stored + 1);
    // Every deletion takes a version and a position of its own.
    let head = store.stream_head(&name).await.unwrap();
    assert_eq!(head.version, stored + 1 + deletions);
    assert_eq!(store.head().await.unwrap(), stored + 1 + deletions);
    println!("{stored} deposits, {deletions} deletions");
    close_all(nodes).await;
}

/// Both nodes know states of streams that are erased while they append.
#[tokio::test]
async fn warm_nodes_write_nothing_to_an_erased_stream() {
    const ACCOUNTS: u32 = 12;
    let nodes = two_nodes(&schemas()).await;
    let [(store, one), (other, _)] = &nodes;
    for account in 0..ACCOUNTS {
        for (_, app) in &nodes {
            app.dispatch(deposit(account, 1)).await.unwrap();
        }
    }
    let deposits = nodes.iter().flat_map(|(_, app)| {
        (0..ACCOUNTS).map(move |account| async move {
            let mut stored = 0;
            for _ in 0..10 {
                stored += u64::from(
                    app.dispatch(deposit(account, 1))
                        .retries(1_000)
                        .await
                        .is_ok(),
                );
            }
            (account, stored)
        })
    });
    // Every other account.
    let erased: Vec<_> = (0..ACCOUNTS).step_by(2).collect();
    let names: Vec<_> = erased
        .iter()
        .map(|account| stream(&format!("account-{account}")))
        .collect();
    let erasures = join_all(
        names
            .iter()
            .map(|name| other.delete_stream(name, ExpectedVersion::Any, Deletion::Hard)),
    );
    let all = join(join_all(deposits), erasures);
    let (stored, erasures) = within("the race", SOON, all).await;
    for erased in erasures {
        erased.unwrap();
    }
    let mut balances: HashMap<u32, u64> = HashMap::new();
    for (account, stored) in stored {
        *balances.entry(account).or_insert(2) += stored;
    }
    for (account, balance) in balances {
        let is_erased = erased.contains(&account);
        for (_, app) in &nodes {
            let deposit = app.dispatch(deposit(account, 1)).await;
            assert_eq!(deposit.is_err(), is_erased, "{deposit:?}");
        }
        if !is_erased {
            let loaded = one.load::<Account>(&account).await.unwrap();
            assert_eq!(loaded.balance, balance + 2);
        }
    }
    for name in &names {
        let late = snapshot(name, 2, EventId::new());
        store.record_snapshot(late).await.unwrap();
        assert!(matches!(
            store.read_snapshot(name).await,
            Err(StoreError::SnapshotNotFound { .. })
        ));
        assert!(store.stream_head(name).await.unwrap().deleted);
    }
    let log = sound_log(store).await;
    assert!(log.iter().all(|event| !names.contains(&event.stream)));
    close_all(nodes).await;
}
