//! Loads: the past, snapshots, old events, instances in memory.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use account::*;
use futures::TryStreamExt;
use ordain::prelude::*;
use ordain::store::{Append, Deletion};
use ordain::{
    After, App, Clock, Config, DecodeProblem, EventStore, ExpectedVersion, Lifespan, LoadError,
    MemoryStore, NewEvent, Snapshot, StartError, StoreError, StreamId, Upcaster, UpcastersError,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

fn stream(id: &str) -> StreamId {
    StreamId::new("account", id).unwrap()
}

fn id(text: &str) -> String {
    text.to_owned()
}

async fn snapshot_of(store: &MemoryStore, version: u64) -> Snapshot {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        match store.read_snapshot(&stream("a")).await {
            Ok(snapshot) if snapshot.version == version => return snapshot,
            _ if tokio::time::Instant::now() > deadline => panic!("no snapshot at {version}"),
            _ => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn the_current_state_and_the_past_are_loaded() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    assert!(
        app.load::<Account>(&id("a"))
            .await
            .unwrap_err()
            .is_not_found()
    );
    app.dispatch(open("a")).await.unwrap();
    for amount in 1..=20 {
        app.dispatch(deposit("a", amount)).await.unwrap();
    }
    for app in [app.clone(), app_on(&store).await] {
        let loaded = app.load::<Account>(&id("a")).await.unwrap();
        assert_eq!(
            (loaded.version.get(), loaded.position.get(), loaded.balance),
            (21, 21, 210)
        );
        let past = app.load_at::<Account>(&id("a"), 4).await.unwrap();
        assert_eq!((past.version.get(), past.balance), (4, 6));
    }
    assert!(
        app.load_at::<Account>(&id("a"), 0)
            .await
            .unwrap_err()
            .is_not_found()
    );
    let before = time::OffsetDateTime::UNIX_EPOCH;
    assert!(
        app.load_at::<Account>(&id("a"), before)
            .await
            .unwrap_err()
            .is_not_found()
    );
    let now = time::OffsetDateTime::now_utc();
    assert_eq!(
        app.load_at::<Account>(&id("a"), now).await.unwrap().balance,
        210
    );
    let history: Vec<_> = app
        .history::<Account>(&id("a"))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        (history.len(), history[20].recorded.version.get()),
        (21, 21)
    );
}

#[tokio::test]
async fn c104_a_snapshot_is_taken_at_the_interval_and_again_at_the_next() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    for _ in 0..8 {
        app.dispatch(deposit("a", 1)).await.unwrap();
    }
    assert!(matches!(
        store.read_snapshot(&stream("a")).await,
        Err(StoreError::SnapshotNotFound { .. })
    ));
    app.dispatch(deposit("a", 1)).await.unwrap();
    let first = snapshot_of(&store, 10).await;
    assert_eq!(first.schema_version, 1);
    for _ in 0..10 {
        app.dispatch(deposit("a", 1)).await.unwrap();
    }
    snapshot_of(&store, 20).await;
    assert_eq!(
        app_on(&store)
            .await
            .load::<Account>(&id("a"))
            .await
            .unwrap()
            .balance,
        19
    );
}

#[tokio::test]
async fn c104_a_snapshot_above_the_interval_is_of_the_whole_command() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(DepositAll {
        account: "a".into(),
        amounts: vec![1; 25],
    })
    .await
    .unwrap();
    let snapshot = snapshot_of(&store, 26).await;
    let state: Account = serde_json::from_slice(&snapshot.data).unwrap();
    assert_eq!(state.balance, 25);
}

#[tokio::test]
async fn d13_the_first_command_after_a_restart_does_not_snapshot_again() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(DepositAll {
        account: "a".into(),
        amounts: vec![1; 9],
    })
    .await
    .unwrap();
    let first = snapshot_of(&store, 10).await;
    let restarted = app_on(&store).await;
    restarted.dispatch(deposit("a", 1)).await.unwrap();
    restarted.shutdown().await.unwrap();
    assert_eq!(store.read_snapshot(&stream("a")).await.unwrap(), first);
}

