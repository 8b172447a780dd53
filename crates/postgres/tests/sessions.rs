//! What sessions and databases may have set, and what a batch may hold.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::future::Future;
use std::time::{Duration, Instant};

use futures::future::join_all;
use ordain::store::{Append, CommandKey};
use ordain::{CommandId, EventStore, ExpectedVersion, NewEvent, StoreError};
use ordain_postgres::{Payload, PostgresOptions, PostgresStore};
use ordain_testkit::postgres::Database;
use wire::{OrderLock, after, event, number, one, options, stream, until, until_waiting, within};

const SOON: Duration = Duration::from_secs(60);

/// JSON that `json` takes, and `jsonb` does not.
const POISON: &str = r#"{"half of a pair":"\ud800"}"#;

async fn appends_under(isolation: &str, options: impl Fn(PostgresOptions) -> PostgresOptions) {
    let database = Database::create().await;
    let name = database.name();
    let set =
        format!("ALTER DATABASE \"{name}\" SET default_transaction_isolation = '{isolation}'");
    database.execute(&set).await.unwrap();
    let stores = [
        options(wire::options(&database)).connect().await.unwrap(),
        options(wire::options(&database)).connect().await.unwrap(),
    ];
    for store in &stores {
        store.append(one("a-1", 1)).await.unwrap();
    }
    assert_eq!(
        number(&database, "SELECT max(stream_version) FROM ordain.events").await,
        2
    );
}

#[tokio::test]
async fn appends_work_where_transactions_are_repeatable_read_unless_told() {
    appends_under("repeatable read", |it| {
        it.outage_timeout(Duration::from_secs(2))
    })
    .await;
}

#[tokio::test]
async fn appends_work_where_transactions_are_serializable_unless_told() {
    appends_under("serializable", |it| {
        it.outage_timeout(Duration::from_secs(2))
    })
    .await;
}

#[tokio::test]
async fn pooled_appends_work_where_transactions_are_serializable_unless_told() {
    appends_under("serializable", |it| {
        it.outage_timeout(Duration::from_secs(2)).pooled(true)
    })
    .await;
}

#[tokio::test]
async fn a_poisoned_payload_fails_alone() {
    let database = Database::create().await;
    let store = options(&database)
        .payload(Payload::Jsonb)
        .connect()
        .await
        .unwrap();
    let poison = |n| {
        Append::new(
            stream(&format!("p-{n}")),
            ExpectedVersion::Any,
            vec![NewEvent::new("counted", POISON)],
        )
    };
    let appends = (0..512).map(|n| match n % 200 {
        77 => poison(n),
        _ => one(&format!("a-{}", n % 50), n),
    });
    let answers = join_all(appends.map(|append| store.append(append))).await;
    for (n, answer) in answers.iter().enumerate() {
        match n % 200 {
            77 => assert!(
                answer.as_ref().is_err_and(StoreError::is_refused),
                "{n}: {answer:?}"
            ),
            _ => assert!(answer.is_ok(), "{n}: {answer:?}"),
        }
    }
    assert_eq!(
        number(&database, "SELECT count(*) FROM ordain.events").await,
        509
    );
}

#[tokio::test]
async fn a_refused_statement_leaves_no_transaction_open_behind_a_pooler() {
    let database = Database::create().await;
    let options = options(&database).payload(Payload::Jsonb).pooled(true);
    let store = options.connect().await.unwrap();
    let poison = Append::new(
        stream("p-1"),
        ExpectedVersion::Any,
        vec![NewEvent::new("counted", POISON)],
    );
    store.append(poison).await.unwrap_err();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND state LIKE 'idle in transaction%'";
    until("no transaction is open", || async {
        number(&database, open).await == 0
    })
    .await;
}

/// A command that was dispatched before brings other event ids now, for a stream whose end is known.
#[tokio::test]
async fn a_repeated_command_is_recognised_also_by_an_append_without_its_first_event() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let key = CommandKey::new(CommandId::new(), stream("a-1"));
    let mut first = event(1);
    first.event_id = key.first_event;
    store
        .append(after("a-1", 0, None, first).for_command(key.clone()))
        .await
        .unwrap();
    let known = event(1);
    let id = known.event_id;
    store.append(after("b-1", 0, None, known)).await.unwrap();
    let again = store
        .append(after("b-1", 1, Some(id), event(2)).for_command(key))
        .await;
    assert!(matches!(again, Err(StoreError::Repeated(_))), "{again:?}");
}

/// Many events in one batch, with or without one that is there already.
#[tokio::test]
async fn one_repeated_event_does_not_make_a_large_batch_slow() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let known = event(0);
    store
        .append(Append::new(
            stream("a-1"),
            ExpectedVersion::Any,
            vec![known.clone()],
        ))
        .await
        .unwrap();
    let without = time_of_batch(&database, &store, "b", event(0)).await;
    let with = time_of_batch(&database, &store, "c", known).await;
    assert!(
        with < without * 4 + Duration::from_secs(1),
        "{without:?} without, {with:?} with"
    );
}

/// How long one batch of many events takes, the first event of which is given.
async fn time_of_batch(
    database: &Database,
    store: &PostgresStore,
    name: &str,
    first: NewEvent,
) -> Duration {
    let lock = OrderLock::take(database).await;
    let batch = |n: u64| {
        let events = (0..100).map(event).collect();
        Append::new(
            stream(&format!("{name}-{n}")),
            ExpectedVersion::NoStream,
            events,
        )
    };
    let first = Append::new(stream("a-2"), ExpectedVersion::Any, vec![first]);
    let appends = [one("a-3", 1), first]
        .into_iter()
        .chain((0..500).map(batch));
    let mut all = Box::pin(join_all(appends.map(|append| store.append(append))));
    // The first takes a call of its own, and the others wait behind it.
    let queue = async {
        until_waiting(database, 1).await;
        lock.release().await;
        Instant::now()
    };
    let polled = futures::future::poll_fn(|context| {
        drop(all.as_mut().poll(context));
        std::task::Poll::Ready(())
    });
    polled.await;
    let started = queue.await;
    within("the batch", SOON, all).await;
    started.elapsed()
}

/// A function that fits better than that of the system, in a schema on the search path.
#[tokio::test]
async fn functions_of_others_are_not_called() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    database
        .execute(
            "CREATE TABLE public.called (by text); \
             CREATE FUNCTION public.cardinality(integer[]) RETURNS integer LANGUAGE plpgsql AS \
             'BEGIN INSERT INTO public.called VALUES (session_user); RETURN array_length($1, 1); END'",
        )
        .await
        .unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    assert_eq!(
        number(&database, "SELECT count(*) FROM public.called").await,
        0
    );
}
