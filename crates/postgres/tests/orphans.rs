//! Calls whose connection was lost: what may still come true, and what is told of it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::time::{Duration, Instant};

use ordain::store::{Append, Chain, CommandKey, Deletion, Repeat};
use ordain::{CommandId, EventStore, ExpectedVersion, NewEvent, StoreError};
use ordain_testkit::postgres::Database;
use wire::{
    OrderLock, Proxy, after, end_waiters, entries, event, head, number, one, options, stream,
    until, until_waiting, within,
};

const SOON: Duration = Duration::from_secs(20);

fn command(name: &str) -> CommandKey {
    CommandKey::new(CommandId::new(), stream(name))
}

/// What a process makes of a command: the id is the command's, the content the process's.
fn event_of(command: &CommandKey, number: u64) -> NewEvent {
    let mut event = event(number);
    event.event_id = command.first_event;
    event
}

#[tokio::test]
async fn an_append_waiting_for_the_lock_comes_true_after_its_connection_is_cut_and_counts_once() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let lock = OrderLock::take(&database).await;
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("a-1", 2)).await }
    });
    until_waiting(&database, 1).await;
    proxy.connections().cut();
    // The orphan, and the fence behind it.
    until_waiting(&database, 2).await;
    lock.release().await;
    let appended = within("the append", SOON, append).await.unwrap().unwrap();
    assert_eq!(
        (appended.first_position.get(), appended.versions[0].get()),
        (2, 2)
    );
    assert_eq!(head(&store).await, 2);
    assert_eq!(store.stats().fences, 1);
}

#[tokio::test]
async fn an_append_that_reaches_the_server_after_the_fence_writes_nothing() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let held = proxy.withhold_requests();
    let append = store.append(one("a-1", 2));
    let cut = async {
        held.until_something().await;
        held.cut();
    };
    let (appended, ()) = within("the append", SOON, futures::future::join(append, cut)).await;
    assert_eq!(appended.unwrap().versions[0].get(), 2);
    held.deliver().await;
    assert_eq!(
        number(&database, "SELECT count(*) FROM ordain.events").await,
        2
    );
}

#[tokio::test]
async fn after_an_unknown_outcome_the_stream_goes_on_and_the_orphan_writes_nothing() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let first = event(1);
    let id = first.event_id;
    store.append(after("a-1", 0, None, first)).await.unwrap();
    let held = proxy.withhold_requests();
    let deadline = Instant::now() + Duration::from_millis(500);
    let late = after("a-1", 1, Some(id), event(2)).with_deadline(Some(deadline));
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(late).await }
    });
    held.until_something().await;
    // The fence has to wait until the deadline is over.
    let lock = OrderLock::take(&database).await;
    held.cut();
    until_waiting(&database, 1).await;
    tokio::time::sleep_until(deadline.into()).await;
    end_waiters(&database).await;
    let outcome = within("the append", SOON, append).await.unwrap();
    assert!(
        matches!(outcome, Err(StoreError::OutcomeUnknown { .. })),
        "{outcome:?}"
    );
    lock.release().await;
    store
        .append(after("a-1", 1, Some(id), event(3)))
        .await
        .unwrap();
    held.deliver().await;
    assert_eq!(
        entries(&database, "a-1").await,
        [r#"{"n":1}"#, r#"{"n":3}"#]
    );
}

#[tokio::test]
async fn two_processes_that_fence_each_other_both_get_their_answers() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let one_store = proxy.options(&database).connect().await.unwrap();
    let other_store = proxy.options(&database).connect().await.unwrap();
    one_store.append(one("a-1", 1)).await.unwrap();
    other_store.append(one("b-1", 1)).await.unwrap();
    let lock = OrderLock::take(&database).await;
    let appends: Vec<_> = [(&one_store, "a-1"), (&other_store, "b-1")]
        .into_iter()
        .map(|(store, name)| {
            let store = store.clone();
            tokio::spawn(async move { store.append(one(name, 2)).await })
        })
        .collect();
    until_waiting(&database, 2).await;
    proxy.connections().cut();
    until_waiting(&database, 4).await;
    lock.release().await;
    for append in appends {
        let appended = within("the append", SOON, append).await.unwrap().unwrap();
        assert_eq!(appended.versions[0].get(), 2);
    }
    assert_eq!(
        number(&database, "SELECT count(*) FROM ordain.events").await,
        4
    );
    assert_eq!(
        number(&database, "SELECT generation FROM ordain.log_head").await,
        3
    );
}

