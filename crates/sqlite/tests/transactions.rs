//! Transactions of the user's, in which the store's writer is lent.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;
mod files;

use std::time::Duration;

use common::{claim, event, made, one, stream};
use files::Files;
use ordain::prelude::*;
use ordain::store::{
    Append, Chain, Committed, Heartbeat, OwnerId, Progress, ProjectionStore, ReadAll, Refusal,
    SubscriptionKey, SubscriptionStore,
};
use ordain::{
    App, EventStore, ExpectedVersion, Failure, FailureAction, NewEvent, Projection, StoreError,
};
use ordain_sqlite::{LentConnection, SqliteOptions, SqliteStore, SqliteTransaction};
use ordain_testkit::nodes::{self, deposit};
use serde::{Deserialize, Serialize};

const LONG: Duration = Duration::from_secs(60);

async fn open(options: SqliteOptions) -> SqliteStore {
    let store = options.open().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "CREATE TABLE stock (item TEXT PRIMARY KEY)").await;
    tx.commit().await.unwrap();
    store
}

async fn execute(tx: &mut SqliteTransaction, sql: &'static str) {
    sqlx::query(sql).execute(&mut **tx).await.unwrap();
}

async fn stock(store: &SqliteStore) -> i64 {
    let mut tx = store.begin().await.unwrap();
    sqlx::query_scalar("SELECT count(*) FROM stock")
        .fetch_one(&mut *tx)
        .await
        .unwrap()
}

async fn in_time<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, future).await.unwrap()
}

fn has_expired(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Refused(Refusal::TransactionExpired { .. })
    )
}

#[tokio::test]
async fn events_are_committed_with_the_callers_own_changes() {
    let files = Files::new();
    let store = open(files.fresh()).await;
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
    tx.append(one("order-1", 1)).unwrap();
    tx.append(one("order-1", 2)).unwrap();
    // Readers see nothing of it yet.
    assert_eq!(store.head().await.unwrap(), 0);
    let appended = tx.commit().await.unwrap();
    assert_eq!(appended[1].first_position, 2);
    assert_eq!(appended[1].versions[0], 2);
    assert_eq!(stock(&store).await, 1);
    let page = store.read_all(ReadAll::forward()).await.unwrap();
    assert_eq!(page.events.len(), 2);
}

#[tokio::test]
async fn an_append_at_once_tells_its_positions() {
    let files = Files::new();
    let store = open(files.fresh()).await;
    let mut tx = store.begin().await.unwrap();
    let first = tx.append_now(one("order-1", 1)).await.unwrap();
    assert_eq!(first.first_position, 1);
    tx.append(one("order-1", 2)).unwrap();
    let appended = tx.commit().await.unwrap();
    assert_eq!(appended[0].versions[0], 2);
    let mut tx = store.begin().await.unwrap();
    let refused = Append::new(stream("a-1"), ExpectedVersion::exact(7), vec![event(1)]);
    assert!(tx.append_now(refused).await.unwrap_err().is_conflict());
    assert!(tx.append_now(one("a-1", 1)).await.unwrap_err().is_refused());
    assert!(tx.commit().await.unwrap_err().is_refused());
    assert_eq!(store.head().await.unwrap(), 2);
}

#[tokio::test]
async fn a_refused_append_undoes_the_callers_changes_and_breaks_its_chain() {
    let files = Files::new();
    let store = open(files.fresh()).await;
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
    let chain = Chain::new();
    let mut links = chain.clone();
    let refused = Append::new(stream("a-1"), ExpectedVersion::exact(7), vec![event(1)]);
    tx.append(one("order-1", 1)).unwrap();
    tx.append(refused.in_chain(links.link())).unwrap();
    assert!(tx.commit().await.unwrap_err().is_conflict());
    assert!(chain.is_broken());
    assert_eq!(stock(&store).await, 0);
    assert_eq!(store.head().await.unwrap(), 0);
}

