//! Requests that wait: behind the order lock, behind each other, and behind an erasure.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use ordain::store::{Chain, Deletion, ReadAll};
use ordain::{EventStore, ExpectedVersion, StoreError};
use ordain_testkit::postgres::Database;
use wire::{
    OrderLock, Proxy, after, event, head, number, one, options, stream, until, until_waiting,
    within,
};

const SOON: Duration = Duration::from_secs(20);

/// A foreign key to the log, as an application's table may have, which keeps entries from being erased.
const OBSTACLE: &str = "CREATE TABLE notes (position bigint REFERENCES ordain.events (global_position)); \
    INSERT INTO notes VALUES (1)";

#[tokio::test]
async fn two_processes_behind_a_held_lock_take_dense_positions() {
    let database = Database::create().await;
    let stores = [
        options(&database).connect().await.unwrap(),
        options(&database).connect().await.unwrap(),
    ];
    for store in &stores {
        store.append(one("warm-1", 0)).await.unwrap();
    }
    let lock = OrderLock::take(&database).await;
    let appends: Vec<_> = (0..40)
        .map(|n| {
            let store = stores[n % 2].clone();
            tokio::spawn(async move {
                store
                    .append(one(&format!("a-{}", n % 7), n as u64))
                    .await
                    .unwrap()
            })
        })
        .collect();
    until_waiting(&database, 2).await;
    lock.release().await;
    let appended = try_join_all(appends).await.unwrap();
    let mut positions: Vec<_> = appended.iter().map(|it| it.first_position.get()).collect();
    positions.sort_unstable();
    assert_eq!(positions, (3..=42).collect::<Vec<_>>());
    let holes = "SELECT count(*) FROM (SELECT stream_key, max(stream_version) - count(*) AS missing \
        FROM ordain.events GROUP BY 1) AS s WHERE missing <> 0";
    assert_eq!(number(&database, holes).await, 0);
}

#[tokio::test]
async fn a_generation_raised_by_another_while_calls_wait_costs_them_nothing() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let first = event(1);
    let id = first.event_id;
    store.append(after("a-1", 0, None, first)).await.unwrap();
    let lock = OrderLock::take(&database).await;
    let append = tokio::spawn({
        let store = store.clone();
        async move { store.append(after("a-1", 1, Some(id), event(2))).await }
    });
    until_waiting(&database, 1).await;
    database
        .execute("UPDATE ordain.log_head SET generation = generation + 1")
        .await
        .unwrap();
    lock.release().await;
    let appended = within("the append", SOON, append).await.unwrap().unwrap();
    assert_eq!(appended.versions[0].get(), 2);
    assert_eq!(head(&store).await, 2);
}

/// The queue is full; the first append of a chain waits for a place in it and is dropped.
#[tokio::test]
async fn an_append_dropped_while_it_waits_for_a_place_breaks_its_chain() {
    let database = Database::create().await;
    let store = options(&database).queue_len(1).connect().await.unwrap();
    store.append(one("warm-1", 0)).await.unwrap();
    let lock = OrderLock::take(&database).await;
    let sent = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("sent-1", 0)).await }
    });
    until_waiting(&database, 1).await;
    let mut queued = Box::pin(store.append(one("queued-1", 0)));
    assert!(futures::poll!(&mut queued).is_pending());
    let mut chain = Chain::new();
    let mut dropped = Box::pin(store.append(one("a-1", 1).in_chain(chain.link())));
    assert!(futures::poll!(&mut dropped).is_pending());
    let mut resting = Box::pin(store.append(one("b-1", 2).in_chain(chain.link())));
    assert!(futures::poll!(&mut resting).is_pending());
    drop(dropped);
    lock.release().await;
    sent.await.unwrap().unwrap();
    queued.await.unwrap();
    let answer = resting.await;
    let lost = number(
        &database,
        "SELECT count(*) FROM ordain.streams WHERE name = 'a-1'",
    )
    .await;
    assert_eq!(lost, 0, "the dropped append was carried out");
    assert!(
        matches!(answer, Err(StoreError::PredecessorFailed)),
        "{answer:?}"
    );
}

#[tokio::test]
async fn an_erasure_that_fails_does_not_keep_others_from_appending() {
    let database = Database::create().await;
    let options = options(&database)
        .hard_deletes(true)
        .outage_timeout(Duration::from_secs(2));
    let store = options.connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    database.execute(OBSTACLE).await.unwrap();
    let deletion = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .delete_stream(&stream("a-1"), ExpectedVersion::Any, Deletion::Hard)
                .await
        }
    });
    until("the stream is erased", || async {
        number(&database, "SELECT count(*) FROM ordain.erasures").await == 1
    })
    .await;
    let appended = within("an append", SOON, store.append(one("b-1", 1))).await;
    deletion.abort();
    assert!(appended.is_ok(), "{appended:?}");
}

