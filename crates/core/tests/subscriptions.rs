//! Subscriptions when something goes wrong at an unlucky moment.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use account::*;
use ordain::store::{Append, Filter, SubscriptionKey, SubscriptionState, SubscriptionStore};
use ordain::subscription::{
    Follow, FollowError, StartFrom, Subscribe, SubscriptionOptions, SubscriptionStatus, WhenSlow,
};
use ordain::{
    App, AppBuilder, Backoff, BoxError, Config, EventContext, EventHandler, EventSet, EventStore,
    ExpectedVersion, MemoryStore, NewEvent, Ordering, Projection, ReadModels,
};
use ordain_testkit::{Call, Fault, FaultyStore, Halt};
use tokio::sync::{Notify, watch};

type Store = FaultyStore<MemoryStore>;

/// Longer than any test may take, so that nothing is mended by a lease that ends.
const NEVER: Duration = Duration::from_secs(300);

const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, EventSet)]
enum Money {
    Deposited(MoneyDeposited),
}

fn store() -> Store {
    FaultyStore::new(MemoryStore::new())
}

fn on(store: &Store, lease: Duration) -> AppBuilder<Store> {
    let config = Config::new().beat(Duration::from_millis(10)).lease(lease);
    App::builder(store.clone())
        .aggregate::<Account>()
        .config(config)
}

fn quick() -> SubscriptionOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    SubscriptionOptions::new().retry(retry).attempts(2)
}

