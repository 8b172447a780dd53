//! Transactions for the caller's own tables and events beside them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::time::{Duration, Instant};

use futures::future::join;
use ordain::store::{Append, Deletion, NewLinks, ReadStream};
use ordain::{EventStore, ExpectedVersion, StoreError};
use ordain_postgres::{PostgresOptions, PostgresStore, PostgresTransaction};
use ordain_testkit::nodes;
use ordain_testkit::postgres::{Database, PgBouncer, PoolMode};
use sqlx::Connection;
use wire::{
    OrderLock, Proxy, entries, event, head, number, one, options, stream, until, until_waiting,
    within,
};

const SOON: Duration = Duration::from_secs(40);

const STOCK: &str = "CREATE TABLE public.stock (item text PRIMARY KEY, held integer NOT NULL); \
    INSERT INTO public.stock VALUES ('anvil', 0), ('rope', 0); \
    CREATE TABLE public.orders (item text REFERENCES public.stock DEFERRABLE INITIALLY DEFERRED)";

const HELD: &str = "SELECT sum(held) FROM public.stock";
const EVENTS: &str = "SELECT count(*) FROM ordain.events";
const ROW_WAITERS: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND wait_event IN ('transactionid', 'tuple')";
const IDLE: &str = "SELECT count(*) FROM pg_stat_activity \
    WHERE datname = current_database() AND state LIKE 'idle in transaction%'";

/// A database with a table of the user's.
async fn stocked() -> Database {
    let database = Database::create().await;
    database.execute(STOCK).await.unwrap();
    database
}

async fn hold(tx: &mut PostgresTransaction, item: &str) -> Result<(), sqlx::Error> {
    sqlx::query("UPDATE public.stock SET held = held + 1 WHERE item = $1")
        .persistent(false)
        .bind(item)
        .execute(&mut ***tx)
        .await
        .map(drop)
}

async fn order(tx: &mut PostgresTransaction, item: &str) {
    let query = sqlx::query("INSERT INTO public.orders VALUES ($1)").bind(item);
    query.persistent(false).execute(&mut ***tx).await.unwrap();
}

async fn stored(database: &Database) -> (i64, i64) {
    (number(database, HELD).await, number(database, EVENTS).await)
}

async fn store_with_events(database: &Database) -> PostgresStore {
    let store = options(database).connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    store
}

async fn commits_whole(options: PostgresOptions, database: &Database) {
    let store = options.connect().await.unwrap();
    let target = event(1);
    let target_id = target.event_id;
    let known = Append::new(stream("a-1"), ExpectedVersion::NoStream, vec![target]);
    store.append(known).await.unwrap();

    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    let now = tx.append_now(one("a-1", 2)).await.unwrap();
    assert_eq!((now.first_position.get(), now.versions[0].get()), (2, 2));
    tx.append(one("b-1", 3)).unwrap();
    tx.append(Append::new(
        stream("b-1"),
        ExpectedVersion::exact(1),
        vec![event(4), event(5)],
    ))
    .unwrap();
    tx.link(NewLinks {
        stream: stream("l-1"),
        expected: ExpectedVersion::NoStream,
        targets: vec![target_id],
    })
    .unwrap();
    tx.append(one("a-1", 6)).unwrap();
    assert_eq!(stored(database).await, (0, 1));
    let appended = tx.commit().await.unwrap();
    let places: Vec<_> = appended
        .iter()
        .map(|it| {
            let versions = it.versions.iter().map(|it| it.get());
            (
                it.first_position.get(),
                it.last_position.get(),
                versions.collect::<Vec<_>>(),
            )
        })
        .collect();
    assert_eq!(
        places,
        [
            (3, 3, vec![1]),
            (4, 5, vec![3]),
            (6, 6, vec![1]),
            (7, 7, vec![3])
        ]
    );
    assert_eq!(stored(database).await, (1, 7));
    let linked = store.read_stream(ReadStream::forward(stream("l-1"))).await;
    assert_eq!(linked.unwrap().events[0].event_id, target_id);

    // And the appender goes on after what was written beside it.
    let next = store.append(one("b-1", 7)).await.unwrap();
    assert_eq!((next.first_position.get(), next.versions[0].get()), (8, 4));
    store.close().await;
}