#[tokio::test]
async fn c104_a_snapshot_that_does_not_fit_is_ignored() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(DepositAll {
        account: "a".into(),
        amounts: vec![1; 9],
    })
    .await
    .unwrap();
    let good = snapshot_of(&store, 10).await;
    let spoilt = [
        Snapshot {
            schema_version: 2,
            ..good.clone()
        },
        Snapshot {
            data: "no state".into(),
            ..good.clone()
        },
        Snapshot {
            entry: ordain::EventId::new(),
            ..good.clone()
        },
        Snapshot {
            version: 99.into(),
            ..good.clone()
        },
    ];
    for snapshot in spoilt {
        store.delete_snapshot(&stream("a")).await.unwrap();
        store.record_snapshot(snapshot).await.unwrap();
        let fresh = app_on(&store).await;
        assert_eq!(fresh.load::<Account>(&id("a")).await.unwrap().balance, 9);
        assert_eq!(
            fresh.dispatch(deposit("a", 0)).await.unwrap().version.get(),
            10
        );
    }
}

#[tokio::test]
async fn a_long_stream_is_loaded_page_by_page() {
    let store = MemoryStore::new();
    let config = Config::new().page(3);
    let app = App::builder(store.clone())
        .aggregate::<Account>()
        .config(config)
        .start()
        .await
        .unwrap();
    app.dispatch(open("a")).await.unwrap();
    for _ in 0..8 {
        app.dispatch(deposit("a", 1)).await.unwrap();
    }
    let fresh = App::builder(store)
        .aggregate::<Account>()
        .start()
        .await
        .unwrap();
    assert_eq!(fresh.load::<Account>(&id("a")).await.unwrap().balance, 8);
    assert_eq!(
        app.load_at::<Account>(&id("a"), 9).await.unwrap().balance,
        8
    );
}

#[tokio::test]
async fn pages_without_events_do_not_end_a_load() {
    let store = MemoryStore::new();
    let config = Config::new().page(1);
    let builder = App::builder(store.clone())
        .aggregate::<Account>()
        .config(config);
    let app = builder.start().await.unwrap();
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(DepositAll {
        account: "a".into(),
        amounts: vec![1; 9],
    })
    .await
    .unwrap();
    snapshot_of(&store, 10).await;
    store
        .delete_stream(&stream("a"), ExpectedVersion::Any, Deletion::Soft)
        .await
        .unwrap();
    store.undelete_stream(&stream("a")).await.unwrap();
    for _ in 0..3 {
        app.dispatch(deposit("a", 1)).await.unwrap();
    }
    let loaded = app.load_at::<Account>(&id("a"), 14).await.unwrap();
    assert_eq!((loaded.version.get(), loaded.balance), (14, 12));
    let config = Config::new().page(1);
    let builder = App::builder(store).aggregate::<Account>().config(config);
    let fresh = builder.start().await.unwrap();
    let receipt = fresh.dispatch(deposit("a", 0)).with_state().await.unwrap();
    assert_eq!((receipt.version.get(), receipt.state.balance), (14, 12));
}

async fn append_raw(
    store: &MemoryStore,
    event_type: &'static str,
    version: u32,
    json: serde_json::Value,
) {
    let mut event = NewEvent::new(event_type, json.to_string());
    event.schema_version = version;
    store
        .append(Append::new(stream("a"), ExpectedVersion::Any, vec![event]))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_event_that_the_aggregate_does_not_list_stops_the_load() {
    let store = MemoryStore::new();
    append_raw(&store, "Surprise", 3, json!({})).await;
    let app = app_on(&store).await;
    let error = app.load::<Account>(&id("a")).await.unwrap_err();
    let LoadError::Unreadable(error) = error else {
        panic!("{error}")
    };
    assert_eq!((error.stream, error.version.get()), (stream("a"), 1));
    assert_eq!((&*error.event_type, error.schema_version), ("Surprise", 3));
    assert!(matches!(
        error.problem,
        DecodeProblem::Unlisted {
            category: "account"
        }
    ));
    let error = app.dispatch(deposit("a", 1)).await.unwrap_err();
    assert!(error.to_string().contains("Surprise"), "{error}");
}

#[tokio::test]
async fn an_event_of_a_newer_program_stops_the_load() {
    let store = MemoryStore::new();
    append_raw(&store, "MoneyDeposited", 2, json!({ "amount": 1 })).await;
    let error = app_on(&store)
        .await
        .load::<Account>(&id("a"))
        .await
        .unwrap_err();
    let LoadError::Unreadable(error) = error else {
        panic!("{error}")
    };
    assert!(matches!(error.problem, DecodeProblem::Newer { known: 1 }));
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(version = 3)]
struct Paid {
    cents: u64,
    currency: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(alias = "Shut")]
struct Closed {
    why: String,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize, Aggregate)]