#[tokio::test]
async fn a_transaction_beyond_its_time_is_rolled_back_and_others_go_on() {
    let files = Files::new();
    let options = files.fresh();
    let store = open(options.transaction_timeout(Duration::from_millis(100))).await;
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
    tx.append(one("order-1", 1)).unwrap();
    in_time(store.append(one("account-1", 1))).await.unwrap();
    let late = sqlx::query("INSERT INTO stock VALUES ('hammer')");
    let late = late.execute(&mut *tx).await.unwrap_err().to_string();
    assert!(late.contains("longer than 100ms"), "{late}");
    let error = tx.commit().await.unwrap_err();
    assert!(has_expired(&error), "{error}");
    assert_eq!(stock(&store).await, 0);
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_statement_beyond_the_time_is_ended() {
    let files = Files::new();
    let options = files.fresh();
    let store = open(options.transaction_timeout(Duration::from_millis(100))).await;
    for endless in [
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
        "INSERT INTO stock WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    ] {
        let mut tx = store.begin().await.unwrap();
        let ended = in_time(sqlx::query(endless).execute(&mut *tx)).await;
        assert!(ended.is_err());
        let error = tx.commit().await.unwrap_err();
        assert!(has_expired(&error), "{error}");
    }
    assert_eq!(stock(&store).await, 0);
}

#[tokio::test]
async fn a_dropped_transaction_frees_the_writer_at_once() {
    let files = Files::new();
    let store = open(files.fresh().transaction_timeout(LONG * 10)).await;
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
    drop(tx);
    in_time(store.append(one("account-1", 1))).await.unwrap();
    let mut tx = store.begin().await.unwrap();
    // Dropped in the middle of a statement.
    let endless = sqlx::query(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    );
    let mut endless = Box::pin(endless.execute(&mut *tx));
    assert!(futures::poll!(&mut endless).is_pending());
    drop(endless);
    drop(tx);
    in_time(store.append(one("account-1", 1))).await.unwrap();
    assert_eq!(stock(&store).await, 0);
    // Dropped while it waits for its turn.
    let tx = store.begin().await.unwrap();
    let mut waiting = Box::pin(store.begin());
    assert!(futures::poll!(&mut waiting).is_pending());
    drop(waiting);
    tx.rollback().await.unwrap();
    in_time(store.append(one("account-1", 1))).await.unwrap();
}

#[tokio::test]
async fn what_would_wait_for_the_own_transaction_fails_at_once() {
    let files = Files::new();
    let store = open(files.fresh().transaction_timeout(LONG * 10)).await;
    let task = tokio::spawn(async move {
        let tx = store.begin().await.unwrap();
        let nested = store.append(one("account-1", 1)).await;
        assert!(nested.unwrap_err().is_would_deadlock());
        assert!(store.begin().await.unwrap_err().is_would_deadlock());
        assert_eq!(store.head().await.unwrap(), 0);
        let elsewhere = tokio::spawn({
            let store = store.clone();
            async move { store.append(one("account-1", 1)).await }
        });
        tx.commit().await.unwrap();
        elsewhere.await.unwrap().unwrap();
        store.append(one("account-1", 2)).await.unwrap();
    });
    in_time(task).await.unwrap();
}

#[tokio::test]
async fn a_dispatch_inside_a_transaction_ends_at_the_latest_with_it() {
    let files = Files::new();
    let options = files.fresh();
    let store = open(options.transaction_timeout(Duration::from_millis(300))).await;
    let app = nodes::start(&store).await;
    app.dispatch(deposit(1, 1)).await.unwrap();
    let tx = store.begin().await.unwrap();
    let dispatched = in_time(app.dispatch(deposit(1, 1))).await;
    let committed = tx.commit().await;
    // Either it was told apart, or it waited until the time was up.
    match dispatched {
        Ok(_) => assert!(has_expired(&committed.unwrap_err())),
        Err(_) => drop(committed.unwrap()),
    }
    nodes::close((store, app)).await;
}

#[tokio::test]
async fn a_transaction_is_not_ended_by_a_statement() {
    let files = Files::new();
    let store = open(files.fresh()).await;
    for end in ["COMMIT", "ROLLBACK"] {
        let mut tx = store.begin().await.unwrap();
        execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
        tx.append(one("order-1", 1)).unwrap();
        // What it answers does not matter.
        let _ = sqlx::query(end).execute(&mut *tx).await;
        let late = sqlx::query("INSERT INTO stock VALUES ('hammer')");
        assert!(late.execute(&mut *tx).await.is_err());
        let error = tx.commit().await.unwrap_err();
        assert!(
            matches!(error, StoreError::Refused(Refusal::TransactionFailed)),
            "{error}"
        );
    }
    // The statement may still be under way when the transaction is to be committed.
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
    tx.append(one("order-1", 1)).unwrap();
    let mut rollback = Box::pin(sqlx::query("ROLLBACK").execute(&mut *tx));
    drop(futures::poll!(&mut rollback));
    drop(rollback);
    assert!(tx.commit().await.unwrap_err().is_refused());
    assert_eq!(stock(&store).await, 0);
    assert_eq!(store.head().await.unwrap(), 0);
}

#[tokio::test]
async fn a_violated_constraint_is_the_callers_to_judge() {
    let files = Files::new();
    let store = open(files.fresh()).await;
    let mut tx = store.begin().await.unwrap();
    execute(&mut tx, "INSERT INTO stock VALUES ('anvil')").await;
    let twice = sqlx::query("INSERT INTO stock VALUES ('anvil')");
    assert!(twice.execute(&mut *tx).await.is_err());
    tx.commit().await.unwrap();
    assert_eq!(stock(&store).await, 1);
    let mut tx = store.begin().await.unwrap();
    let deferred = "CREATE TABLE sold (item TEXT REFERENCES stock DEFERRABLE INITIALLY DEFERRED)";
    execute(&mut tx, deferred).await;
    execute(&mut tx, "INSERT INTO sold VALUES ('sword')").await;
    tx.append(one("order-1", 1)).unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(error.is_refused(), "{error}");
    assert_eq!(store.head().await.unwrap(), 0);
    store.append(one("order-1", 1)).await.unwrap();
}

#[tokio::test]
async fn leases_are_renewed_between_transactions() {
    let files = Files::new();
    let store = open(files.fresh().transaction_timeout(LONG * 10)).await;
    let first = store.begin_work().await.unwrap();
    let mut second = Box::pin(store.begin_work());
    let mut third = Box::pin(store.begin_work());
    assert!(futures::poll!(&mut second).is_pending());
    assert!(futures::poll!(&mut third).is_pending());
    let beat = Heartbeat {
        owner: OwnerId::random(),
        ttl: Duration::from_secs(10),
        subscriptions: Vec::new(),
        leases: Vec::new(),
    };
    let mut beat = Box::pin(store.keep_alive(beat));
    assert!(futures::poll!(&mut beat).is_pending());
    drop(first);
    let second = in_time(second).await.unwrap();
    in_time(beat).await.unwrap();
    drop(second);
    drop(in_time(third).await.unwrap());
}

#[tokio::test]
async fn nothing_is_handled_twice_by_owners_that_overlap() {
    let files = Files::new();
    let store = open(files.fresh()).await;
    let key = SubscriptionKey::new("stock", 1);
    assert!(store.change_subscriptions(vec![made(&key)]).await.unwrap());
    let old = claim(&store, &key).await;
    let mut work = store.begin_work().await.unwrap();
    execute(&mut work, "INSERT INTO stock VALUES ('anvil')").await;
    let progress = Progress::new(old.key.clone(), 0.into(), 5.into());
    // Another owner takes over before the first has committed, by the time it waits for the writer.
    drop(work);
    let new = claim(&store, &key).await;
    let mut work = store.begin_work().await.unwrap();
    execute(&mut work, "INSERT INTO stock VALUES ('anvil')").await;
    let late = store.commit_work(work, progress).await.unwrap();
    assert_eq!(late, Committed::LeaseLost);
    assert_eq!(stock(&store).await, 0);
    let mut work = store.begin_work().await.unwrap();
    execute(&mut work, "INSERT INTO stock VALUES ('anvil')").await;
    let progress = Progress::new(new.key, 0.into(), 5.into());
    let done = store.commit_work(work, progress).await.unwrap();
    assert_eq!(done, Committed::Done);
    assert_eq!(stock(&store).await, 1);
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Counted;

#[derive(Debug, Clone, EventSet)]
enum Counts {
    Counted(Counted),
}

/// Sleeps in its transaction at every event of the stream `counter-slow`.
struct Sleepy(Duration);

impl Projection<LentConnection> for Sleepy {
    const NAME: &'static str = "sleepy";
    type Events = Counts;

    async fn project(
        &self,
        _: &Counts,
        context: &EventContext,
        db: &mut LentConnection,
    ) -> Result<(), BoxError> {
        if context.id() == "slow" {
            tokio::time::sleep(self.0).await;
        }
        sqlx::query("INSERT INTO stock VALUES (hex(randomblob(8)))")
            .execute(db)
            .await?;
        Ok(())
    }

    fn on_failure(&self, _: &Failure) -> FailureAction {
        FailureAction::DeadLetter
    }
}

/// It is the event's fault, not an outage that is waited for.
#[tokio::test]
async fn an_event_that_outlasts_its_transaction_is_put_aside() {
    let files = Files::new();
    let short = Duration::from_millis(100);
    let store = open(files.fresh().transaction_timeout(short)).await;
    for name in ["counter-1", "counter-slow", "counter-2"] {
        let event = NewEvent::new("Counted", "null");
        let append = Append::new(stream(name), ExpectedVersion::Any, vec![event]);
        store.append(append).await.unwrap();
    }
    let builder = App::builder(store.clone());
    let app = builder.projection(Sleepy(short * 4)).start().await.unwrap();
    let letters = in_time(async {
        loop {
            let status = app.subscriptions().status("sleepy").await.unwrap();
            if status.lag == 0 {
                break app.subscriptions().dead_letters("sleepy").await.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let keys: Vec<_> = letters.iter().map(|letter| &*letter.key).collect();
    assert_eq!(keys, ["counter-slow"]);
    assert_eq!(stock(&store).await, 2);
    app.shutdown().await.unwrap();
}