async fn leaves_nothing(options: PostgresOptions, database: &Database) {
    let store = options.connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    for dropped in [false, true] {
        let mut tx = store.begin().await.unwrap();
        hold(&mut tx, "anvil").await.unwrap();
        tx.append_now(one("a-1", 2)).await.unwrap();
        tx.append(one("b-1", 3)).unwrap();
        if dropped {
            drop(tx);
        } else {
            tx.rollback().await.unwrap();
        }
        let next = within("the next append", SOON, store.append(one("c-1", 4))).await;
        next.unwrap();
    }
    assert_eq!(stored(database).await, (0, 3));
    assert!(entries(database, "b-1").await.is_empty());
    assert_eq!(entries(database, "a-1").await, [r#"{"n":1}"#]);
    until("no transaction is open", || async {
        number(database, IDLE).await == 0
    })
    .await;
    store.close().await;
}

#[tokio::test]
async fn a_commit_stores_events_links_and_the_users_row_and_says_where() {
    let database = stocked().await;
    commits_whole(options(&database), &database).await;
}

#[tokio::test]
async fn a_commit_stores_all_in_pooled_mode() {
    let database = stocked().await;
    commits_whole(options(&database).pooled(true), &database).await;
}

#[tokio::test]
async fn a_commit_stores_all_behind_a_pooler() {
    let database = stocked().await;
    let settings = [("default_pool_size", "3")];
    let bouncer = PgBouncer::start(&database, PoolMode::Transaction, &settings).await;
    let bouncer = bouncer.unwrap_or_else(|error| panic!("{error}"));
    let options = || {
        PostgresStore::options()
            .url(&bouncer.url(&database.name()))
            .pooled(true)
            .migrate_on_connect(true)
    };
    commits_whole(options(), &database).await;
}

#[tokio::test]
async fn a_commit_stores_all_where_transactions_are_serializable_unless_told() {
    let database = stocked().await;
    let name = database.name();
    let set = format!("ALTER DATABASE \"{name}\" SET default_transaction_isolation = serializable");
    database.execute(&set).await.unwrap();
    commits_whole(options(&database), &database).await;
}

#[tokio::test]
async fn what_is_rolled_back_or_dropped_leaves_nothing() {
    let database = stocked().await;
    leaves_nothing(options(&database), &database).await;
}

#[tokio::test]
async fn what_is_rolled_back_or_dropped_in_pooled_mode_leaves_nothing() {
    let database = stocked().await;
    leaves_nothing(options(&database).pooled(true), &database).await;
}

/// The second of three appends is refused.
async fn refused(store: &PostgresStore, database: &Database, bad: Append) -> StoreError {
    let before = stored(database).await;
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.append(one("z-1", 1)).unwrap();
    tx.append(bad).unwrap();
    tx.append(one("z-2", 1)).unwrap();
    let error = tx.commit().await.unwrap_err();
    assert_eq!(stored(database).await, before);
    error
}

#[tokio::test]
async fn a_refused_append_undoes_the_users_change_and_says_which() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let known = event(2);
    let duplicate = Append::new(stream("b-1"), ExpectedVersion::Any, vec![known.clone()]);
    store.append(duplicate.clone()).await.unwrap();
    store.append(one("d-1", 3)).await.unwrap();
    let deleted = stream("d-1");
    store
        .delete_stream(&deleted, ExpectedVersion::Any, Deletion::Soft)
        .await
        .unwrap();

    let conflict = Append::new(stream("a-1"), ExpectedVersion::exact(7), vec![event(4)]);
    let error = refused(&store, &database, conflict).await;
    assert!(
        matches!(&error, StoreError::Conflict { stream: it, actual, .. } if *it == stream("a-1") && *actual == 1),
        "{error:?}"
    );
    let error = refused(&store, &database, one("d-1", 5)).await;
    assert!(
        matches!(&error, StoreError::StreamDeleted { stream, .. } if *stream == deleted),
        "{error:?}"
    );
    let again = Append::new(stream("c-1"), ExpectedVersion::Any, vec![known.clone()]);
    let error = refused(&store, &database, again).await;
    assert!(
        matches!(error, StoreError::DuplicateEvent { event_id } if event_id == known.event_id),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_refused_link_undoes_the_users_change_and_the_appends_before_it() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let missing = ordain::EventId::new();
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.append(one("z-1", 1)).unwrap();
    tx.link(NewLinks {
        stream: stream("l-1"),
        expected: ExpectedVersion::Any,
        targets: vec![missing],
    })
    .unwrap();
    let error = tx.commit().await.unwrap_err();
    assert!(
        matches!(error, StoreError::LinkTargetNotFound { event_id } if event_id == missing),
        "{error:?}"
    );
    assert_eq!(stored(&database).await, (0, 1));
}

#[tokio::test]
async fn after_a_refused_append_at_once_a_commit_stores_nothing_and_says_so() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    let bad = Append::new(stream("a-1"), ExpectedVersion::NoStream, vec![event(2)]);
    let error = tx.append_now(bad).await.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    // The documentation says that the transaction cannot go on.
    let committed = tx.commit().await;
    assert!(committed.is_err(), "{committed:?}");
    assert_eq!(stored(&database).await, (0, 1));
}

#[tokio::test]
async fn after_a_failed_statement_of_the_users_a_commit_with_events_fails() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    let wrong = sqlx::query("SELECT 1 / 0").execute(&mut **tx).await;
    wrong.unwrap_err();
    tx.append(one("a-1", 2)).unwrap();
    tx.commit().await.unwrap_err();
    assert_eq!(stored(&database).await, (0, 1));
}