#[aggregate(category = "account", id = String, commands(), events(Paid, Closed))]
struct Till {
    seen: Vec<String>,
}

impl Apply<Paid> for Till {
    fn apply(&mut self, event: &Paid) {
        self.seen
            .push(format!("{} {}", event.cents, event.currency));
    }
}

impl Apply<Closed> for Till {
    fn apply(&mut self, event: &Closed) {
        self.seen.push(event.why.clone());
    }
}

fn to_cents() -> Upcaster {
    Upcaster::map("Paid", 1, 2, |json| {
        Ok(json!({ "cents": json["euros"].as_u64().ok_or("no euros")? * 100 }))
    })
}

fn to_currency() -> Upcaster {
    Upcaster::map("Paid", 2, 3, |mut json| {
        json["currency"] = "EUR".into();
        Ok(json)
    })
}

#[tokio::test]
async fn upcasters_chain_rename_split_and_drop_on_every_read_path() {
    let store = MemoryStore::new();
    append_raw(&store, "Paid", 1, json!({ "euros": 2 })).await;
    append_raw(&store, "Paid", 2, json!({ "cents": 5 })).await;
    append_raw(&store, "Paid", 3, json!({ "cents": 7, "currency": "USD" })).await;
    append_raw(&store, "Old", 1, json!({ "euros": 1 })).await;
    append_raw(&store, "Both", 1, json!({ "cents": 3, "why": "late" })).await;
    append_raw(&store, "Noise", 1, json!({})).await;
    append_raw(&store, "Shut", 1, json!({ "why": "alias" })).await;
    let app = App::builder(store.clone())
        .aggregate::<Till>()
        .upcaster(to_cents())
        .upcaster(to_currency())
        .upcaster(Upcaster::rename(("Old", 1), ("Paid", 1)))
        .upcaster(Upcaster::split(
            ("Both", 1),
            [("Paid", 2), ("Closed", 1)],
            |json| {
                Ok(vec![
                    json!({ "cents": json["cents"] }),
                    json!({ "why": json["why"] }),
                ])
            },
        ))
        .upcaster(Upcaster::drop("Noise", 1))
        .start()
        .await
        .unwrap();
    let expected = [
        "200 EUR", "5 EUR", "7 USD", "100 EUR", "3 EUR", "late", "alias",
    ];
    let loaded = app.load::<Till>(&id("a")).await.unwrap();
    assert_eq!(
        (loaded.version.get(), &*loaded.seen),
        (7, &expected.map(String::from)[..])
    );
    let past = app.load_at::<Till>(&id("a"), 1).await.unwrap();
    assert_eq!(past.seen, ["200 EUR"]);
    let history: Vec<_> = app.history::<Till>(&id("a")).try_collect().await.unwrap();
    let versions: Vec<_> = history
        .iter()
        .map(|event| event.recorded.version.get())
        .collect();
    assert_eq!(versions, [1, 2, 3, 4, 5, 5, 7]);
}

#[tokio::test]
async fn an_upcaster_that_fails_stops_the_load_with_its_reason() {
    let store = MemoryStore::new();
    append_raw(&store, "Paid", 1, json!({ "dollars": 2 })).await;
    let app = App::builder(store)
        .aggregate::<Till>()
        .upcaster(to_cents())
        .upcaster(to_currency())
        .start()
        .await
        .unwrap();
    let error = app.load::<Till>(&id("a")).await.unwrap_err();
    assert!(error.to_string().contains("no euros"), "{error}");
}