async fn deposited(store: &Store, account: &str, count: usize) {
    let deposit = |_| NewEvent::new("MoneyDeposited", r#"{"amount":1}"#);
    let events = (0..count).map(deposit).collect();
    let stream = format!("account-{account}").parse().unwrap();
    let append = Append::new(stream, ExpectedVersion::Any, events);
    store.append(append).await.unwrap();
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is().await {
        assert!(begin.elapsed() < PATIENCE, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn status_when(
    app: &App,
    name: &str,
    is: impl Fn(&SubscriptionStatus) -> bool,
) -> SubscriptionStatus {
    let begin = Instant::now();
    loop {
        let status = app.subscriptions().status(name).await.unwrap();
        if is(&status) {
            return status;
        }
        assert!(begin.elapsed() < PATIENCE, "{status:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

async fn caught_up(app: &App, name: &str) {
    let head = app.store().head().await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    app.wait_until(name, head, deadline).await.unwrap();
}

/// Within so long, or the test fails.
async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let ended = tokio::time::timeout(PATIENCE, future).await;
    ended.unwrap_or_else(|_| panic!("{what}"))
}

/// Counts how often each position was handled, and fails or waits where it is told to.
#[derive(Clone)]
struct Noting {
    handled: Arc<Mutex<Vec<EventContext>>>,
    count: watch::Sender<usize>,
    options: SubscriptionOptions,
    failing: Arc<AtomicBool>,
    ordering_panics: Arc<AtomicBool>,
    /// What handling an event takes.
    takes: Duration,
    begun: Arc<Notify>,
}

impl Noting {
    fn new() -> Self {
        Self {
            handled: Arc::default(),
            count: watch::Sender::new(0),
            options: quick(),
            failing: Arc::default(),
            ordering_panics: Arc::default(),
            takes: Duration::ZERO,
            begun: Arc::default(),
        }
    }

    fn failing() -> Self {
        let noting = Self::new();
        noting.failing.store(true, Atomic::SeqCst);
        noting
    }

    fn positions(&self) -> Vec<u64> {
        let handled = self.handled.lock().unwrap();
        handled.iter().map(|one| one.position().get()).collect()
    }

    async fn until(&self, count: usize) {
        let mut counts = self.count.subscribe();
        soon(
            "events to be handled",
            counts.wait_for(|seen| *seen >= count),
        )
        .await
        .unwrap();
    }
}

impl EventHandler for Noting {
    const NAME: &'static str = "noting";
    type Events = Money;

    async fn handle(&self, _: &Money, context: &EventContext) -> Result<(), BoxError> {
        if self.failing.load(Atomic::SeqCst) {
            return Err("it cannot be handled".into());
        }
        self.begun.notify_one();
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        self.handled.lock().unwrap().push(context.clone());
        self.count.send_modify(|count| *count += 1);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        self.options.clone()
    }

    fn ordering(&self, _: &Money, _: &EventContext) -> Ordering {
        assert!(
            !self.ordering_panics.load(Atomic::SeqCst),
            "a panic of the handler"
        );
        Ordering::Stream
    }
}

/// How many deposits each account had, by version.
#[derive(Clone, Default)]
struct Deposits<const VERSION: u32> {
    failing: Arc<AtomicBool>,
    reset_panics: Arc<AtomicBool>,
    resets: Arc<AtomicUsize>,
}

impl<const VERSION: u32> Projection<ReadModels> for Deposits<VERSION> {
    const NAME: &'static str = "deposits";
    const VERSION: u32 = VERSION;
    type Events = Money;

    async fn project(
        &self,
        _: &Money,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        if self.failing.load(Atomic::SeqCst) {
            return Err("it is broken".into());
        }
        let table = VERSION.to_string();
        let count = db.get::<u64>(&table, context.id()).unwrap_or_default();
        db.put(&table, context.id(), count + 1);
        Ok(())
    }

    async fn reset(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        self.resets.fetch_add(1, Atomic::SeqCst);
        assert!(
            !self.reset_panics.load(Atomic::SeqCst),
            "a panic of the projection"
        );
        db.clear(&VERSION.to_string());
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        let retry = Backoff::new(Duration::from_millis(5), Duration::from_millis(20));
        quick().retry(retry).attempts(u32::MAX)
    }
}

#[tokio::test]
async fn a_retry_of_many_events_ends_when_it_is_told_to() {
    let store = store();
    let mut noting = Noting::failing();
    noting.takes = Duration::from_millis(20);
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1_000).await;
    status_when(&app, "noting", |status| {
        status.dead_letters == 1 && status.lag == 0
    })
    .await;
    noting.failing.store(false, Atomic::SeqCst);
    app.subscriptions().retry_all("noting").await.unwrap();
    noting.until(3).await;
    // Others are handled between.
    deposited(&store, "b", 1).await;
    until("the other's event", async || {
        noting.positions().contains(&1_001)
    })
    .await;
    assert!(noting.positions().len() < 500);
    app.subscriptions().pause("noting").await.unwrap();
    status_when(&app, "noting", |status| {
        status.partitions[0].owner.is_none()
    })
    .await;
    assert!(noting.positions().len() < 500);
    // It goes on where it was.
    let before = noting.positions();
    app.subscriptions().resume("noting").await.unwrap();
    noting.until(before.len() + 3).await;
    assert!(!before.contains(&noting.positions()[before.len()]));
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_that_was_never_tried_is_not_discarded() {
    let store = store();
    let faults = store.faults();
    let noting = Noting::failing();
    let app = on(&store, Duration::from_millis(300)).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    noting.failing.store(false, Atomic::SeqCst);
    deposited(&store, "b", 999).await;
    deposited(&store, "a", 1).await;
    status_when(&app, "noting", |status| status.lag == 0).await;
    // The retry succeeds, and is cut off before it comes to the second event of the key.
    faults.pass_next(Call::ReadAll);
    let mut gate = faults.halt_next(Call::ReadAll, Halt::BeforeCommit);
    let subscriptions = app.subscriptions();
    assert!(subscriptions.retry("noting", "account-a").await.unwrap());
    gate.reached().await;
    let blocks = store.blocks(&SubscriptionKey::new("noting", 1), 10).await;
    assert_eq!(blocks.unwrap()[0].event_id, None);
    drop(app);
    drop(gate);

    assert!(subscriptions.discard("noting", "account-a").await.unwrap());
    let again = on(&store, NEVER).event_handler(noting.clone());
    let again = again.start().await.unwrap();
    status_when(&again, "noting", |status| status.dead_letters == 0).await;
    assert!(noting.positions().contains(&1_001));
    again.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reset_forgets_dead_letters() {
    let store = store();
    let noting = Noting::failing();
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 2).await;
    status_when(&app, "noting", |status| {
        status.dead_letters == 1 && status.lag == 0
    })
    .await;
    noting.failing.store(false, Atomic::SeqCst);
    app.subscriptions().reset("noting", 0).await.unwrap();
    status_when(&app, "noting", |status| {
        status.state == SubscriptionState::Active && status.lag == 0 && status.dead_letters == 0
    })
    .await;
    deposited(&store, "a", 1).await;
    noting.until(1).await;
    assert_eq!(noting.positions(), [3]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_ordering_that_panics_keeps_no_event_from_being_handled() {
    let store = store();
    let mut noting = Noting::new();
    noting.options = quick().partitions(2);
    noting.ordering_panics.store(true, Atomic::SeqCst);
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    for account in ["a", "b", "c"] {
        deposited(&store, account, 1).await;
    }
    caught_up(&app, "noting").await;
    let mut positions = noting.positions();
    positions.sort_unstable();
    assert_eq!(positions, [1, 2, 3]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reader_that_catches_up_is_not_slow() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    deposited(&store, "a", 100).await;
    let follow = Follow::new()
        .start_from(StartFrom::Origin)
        .buffer(2)
        .when_slow(WhenSlow::End);
    let mut events = app.follow(follow).await.unwrap();
    for position in 1..=100_u64 {
        let event = soon("an event", events.next()).await.unwrap().unwrap();
        assert_eq!(event.position, position);
    }
    // Now it is live; and slow.
    let mut told = None;
    let mut seen = 100;
    for _ in 0..1_000 {
        deposited(&store, "a", 1).await;
        tokio::task::yield_now().await;
    }
    while let Some(next) = soon("what comes next", events.next()).await {
        match next {
            Ok(event) => {
                seen += 1;
                assert_eq!(event.position, seen);
            }
            Err(error) => told = Some(error),
        }
    }
    let Some(FollowError::Lagging { position }) = told else {
        panic!("{told:?}");
    };
    assert_eq!(position, seen);
    app.shutdown().await.unwrap();
}