/// The same command goes to two processes. The first loses its connection before the server has the
/// append; the other stores something else, and then the command.
#[tokio::test]
async fn the_events_of_another_process_are_not_taken_for_ones_own_after_a_lost_connection() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let other = options(&database).connect().await.unwrap();
    let first = event(1);
    let id = first.event_id;
    store.append(after("a-1", 0, None, first)).await.unwrap();
    let key = command("a-1");
    let held = proxy.withhold_requests();
    let append = after("a-1", 1, Some(id), event_of(&key, 10)).for_command(key.clone());
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(append).await }
    });
    held.until_something().await;
    other.append(one("a-1", 20)).await.unwrap();
    let repeated = Append::new(
        stream("a-1"),
        ExpectedVersion::exact(2),
        vec![event_of(&key, 21)],
    );
    other.append(repeated.for_command(key)).await.unwrap();
    held.cut();
    let answer = within("the append", SOON, append).await.unwrap();
    assert_eq!(
        entries(&database, "a-1").await,
        [r#"{"n":1}"#, r#"{"n":20}"#, r#"{"n":21}"#]
    );
    assert!(
        matches!(answer, Err(StoreError::Repeated(Repeat::Events(version))) if version == 3),
        "the event with n = 10 was never stored, and the answer is {answer:?}"
    );
}

/// As in ADR 0011, with a lost connection: the chained append's events are there, stored by another
/// process on another history, and its predecessor is a conflict.
#[tokio::test]
async fn an_append_is_not_accepted_by_equal_ids_if_its_predecessor_in_the_chain_failed() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let other = options(&database).connect().await.unwrap();
    let first = event(1);
    let id = first.event_id;
    store.append(after("a-1", 0, None, first)).await.unwrap();
    let key = command("a-1");
    let mut chain = Chain::new();
    let before = event(10);
    let before_id = before.event_id;
    let before = after("a-1", 1, Some(id), before).in_chain(chain.link());
    let chained = after("a-1", 2, Some(before_id), event_of(&key, 11));
    let chained = chained.for_command(key.clone()).in_chain(chain.link());
    let held = proxy.withhold_requests();
    let appends = tokio::spawn({
        let store = store.clone();
        async move { futures::future::join(store.append(before), store.append(chained)).await }
    });
    held.until_something().await;
    other.append(one("a-1", 20)).await.unwrap();
    let repeated = Append::new(
        stream("a-1"),
        ExpectedVersion::exact(2),
        vec![event_of(&key, 21)],
    );
    other.append(repeated.for_command(key)).await.unwrap();
    held.cut();
    let (before, chained) = within("the appends", SOON, appends).await.unwrap();
    assert!(before.unwrap_err().is_conflict());
    assert!(
        matches!(chained, Err(StoreError::PredecessorFailed)),
        "{chained:?}"
    );
}

/// The undeletion is carried out by the second attempt, and the first reaches the server later.
#[tokio::test]
async fn an_undeletion_of_the_past_does_not_open_a_stream_that_was_deleted_since() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let name = stream("a-1");
    let delete = || store.delete_stream(&name, ExpectedVersion::Any, Deletion::Soft);
    // Once before, so that the statement is prepared.
    delete().await.unwrap();
    store.undelete_stream(&name).await.unwrap();
    delete().await.unwrap();
    let held = proxy.withhold_requests();
    let cut = async {
        held.until_something().await;
        held.cut();
    };
    let (undeleted, ()) = futures::future::join(store.undelete_stream(&name), cut).await;
    undeleted.unwrap();
    delete().await.unwrap();
    held.deliver().await;
    let head = store.stream_head(&name).await.unwrap();
    assert!(
        head.deleted,
        "the stream was deleted last, and is open: {head:?}"
    );
}

/// The deadline passes while the fence waits; the append was not carried out and may not begin now.
#[tokio::test]
async fn an_append_is_not_begun_again_if_its_deadline_passed_during_the_fence() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let lock = OrderLock::take(&database).await;
    let deadline = Instant::now() + Duration::from_secs(1);
    let late = one("a-1", 2).with_deadline(Some(deadline));
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(late).await }
    });
    until_waiting(&database, 1).await;
    end_waiters(&database).await;
    until_waiting(&database, 1).await;
    tokio::time::sleep_until(deadline.into()).await;
    lock.release().await;
    let answer = within("the append", SOON, append).await.unwrap();
    assert!(
        matches!(answer, Err(StoreError::DeadlinePassed)),
        "{answer:?}"
    );
    assert_eq!(head(&store).await, 1);
}

#[tokio::test]
async fn an_outcome_stored_by_the_lost_call_is_found() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let first = event(1);
    let id = first.event_id;
    store.append(after("a-1", 0, None, first)).await.unwrap();
    let held = proxy.withhold_answers();
    let outcome = ordain::store::NewOutcome {
        command: command("a-1"),
        version: 1.into(),
        entry: Some(id),
        data: "no".into(),
    };
    let recording = tokio::spawn({
        let store = store.clone();
        async move { store.record_outcome(outcome).await }
    });
    let sql = "SELECT count(*) FROM ordain.command_outcomes";
    until("the outcome is stored", || async {
        number(&database, sql).await == 1
    })
    .await;
    held.cut();
    within("the answer", SOON, recording)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(number(&database, sql).await, 1);
}