/// The server answers such a COMMIT with ROLLBACK, not with an error.
#[tokio::test]
async fn after_a_failed_statement_events_appended_at_once_are_not_reported_as_committed() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    tx.append_now(one("a-1", 2)).await.unwrap();
    let wrong = sqlx::query("SELECT 1 / 0").execute(&mut **tx).await;
    wrong.unwrap_err();
    let committed = tx.commit().await;
    assert_eq!(stored(&database).await, (0, 1));
    assert!(
        committed.is_err(),
        "nothing is stored, and the answer is {committed:?}"
    );
}

async fn violated_at_commit(with_events: bool) {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    order(&mut tx, "hammer").await;
    if with_events {
        tx.append(one("a-1", 2)).unwrap();
    }
    let error = tx.commit().await.unwrap_err();
    assert!(
        error.to_string().contains("orders_item_fkey") && error.to_string().contains("23503"),
        "{error}"
    );
    assert!(!error.is_outcome_unknown() && !error.is_unavailable());
    assert_eq!(stored(&database).await, (0, 1));
    assert_eq!(
        number(&database, "SELECT count(*) FROM public.orders").await,
        0
    );
}

#[tokio::test]
async fn a_deferred_constraint_violated_at_commit_is_named_and_nothing_is_appended() {
    violated_at_commit(true).await;
}

#[tokio::test]
async fn a_deferred_constraint_violated_at_commit_without_events_is_named() {
    violated_at_commit(false).await;
}

#[tokio::test]
async fn a_deferred_constraint_violated_after_an_append_at_once_undoes_it() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    tx.append_now(one("a-1", 2)).await.unwrap();
    order(&mut tx, "hammer").await;
    let error = tx.commit().await.unwrap_err();
    assert!(error.to_string().contains("orders_item_fkey"), "{error}");
    assert_eq!(stored(&database).await, (0, 1));
    store.append(one("a-1", 3)).await.unwrap();
}