#[tokio::test]
async fn upcasters_that_do_not_fit_together_keep_the_app_from_starting() {
    let start = async |upcasters: Vec<Upcaster>| {
        let builder = App::builder(MemoryStore::new()).aggregate::<Till>();
        let builder = upcasters
            .into_iter()
            .fold(builder, |builder, one| builder.upcaster(one));
        match builder.start().await {
            Err(StartError::Upcasters(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    let gap = start(vec![to_currency()]).await;
    assert!(
        matches!(
            gap,
            UpcastersError::Gap {
                version: 1,
                current: 3,
                ..
            }
        ),
        "{gap}"
    );
    let nowhere = start(vec![to_cents()]).await;
    assert!(
        matches!(
            nowhere,
            UpcastersError::LeadsNowhere {
                version: 2,
                current: Some(3),
                ..
            }
        ),
        "{nowhere}"
    );
    let twice = start(vec![to_cents(), to_cents(), to_currency()]).await;
    assert!(
        matches!(twice, UpcastersError::Twice { version: 1, .. }),
        "{twice}"
    );
    let circle = start(vec![
        to_cents(),
        to_currency(),
        Upcaster::rename(("A", 1), ("B", 1)),
        Upcaster::rename(("B", 1), ("A", 1)),
    ])
    .await;
    assert!(matches!(circle, UpcastersError::Circle { .. }), "{circle}");
    let lost = start(vec![
        to_cents(),
        to_currency(),
        Upcaster::rename(("A", 1), ("B", 1)),
    ])
    .await;
    assert!(
        matches!(lost, UpcastersError::LeadsNowhere { current: None, .. }),
        "{lost}"
    );
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Counted {}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Count {
    #[command(id)]
    counter: u32,
}

#[derive(Debug, Clone, Aggregate)]
#[aggregate(
    category = "counter",
    commands(Count),
    events(Counted),
    new = Counter::with_id,
    lifespan = Counter::lifespan
)]
struct Counter {
    id: u32,
    count: u64,
}

impl Counter {
    fn with_id(id: &u32) -> Self {
        Self { id: *id, count: 0 }
    }

    fn lifespan(&self, after: After<'_, Self>) -> Lifespan {
        match after {
            After::Events(_) if self.id == 2 => Lifespan::Stop,
            After::Events(_) if self.id == 1 => Lifespan::Idle(Duration::from_secs(5)),
            After::Events(_) if self.id == 3 => Lifespan::Forever,
            _ => Lifespan::Default,
        }
    }
}

impl Execute<Count> for Counter {
    fn execute(&self, _: &Count) -> Decision<Self> {
        Ok(Counted {}.into())
    }
}

impl Apply<Counted> for Counter {
    fn apply(&mut self, _: &Counted) {
        self.count += 1;
    }
}

fn count(counter: u32) -> Count {
    Count { counter }
}

#[derive(Debug)]
struct HandClock {
    start: Instant,
    passed: Mutex<Duration>,
}

impl HandClock {
    fn advance(&self, by: Duration) {
        *self.passed.lock().unwrap() += by;
    }
}

impl Clock for HandClock {
    fn now(&self) -> time::OffsetDateTime {
        time::OffsetDateTime::UNIX_EPOCH + *self.passed.lock().unwrap()
    }

    fn instant(&self) -> Instant {
        self.start + *self.passed.lock().unwrap()
    }
}

/// Waits until the worker of the last command has left.
async fn settled(app: &App, evicted: usize) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut seen = 0;
    while seen < evicted {
        seen += app.evict_idle_instances();
        assert!(Instant::now() < deadline, "evicted {seen} of {evicted}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn c103_instances_leave_memory_when_their_lifespan_is_over() {
    let clock = Arc::new(HandClock {
        start: Instant::now(),
        passed: Mutex::new(Duration::ZERO),
    });
    let store = MemoryStore::new();
    let builder = App::builder(store)
        .aggregate::<Counter>()
        .clock(Arc::clone(&clock) as _);
    let app = builder.start().await.unwrap();
    for counter in 0..4 {
        app.dispatch(count(counter)).await.unwrap();
    }
    while app.instances() > 3 {
        tokio::task::yield_now().await;
    }
    clock.advance(Duration::from_secs(6));
    settled(&app, 1).await;
    assert_eq!(app.instances(), 2);
    clock.advance(Duration::from_secs(600));
    settled(&app, 1).await;
    assert_eq!((app.instances(), app.evict_idle_instances()), (1, 0));
    for counter in 0..4 {
        let loaded = app.dispatch(count(counter)).with_state().await.unwrap();
        assert_eq!(loaded.state.count, 2);
    }
}

#[tokio::test]
async fn no_more_instances_stay_in_memory_than_allowed() {
    let config = Config::new().instances_max(32);
    let builder = App::builder(MemoryStore::new())
        .aggregate::<Counter>()
        .config(config);
    let app = builder.start().await.unwrap();
    for counter in 10..1_010 {
        app.dispatch(count(counter)).await.unwrap();
        tokio::task::yield_now().await;
        assert!(app.instances() <= 34, "{}", app.instances());
    }
    for counter in 10..1_010 {
        assert_eq!(app.dispatch(count(counter)).await.unwrap().version.get(), 2);
    }
}