#[tokio::test]
async fn a_hard_delete_that_cannot_be_finished_is_answered_in_time() {
    let database = Database::create().await;
    let options = options(&database)
        .hard_deletes(true)
        .outage_timeout(Duration::from_secs(2));
    let store = options.connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    database.execute(OBSTACLE).await.unwrap();
    let name = stream("a-1");
    let deletion = store.delete_stream(&name, ExpectedVersion::Any, Deletion::Hard);
    within("an answer", SOON, deletion).await.unwrap_err();
}

#[tokio::test]
async fn closing_does_not_wait_for_an_erasure_that_fails() {
    let database = Database::create().await;
    let options = options(&database)
        .hard_deletes(true)
        .outage_timeout(Duration::from_secs(2));
    let store = options.connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    database.execute(OBSTACLE).await.unwrap();
    let deletion = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .delete_stream(&stream("a-1"), ExpectedVersion::Any, Deletion::Hard)
                .await
        }
    });
    until("the stream is erased", || async {
        number(&database, "SELECT count(*) FROM ordain.erasures").await == 1
    })
    .await;
    within("the store is closed", SOON, store.close()).await;
    deletion.abort();
}

/// Another process has the erasure in hand and has not committed its part.
#[tokio::test]
async fn a_hard_delete_is_answered_when_all_is_erased_whoever_erases() {
    let database = Database::create().await;
    let store = options(&database)
        .hard_deletes(true)
        .connect()
        .await
        .unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    database.execute(OBSTACLE).await.unwrap();
    let deletion = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .delete_stream(&stream("a-1"), ExpectedVersion::Any, Deletion::Hard)
                .await
        }
    });
    // The obstacle keeps it from being erased until the other has it in hand.
    let other = database.connect().await.unwrap();
    until("another process erases", || async {
        let locked = other
            .query("BEGIN; SELECT FROM ordain.erasures FOR UPDATE")
            .await
            .unwrap();
        if locked.is_empty() {
            other.execute("ROLLBACK").await.unwrap();
        }
        !locked.is_empty()
    })
    .await;
    let early = tokio::time::timeout(Duration::from_secs(3), deletion).await;
    let page = store.read_all(ReadAll::forward()).await.unwrap();
    assert!(
        early.is_err() || page.events.is_empty(),
        "the deletion is done, and this can still be read: {:?}",
        page.events
    );
}

/// The deletion is carried out, its answer lost, and the fence succeeds only after it was given up.
#[tokio::test]
async fn what_a_deletion_of_unknown_outcome_left_behind_is_erased() {
    let database = Database::create().await;
    let proxy = Proxy::before(&database).await;
    let options = proxy
        .options(&database)
        .hard_deletes(true)
        .outage_timeout(Duration::from_secs(1));
    let store = options.connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    // Once before, so that the statement is prepared.
    store.append(one("warm-1", 1)).await.unwrap();
    store
        .delete_stream(&stream("warm-1"), ExpectedVersion::Any, Deletion::Hard)
        .await
        .unwrap();
    // So that where the log ends is known again.
    store.append(one("warm-2", 1)).await.unwrap();
    let held = proxy.withhold_answers();
    let deletion = tokio::spawn({
        let store = store.clone();
        async move {
            store
                .delete_stream(&stream("a-1"), ExpectedVersion::Any, Deletion::Hard)
                .await
        }
    });
    let erasures = "SELECT count(*) FROM ordain.erasures";
    until("the stream is erased", || async {
        number(&database, erasures).await == 1
    })
    .await;
    let lock = OrderLock::take(&database).await;
    held.cut();
    until_waiting(&database, 1).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    wire::end_waiters(&database).await;
    let outcome = within("an answer", SOON, deletion).await.unwrap();
    assert!(
        matches!(outcome, Err(StoreError::OutcomeUnknown { .. })),
        "{outcome:?}"
    );
    lock.release().await;
    store.append(one("b-1", 1)).await.unwrap();
    until("the entries are erased", || async {
        number(&database, erasures).await == 0
    })
    .await;
}

/// One request makes every statement that it is part of too slow.
#[tokio::test]
async fn a_request_too_slow_for_the_server_fails_alone() {
    let database = Database::create().await;
    let options = options(&database)
        .order_lock_timeout(Duration::from_millis(300))
        .statement_timeout(Duration::from_millis(500))
        .outage_timeout(Duration::from_secs(3));
    let store = options.connect().await.unwrap();
    database
        .execute(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
             'BEGIN PERFORM pg_sleep(2); RETURN new; END'; \
             CREATE TRIGGER slow BEFORE INSERT ON ordain.events FOR EACH ROW \
             WHEN (new.event_type = 'slow') EXECUTE FUNCTION slow()",
        )
        .await
        .unwrap();
    let mut slow = one("slow-1", 1);
    slow.writes[0].events[0].event_type = "slow".into();
    let appends = std::iter::once(slow).chain((0..10).map(|n| one("a-1", n)));
    let answers = join_all(appends.map(|append| store.append(append))).await;
    let accepted = answers.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!(accepted, 10, "{answers:?}");
}