#[tokio::test]
async fn rows_locked_in_opposite_orders_end_one_transaction_and_the_other_commits() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut left = store.begin().await.unwrap();
    let mut right = store.begin().await.unwrap();
    hold(&mut left, "anvil").await.unwrap();
    hold(&mut right, "rope").await.unwrap();
    left.append(one("left-1", 1)).unwrap();
    right.append(one("right-1", 1)).unwrap();
    let finish = async |mut tx: PostgresTransaction, item: &str| {
        let held = hold(&mut tx, item).await;
        (held, tx.commit().await)
    };
    let both = join(finish(left, "rope"), finish(right, "anvil"));
    let (left, right) = within("the transactions", SOON, both).await;
    let (victim, winner, name) = match &left.0 {
        Err(_) => (left, right, "right-1"),
        Ok(()) => (right, left, "left-1"),
    };
    let error = victim.0.unwrap_err();
    let code = error.as_database_error().unwrap().code().unwrap();
    assert_eq!(code, "40P01", "{error}");
    assert!(victim.1.is_err(), "{:?}", victim.1);
    winner.0.unwrap();
    winner.1.unwrap();
    assert_eq!(stored(&database).await, (2, 2));
    assert_eq!(entries(&database, name).await.len(), 1);
}

/// One waits for the order lock with rows locked that the other wants, and appenders wait before and
/// behind it.
#[tokio::test]
async fn row_locks_that_cross_with_the_order_lock_do_not_deadlock() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let other = options(&database).connect().await.unwrap();
    let lock = OrderLock::take(&database).await;
    let before = tokio::spawn({
        let store = store.clone();
        async move { store.append(one("a-1", 2)).await }
    });
    until_waiting(&database, 1).await;
    let mut left = store.begin().await.unwrap();
    hold(&mut left, "anvil").await.unwrap();
    left.append(one("a-1", 3)).unwrap();
    let mut right = other.begin().await.unwrap();
    hold(&mut right, "rope").await.unwrap();
    right.append(one("a-1", 4)).unwrap();
    let left = tokio::spawn(left.commit());
    until_waiting(&database, 2).await;
    let right = tokio::spawn(async move {
        hold(&mut right, "anvil").await.unwrap();
        right.commit().await
    });
    until("a transaction waits for a row", || async {
        number(&database, ROW_WAITERS).await == 1
    })
    .await;
    let behind = tokio::spawn({
        let other = other.clone();
        async move { other.append(one("a-1", 5)).await }
    });
    until_waiting(&database, 3).await;
    lock.release().await;
    within("the append before", SOON, before)
        .await
        .unwrap()
        .unwrap();
    within("the left commit", SOON, left)
        .await
        .unwrap()
        .unwrap();
    within("the right commit", SOON, right)
        .await
        .unwrap()
        .unwrap();
    within("the append behind", SOON, behind)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(stored(&database).await, (3, 5));
}

#[tokio::test]
async fn appends_go_on_after_an_idle_holder_of_the_order_lock_was_ended() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let other = options(&database).connect().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.append_now(one("a-1", 2)).await.unwrap();
    let began = Instant::now();
    let appends = join(store.append(one("b-1", 1)), other.append(one("c-1", 1)));
    let (own, others) = within("the appends", SOON, appends).await;
    own.unwrap();
    others.unwrap();
    let waited = began.elapsed();
    assert!(waited > Duration::from_secs(4), "{waited:?}");
    let error = tx.commit().await.unwrap_err();
    assert!(
        error.is_unavailable() && !error.is_outcome_unknown(),
        "{error:?}"
    );
    assert_eq!(stored(&database).await, (0, 3));
    assert_eq!(entries(&database, "a-1").await.len(), 1);
}

#[tokio::test]
async fn a_command_dispatched_inside_an_open_transaction_is_carried_out() {
    let database = stocked().await;
    let store = options(&database).connect().await.unwrap();
    let app = nodes::start(&store).await;
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.append(one("a-1", 1)).unwrap();
    let dispatched = within("the command", SOON, app.dispatch(nodes::deposit(1, 5))).await;
    assert_eq!(dispatched.unwrap().version, 1);
    tx.commit().await.unwrap();
    assert_eq!(stored(&database).await, (1, 2));
    nodes::close((store, app)).await;
}

#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_told_as_committed() {
    loses_its_answer(false).await;
}

