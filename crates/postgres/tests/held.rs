//! The order lock is held by somebody else for long, under load.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod wire;

use std::collections::HashSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use futures::future::join_all;
use ordain::store::{Append, ReadAll};
use ordain::{EventId, EventStore, StoreError};
use ordain_postgres::PostgresStore;
use ordain_testkit::postgres::Database;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};
use wire::{OrderLock, one, options, until, until_waiting, within};

const SOON: Duration = Duration::from_secs(40);

/// The processes that warnings name as holders of the lock.
#[derive(Debug, Clone, Default)]
struct Named(Arc<Mutex<HashSet<i64>>>);

impl Named {
    fn has(&self, pid: i64) -> bool {
        self.0.lock().unwrap().contains(&pid)
    }
}

impl Subscriber for Named {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Pid(self));
    }
}

struct Pid<'a>(&'a Named);

impl Visit for Pid<'_> {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "pid" {
            self.0.0.lock().unwrap().insert(value);
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
}

type Answer = (EventId, Result<u64, StoreError>);

/// Appends to streams of one's own and to those of all, each as a task of its own.
fn load(
    store: &PostgresStore,
    count: u64,
    deadline: Option<Instant>,
) -> Vec<tokio::task::JoinHandle<Answer>> {
    let send = |number: u64| {
        let append: Append = one(&format!("a-{}", number % 11), number).with_deadline(deadline);
        let id = append.writes[0].events[0].event_id;
        let store = store.clone();
        tokio::spawn(async move {
            let answer = store.append(append).await;
            (id, answer.map(|appended| appended.first_position.get()))
        })
    };
    (0..count).map(send).collect()
}

async fn answers(tasks: Vec<tokio::task::JoinHandle<Answer>>) -> Vec<Answer> {
    let all = within("the answers", SOON, join_all(tasks)).await;
    all.into_iter().map(Result::unwrap).collect()
}

/// Holds the lock until every request with a deadline has been answered.
async fn hold_under_load(deadline: Duration, lock_timeout: Duration) {
    let named = Named::default();
    let _default = tracing::subscriber::set_default(named.clone());
    let database = Database::create().await;
    let open = || {
        options(&database)
            .order_lock_timeout(lock_timeout)
            .connect()
    };
    let stores = [open().await.unwrap(), open().await.unwrap()];
    let other = options(&database).schema("other").connect().await.unwrap();

    let lock = OrderLock::take(&database).await;
    let start = Instant::now();
    let patient: Vec<_> = stores
        .iter()
        .flat_map(|store| load(store, 150, None))
        .collect();
    let late: Vec<_> = stores
        .iter()
        .flat_map(|store| load(store, 50, Some(start + deadline)))
        .collect();
    until_waiting(&database, 2).await;
    // Reads, and the store beside it, go on.
    assert_eq!(stores[0].head().await.unwrap(), 0);
    for (_, answer) in answers(load(&other, 20, None)).await {
        answer.unwrap();
    }
    let late = answers(late).await;
    let held = start.elapsed();
    let holder = lock.holder().await;
    until("the holder is named", || async { named.has(holder) }).await;
    lock.release().await;
    let patient = answers(patient).await;

    for (_, answer) in &late {
        assert!(
            matches!(answer, Err(StoreError::DeadlinePassed)),
            "{answer:?}"
        );
    }
    let log = stores[0].read_all(ReadAll::forward().limit(1_000)).await;
    let log = log.unwrap().events;
    let mut told: Vec<_> = patient
        .iter()
        .map(|(id, answer)| (*answer.as_ref().unwrap(), *id))
        .collect();
    told.sort_unstable_by_key(|(position, _)| *position);
    let stored = log
        .iter()
        .map(|event| (event.position.get(), event.event_id));
    assert!(stored.eq(told), "what is stored is not what was told");
    let positions = log.iter().map(|event| event.position.get());
    assert!(positions.eq(1..=300));
    println!(
        "held for {held:?}: {} told that their deadline passed, {} stored",
        late.len(),
        log.len()
    );
}

#[tokio::test]
async fn requests_that_outlive_a_held_lock_are_stored_once_and_others_are_told() {
    hold_under_load(Duration::from_millis(1_500), Duration::from_millis(400)).await;
}

#[tokio::test]
#[ignore = "takes 10 seconds"]
async fn the_lock_is_held_for_10_seconds_under_load() {
    hold_under_load(Duration::from_secs(10), Duration::from_secs(5)).await;
}