#[tokio::test]
async fn a_commit_after_an_append_at_once_whose_answer_is_lost_is_told_as_committed() {
    loses_its_answer(true).await;
}

async fn loses_its_answer(at_once: bool) {
    let database = stocked().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    if at_once {
        tx.append_now(one("a-1", 1)).await.unwrap();
    } else {
        tx.append(one("a-1", 1)).unwrap();
    }
    let held = proxy.withhold_answers_to_commit();
    let cut = async {
        held.until_something().await;
        held.cut();
    };
    let (committed, ()) = within("the commit", SOON, join(tx.commit(), cut)).await;
    assert_eq!(committed.unwrap().len(), usize::from(!at_once));
    assert_eq!(stored(&database).await, (1, 1));
    assert_eq!(head(&store).await, 1);
}

/// Appended last: the COMMIT is what reaches the server no more.
#[tokio::test]
async fn a_commit_that_is_lost_before_the_server_has_it_is_told_as_not_committed() {
    let database = stocked().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.append(one("a-1", 1)).unwrap();
    let lock = OrderLock::take(&database).await;
    let commit = tokio::spawn(tx.commit());
    until_waiting(&database, 1).await;
    let held = proxy.withhold_requests();
    lock.release().await;
    held.until_something().await;
    held.cut();
    let error = within("the commit", SOON, commit)
        .await
        .unwrap()
        .unwrap_err();
    assert!(
        error.is_unavailable() && !error.is_outcome_unknown(),
        "{error:?}"
    );
    assert_eq!(stored(&database).await, (0, 0));
    store.append(one("a-1", 2)).await.unwrap();
    assert_eq!(stored(&database).await, (0, 1));
}

#[tokio::test]
async fn a_lost_commit_without_events_is_told_as_unknown() {
    let database = stocked().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    let held = proxy.withhold_answers_to_commit();
    let cut = async {
        held.until_something().await;
        held.cut();
    };
    let (committed, ()) = within("the commit", SOON, join(tx.commit(), cut)).await;
    let error = committed.unwrap_err();
    assert!(error.is_outcome_unknown(), "{error:?}");
    assert_eq!(stored(&database).await, (1, 0));
}

#[tokio::test]
async fn a_savepoint_rolled_back_undoes_the_users_change_and_not_the_append() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.append(one("a-1", 2)).unwrap();
    let mut point = tx.begin().await.unwrap();
    sqlx::query("UPDATE public.stock SET held = 100")
        .execute(&mut *point)
        .await
        .unwrap();
    point.rollback().await.unwrap();
    let appended = tx.commit().await.unwrap();
    assert_eq!(appended.len(), 1);
    assert_eq!(stored(&database).await, (1, 2));
}

#[tokio::test]
async fn an_append_at_once_before_a_savepoint_outlives_it() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut tx = store.begin().await.unwrap();
    tx.append_now(one("a-1", 2)).await.unwrap();
    let mut point = tx.begin().await.unwrap();
    let wrong = sqlx::query("SELECT 1 / 0").execute(&mut *point).await;
    wrong.unwrap_err();
    point.rollback().await.unwrap();
    hold(&mut tx, "anvil").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stored(&database).await, (1, 2));
}

/// Both commits give a version that the other knows nothing of.
#[tokio::test]
async fn two_transactions_that_expect_the_same_version_do_not_both_commit() {
    let database = stocked().await;
    let store = store_with_events(&database).await;
    let mut first = store.begin().await.unwrap();
    let mut second = store.begin().await.unwrap();
    hold(&mut first, "anvil").await.unwrap();
    hold(&mut second, "rope").await.unwrap();
    let next = |n| Append::new(stream("a-1"), ExpectedVersion::exact(1), vec![event(n)]);
    first.append(next(2)).unwrap();
    second.append(next(3)).unwrap();
    let (first, second) = join(first.commit(), second.commit()).await;
    let loser = match (first, second) {
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
        both => panic!("{both:?}"),
    };
    assert!(loser.is_conflict(), "{loser:?}");
    assert_eq!(stored(&database).await, (1, 2));
}
