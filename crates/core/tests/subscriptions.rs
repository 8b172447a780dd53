//! Subscriptions when something goes wrong at an unlucky moment.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use account::*;
use ordain::store::{
    Append, Barrier, Definition, Deletion, Filter, MemoryOptions, Partitions, SubscriptionChange,
    SubscriptionKey, SubscriptionState, SubscriptionStore,
};
use ordain::subscription::{
    Follow, FollowError, StartFrom, Subscribe, SubscriptionError, SubscriptionOptions,
    SubscriptionStatus, Subscriptions, WaitError, WhenSlow,
};
use ordain::{
    App, AppBuilder, Backoff, BatchHandler, BoxError, Config, DispatchError, Event, EventContext,
    EventHandler, EventSet, EventStore, ExpectedVersion, Failure, FailureAction, Handle, Handled,
    MemoryStore, NewEvent, Ordering, Process, ProcessManager, ProcessOptions, Projection,
    ReadModels, Route,
};
use ordain_testkit::{Call, Fault, FaultyStore, Halt};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
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
    /// How often it was asked what an event is ordered by.
    orderings: Arc<AtomicUsize>,
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
            orderings: Arc::default(),
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
        self.orderings.fetch_add(1, Atomic::SeqCst);
        assert!(
            !self.ordering_panics.load(Atomic::SeqCst),
            "a panic of the handler"
        );
        Ordering::Stream
    }
}

/// The next version of a handler.
struct Next(Noting);

impl EventHandler for Next {
    const NAME: &'static str = Noting::NAME;
    const VERSION: u32 = 2;
    type Events = Money;

    async fn handle(&self, event: &Money, context: &EventContext) -> Result<(), BoxError> {
        self.0.handle(event, context).await
    }

    fn options(&self) -> SubscriptionOptions {
        self.0.options()
    }
}

/// How many deposits each account had, by version.
#[derive(Clone, Default)]
struct Deposits<const VERSION: u32> {
    failing: Arc<AtomicBool>,
    /// Whether an event that fails stops it, or is put aside; otherwise it is tried again without end.
    stops: bool,
    aside: bool,
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

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        match (self.stops, self.aside) {
            (true, _) => FailureAction::Stop,
            (_, true) => FailureAction::DeadLetter,
            _ => failure.default_action(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_that_arrives_late_heeds_the_partitions_of_now() {
    let store = store();
    let late = store.faults();
    let mut gate = late.halt_next(Call::Claim, Halt::BeforeCommit);
    let noting = Noting::new();
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    gate.reached().await;

    let elsewhere = FaultyStore::new(store.inner().clone());
    let other = on(&elsewhere, NEVER).event_handler(Noting::new());
    let other = other.start().await.unwrap();
    other
        .subscriptions()
        .repartition("noting", 3)
        .await
        .unwrap();
    status_when(&other, "noting", |status| status.partitions.len() == 3).await;
    other.shutdown().await.unwrap();

    gate.release();
    for account in 0..30 {
        deposited(&store, &account.to_string(), 1).await;
    }
    caught_up(&app, "noting").await;
    let mut positions = noting.positions();
    positions.sort_unstable();
    assert_eq!(positions, (1..=30).collect::<Vec<_>>());
    app.shutdown().await.unwrap();
}

/// Counts what it handles.
#[derive(Clone, Default)]
struct Counting(Arc<AtomicUsize>);

impl EventHandler for Counting {
    const NAME: &'static str = "counting";
    type Events = Money;

    async fn handle(&self, _: &Money, _: &EventContext) -> Result<(), BoxError> {
        self.0.fetch_add(1, Atomic::SeqCst);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        quick()
    }
}

#[tokio::test]
async fn a_panic_of_the_store_while_the_end_is_followed_costs_no_lease() {
    let (store, counting) = (store(), Counting::default());
    let count = Arc::clone(&counting.0);
    let config = Config::new()
        .beat(Duration::from_millis(10))
        .lease(NEVER)
        .poll(Duration::from_millis(10));
    let app = App::builder(store.clone()).config(config);
    let app = app.event_handler(counting).start().await.unwrap();
    deposited(&store, "a", 1).await;
    let deadline = Instant::now() + PATIENCE;
    app.wait_until("counting", 1, deadline).await.unwrap();
    let epoch = async || {
        let status = app.subscriptions().status("counting").await.unwrap();
        status.partitions[0].epoch
    };
    let before = epoch().await;
    // Live, it is the tail that reads.
    store.faults().fail_next_n(3, Call::ReadAll, Fault::Panic);
    until("the store has panicked", async || {
        store.faults().armed(Call::ReadAll) == 0
    })
    .await;
    deposited(&store, "a", 5).await;
    app.wait_until("counting", 6, deadline).await.unwrap();
    assert_eq!(count.load(Atomic::SeqCst), 6);
    assert_eq!(epoch().await, before);
    app.shutdown().await.unwrap();
}

/// Handles nothing yet: it is to begin after position 5.
struct Ahead;

impl EventHandler for Ahead {
    const NAME: &'static str = "ahead";
    type Events = Money;

    async fn handle(&self, _: &Money, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        quick().start_from(StartFrom::Position(5.into()))
    }
}

#[tokio::test]
async fn nothing_begins_where_the_log_has_not_come_to() {
    let store = store();
    deposited(&store, "a", 4).await;
    let refused = on(&store, NEVER).event_handler(Ahead).start().await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("the log ends at 4"), "{refused}");
    deposited(&store, "a", 1).await;
    let app = on(&store, NEVER).event_handler(Ahead).start().await;
    let app = app.unwrap();
    let refused = app.subscriptions().reset("ahead", 6).await;
    let beyond = matches!(&refused, Err(SubscriptionError::BeyondHead { head, .. }) if *head == 5);
    assert!(beyond, "{refused:?}");
    app.subscriptions().reset("ahead", 5).await.unwrap();
    let deadline = Instant::now() + PATIENCE;
    app.wait_until("ahead", 5, deadline).await.unwrap();
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_panic_while_one_is_reset_holds_up_no_other() {
    let store = store();
    let deposits = Deposits::<1>::default();
    deposits.reset_panics.store(true, Atomic::SeqCst);
    let noting = Noting::new();
    let app = on(&store, NEVER)
        .projection(deposits.clone())
        .event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 2).await;
    caught_up(&app, "deposits").await;
    app.subscriptions().reset("deposits", 0).await.unwrap();
    until("it is reset", async || {
        deposits.resets.load(Atomic::SeqCst) > 0
    })
    .await;

    // What only a round of the process can do is still done.
    app.subscriptions().pause("noting").await.unwrap();
    status_when(&app, "noting", |status| {
        status.partitions[0].owner.is_none()
    })
    .await;
    app.subscriptions().resume("noting").await.unwrap();
    deposited(&store, "a", 1).await;
    caught_up(&app, "noting").await;
    deposits.reset_panics.store(false, Atomic::SeqCst);
    caught_up(&app, "deposits").await;
    let count = store.inner().read_models().get::<u64>("1", "a");
    assert_eq!(count, Some(3));
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_dead_letter_is_retried_as_often_as_it_is_asked_for() {
    let store = store();
    let noting = Noting::failing();
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    let letter = async || {
        let letters = app.subscriptions().dead_letters("noting").await.unwrap();
        letters.into_iter().next()
    };
    until("a dead letter", async || letter().await.is_some()).await;
    for round in 0..50 {
        let before = letter().await.unwrap().attempts;
        let key = letter().await.unwrap().key;
        assert!(app.subscriptions().retry("noting", &key).await.unwrap());
        until(&format!("attempt {round}"), async || {
            letter().await.unwrap().attempts > before
        })
        .await;
    }
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_is_asked_for_while_a_dead_letter_is_retried_is_done() {
    let store = store();
    let noting = Noting::failing();
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 2).await;
    let letters = async || app.subscriptions().dead_letters("noting").await.unwrap();
    until("a dead letter", async || !letters().await.is_empty()).await;
    caught_up(&app, "noting").await;
    let key = letters().await.remove(0).key;
    let mut gate = store.faults().halt_next(Call::Commit, Halt::BeforeCommit);
    assert!(app.subscriptions().retry("noting", &key).await.unwrap());
    soon("it has failed again", gate.reached()).await;
    noting.failing.store(false, Atomic::SeqCst);
    assert!(app.subscriptions().discard("noting", &key).await.unwrap());
    gate.release();
    until("it is left out", async || letters().await.is_empty()).await;
    assert_eq!(noting.positions(), [2]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_retry_without_an_answer_is_taken_in_once() {
    let store = store();
    let deposits = Deposits::<1> {
        aside: true,
        ..Deposits::default()
    };
    deposits.failing.store(true, Atomic::SeqCst);
    let app = on(&store, NEVER).projection(deposits.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    let letters = async || app.subscriptions().dead_letters("deposits").await.unwrap();
    until("a dead letter", async || !letters().await.is_empty()).await;
    caught_up(&app, "deposits").await;
    deposits.failing.store(false, Atomic::SeqCst);
    let faults = store.faults();
    faults.fail_next(Call::CommitWork, Fault::AfterCommit);
    app.subscriptions().retry_all("deposits").await.unwrap();
    until("it is taken in", async || letters().await.is_empty()).await;
    assert_eq!(faults.armed(Call::CommitWork), 0);
    assert_eq!(store.inner().read_models().get::<u64>("1", "a"), Some(1));
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_key_that_was_forgotten_is_handled_again_though_that_could_not_be_read_at_first() {
    let store = store();
    let noting = Noting::failing();
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    caught_up(&app, "noting").await;
    noting.failing.store(false, Atomic::SeqCst);
    let faults = store.faults();
    faults.fail_next(Call::Blocks, Fault::BeforeCommit);
    let key = SubscriptionKey::new("noting", 1);
    let pruned = store.prune(&key, Some(Duration::ZERO), None).await;
    assert_eq!(pruned.unwrap(), 1);
    until("it has been tried to read them", async || {
        faults.armed(Call::Blocks) == 0
    })
    .await;
    until("events are handled", async || {
        deposited(&store, "a", 1).await;
        !noting.positions().is_empty()
    })
    .await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_commit_without_an_answer_costs_no_lease() {
    let store = store();
    let faults = store.faults();
    let mut noting = Noting::new();
    noting.options = quick().checkpoint_every(1);
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    caught_up(&app, "noting").await;
    faults.fail_next(Call::Commit, Fault::AfterCommit);
    deposited(&store, "a", 1).await;
    noting.until(2).await;
    deposited(&store, "a", 1).await;
    caught_up(&app, "noting").await;
    assert_eq!(noting.positions(), [1, 2, 3]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn to_wait_for_a_version_that_is_about_to_be_replaced_is_to_wait() {
    let store = store();
    let old = on(&store, NEVER).projection(Deposits::<1>::default());
    let old = old.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&old, "deposits").await;
    let next = Deposits::<2>::default();
    next.failing.store(true, Atomic::SeqCst);
    let new = on(&store, NEVER).projection(next.clone());
    let new = new.start().await.unwrap();
    status_when(&old, "deposits", |status| {
        status.state == SubscriptionState::Paused
    })
    .await;
    deposited(&store, "a", 1).await;
    let waiting = tokio::spawn(async move { caught_up(&old, "deposits").await });
    next.failing.store(false, Atomic::SeqCst);
    soon("it is caught up", waiting).await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_version_goes_on_if_the_one_that_was_to_replace_it_is_gone() {
    let store = store();
    let lease = Duration::from_millis(200);
    let old = on(&store, lease).projection(Deposits::<1>::default());
    let old = old.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&old, "deposits").await;
    let next = Deposits::<2>::default();
    next.failing.store(true, Atomic::SeqCst);
    let new = on(&store, lease).projection(next).start().await.unwrap();
    status_when(&old, "deposits", |status| {
        status.state == SubscriptionState::Paused
    })
    .await;
    drop(new);
    deposited(&store, "a", 1).await;
    caught_up(&old, "deposits").await;
    assert_eq!(store.inner().read_models().get::<u64>("1", "a"), Some(6));
    old.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_version_that_cannot_catch_up_does_not_hold_the_other_again_at_once() {
    let store = store();
    let lease = Duration::from_millis(200);
    let old = on(&store, lease).projection(Deposits::<1>::default());
    let old = old.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&old, "deposits").await;
    let next = Deposits::<2>::default();
    next.failing.store(true, Atomic::SeqCst);
    let new = on(&store, lease).projection(next.clone());
    let new = new.start().await.unwrap();
    status_when(&old, "deposits", |status| {
        status.state == SubscriptionState::Paused
    })
    .await;
    status_when(&old, "deposits", |status| {
        status.state == SubscriptionState::Active
    })
    .await;
    // Many rounds of both processes.
    for _ in 0..20 {
        deposited(&store, "a", 1).await;
        caught_up(&old, "deposits").await;
        let state = old.subscriptions().status("deposits").await.unwrap().state;
        assert_eq!(state, SubscriptionState::Active);
    }
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_version_that_was_paused_stays_paused_when_another_replaces_it() {
    let store = store();
    let old = on(&store, NEVER).projection(Deposits::<1>::default());
    let old = old.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&old, "deposits").await;
    old.subscriptions().pause("deposits").await.unwrap();
    let new = on(&store, NEVER).projection(Deposits::<2>::default());
    let new = new.start().await.unwrap();
    let status = status_when(&new, "deposits", |status| status.version == 2).await;
    assert_eq!(status.state, SubscriptionState::Paused);
    new.subscriptions().resume("deposits").await.unwrap();
    deposited(&store, "a", 1).await;
    caught_up(&new, "deposits").await;
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_open_subscription_ends_with_its_app() {
    for is_dropped in [false, true] {
        let store = store();
        let app = on(&store, NEVER).start().await.unwrap();
        let mut open = app.subscribe(Subscribe::new("open")).await.unwrap();
        deposited(&store, "a", 1).await;
        let delivered = soon("an event", open.next()).await.unwrap();
        open.ack(&delivered).unwrap();
        if !is_dropped {
            app.shutdown().await.unwrap();
        }
        drop(app);
        assert!(soon("the end", open.next()).await.is_none());
        soon("it is closed", open.close()).await;
    }
}

#[tokio::test]
async fn what_is_acknowledged_behind_a_missing_acknowledgement_stays_within_the_window() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    deposited(&store, "a", 6).await;
    let options = SubscriptionOptions::new().window(3);
    let subscribe = Subscribe::new("open").options(options);
    let mut open = app.subscribe(subscribe).await.unwrap();
    let mut delivered = Vec::new();
    for _ in 0..3 {
        delivered.push(soon("an event", open.next()).await.unwrap());
    }
    open.ack(&delivered[1]).unwrap();
    open.ack(&delivered[2]).unwrap();
    let early = tokio::time::timeout(Duration::from_millis(200), open.next()).await;
    assert!(early.is_err(), "{early:?}");
    open.ack(&delivered[0]).unwrap();
    for position in 4..=6 {
        let next = soon("the rest", open.next()).await.unwrap();
        assert_eq!(next.event.position, position);
    }
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_subscription_that_is_dropped_is_opened_again_at_once() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    deposited(&store, "a", 2).await;
    let mut open = app.subscribe(Subscribe::new("open")).await.unwrap();
    for _ in 0..20 {
        let first = soon("the first", open.next()).await.unwrap();
        assert_eq!(first.event.position, 1);
        drop(open);
        open = app.subscribe(Subscribe::new("open")).await.unwrap();
    }
    drop(open);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_subscription_is_opened_once_however_many_try() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    let opened = futures::future::join_all((0..8).map(|_| app.subscribe(Subscribe::new("open"))));
    let opened = opened.await;
    assert_eq!(opened.iter().filter(|one| one.is_ok()).count(), 1);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn acknowledgements_out_of_order_count_for_the_checkpoint() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    let options = quick().checkpoint_every(4).checkpoint_after(NEVER);
    let subscribe = Subscribe::new("open").options(options);
    let mut open = app.subscribe(subscribe).await.unwrap();
    deposited(&store, "a", 4).await;
    let mut delivered = Vec::new();
    for _ in 0..4 {
        delivered.push(soon("an event", open.next()).await.unwrap());
    }
    for one in delivered.iter().rev() {
        open.ack(one).unwrap();
        // The partition notices each by itself.
        tokio::task::yield_now().await;
    }
    status_when(&app, "open", |status| status.position == 4).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_waits_for_an_open_subscription_has_its_checkpoint_written() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    let options = quick().checkpoint_every(1_000).checkpoint_after(NEVER);
    let subscribe = Subscribe::new("open").options(options);
    let mut open = app.subscribe(subscribe).await.unwrap();
    deposited(&store, "a", 1).await;
    let delivered = soon("an event", open.next()).await.unwrap();
    open.ack(&delivered).unwrap();
    caught_up(&app, "open").await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_lost_partition_had_delivered_is_not_given_out() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    let mut open = app.subscribe(Subscribe::new("open")).await.unwrap();
    deposited(&store, "a", 5).await;
    let first = soon("an event", open.next()).await.unwrap();
    open.ack(&first).unwrap();
    caught_up_to(&app, "open", 1).await;
    // Fences what was delivered.
    app.subscriptions().repartition("open", 2).await.unwrap();
    status_when(&app, "open", |status| status.partitions.len() == 2).await;
    let mut positions = Vec::new();
    for _ in 0..4 {
        let next = soon("an event", open.next()).await.unwrap();
        open.ack(&next).unwrap();
        positions.push(next.event.position.get());
    }
    assert_eq!(positions, [2, 3, 4, 5]);
    caught_up(&app, "open").await;
    app.shutdown().await.unwrap();
}

async fn caught_up_to(app: &App, name: &str, position: u64) {
    let deadline = Instant::now() + PATIENCE;
    app.wait_until(name, position, deadline).await.unwrap();
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
    noting.until(3).await;
    // What had waited was never handled, and is no replay.
    assert_eq!(noting.positions(), [1, 2, 3]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reset_subscription_may_want_other_events() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    let open = app.subscribe(Subscribe::new("open")).await.unwrap();
    open.close().await;
    app.subscriptions().reset("open", 0).await.unwrap();
    let other = Subscribe::new("open").filter(Filter::all().types(["MoneyDeposited"]));
    for _ in 0..2 {
        let mut open = app.subscribe(other.clone()).await.unwrap();
        deposited(&store, "a", 1).await;
        let one = soon("an event", open.next()).await.unwrap();
        open.ack(&one).unwrap();
        open.close().await;
    }
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
async fn keys_are_asked_for_only_where_they_matter() {
    let store = store();
    let noting = Noting::new();
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 3).await;
    caught_up(&app, "noting").await;
    assert_eq!(noting.orderings.load(Atomic::SeqCst), 0);
    app.subscriptions().reset("noting", 0).await.unwrap();
    // Whether each is a replay depends on its key.
    until("the reset one asks", async || {
        noting.orderings.load(Atomic::SeqCst) == 3
    })
    .await;
    deposited(&store, "a", 3).await;
    noting.until(6).await;
    assert_eq!(noting.orderings.load(Atomic::SeqCst), 3);
    app.shutdown().await.unwrap();
}

async fn change(
    store: &Store,
    name: &str,
    partitions: Partitions,
    edit: impl FnOnce(&mut Definition),
) {
    let known = store.subscriptions(Some(name)).await.unwrap();
    let mut known = known.into_iter().next().unwrap();
    edit(&mut known.definition);
    let change = SubscriptionChange {
        key: known.key,
        expected: known.generation,
        at_least: None,
        definition: known.definition,
        partitions,
    };
    assert!(store.change_subscriptions(vec![change]).await.unwrap());
}

/// Puts up a barrier, or moves it, as another process does.
async fn put_barrier(store: &Store, name: &str, position: u64) {
    let barrier = Barrier {
        position: position.into(),
        partitions: 2,
    };
    change(store, name, Partitions::Keep, |definition| {
        definition.barrier = Some(barrier);
    })
    .await;
    // Two rounds later everybody knows.
    let signs = store.faults().calls(Call::KeepAlive);
    until("everybody has looked", async || {
        store.faults().calls(Call::KeepAlive) > signs + 2
    })
    .await;
}

#[tokio::test]
async fn a_barrier_that_moves_while_the_events_before_it_are_handled_costs_none() {
    let store = store();
    let mut noting = Noting::new();
    noting.options = quick().checkpoint_every(1);
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    put_barrier(&store, "noting", 3).await;
    let mut gate = store.faults().halt_next(Call::Commit, Halt::BeforeCommit);
    deposited(&store, "a", 5).await;
    gate.reached().await;
    put_barrier(&store, "noting", 5).await;
    gate.release();
    status_when(&app, "noting", |status| status.partitions.len() == 2).await;
    assert_eq!(noting.positions(), [1, 2, 3, 4, 5]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_barrier_that_moves_costs_an_open_subscription_no_event() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    let mut open = app.subscribe(Subscribe::new("open")).await.unwrap();
    put_barrier(&store, "open", 3).await;
    deposited(&store, "a", 5).await;
    let mut delivered = Vec::new();
    for _ in 0..3 {
        delivered.push(soon("an event", open.next()).await.unwrap());
    }
    put_barrier(&store, "open", 5).await;
    open.ack_up_to(&delivered[2]).unwrap();
    for position in 4..=5 {
        let next = soon("what lies beyond", open.next()).await.unwrap();
        assert_eq!(next.event.position, position);
        open.ack(&next).unwrap();
    }
    status_when(&app, "open", |status| status.partitions.len() == 2).await;
    app.shutdown().await.unwrap();
}

/// Counts the deposits of each account.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "tally", id = String, events(MoneyDeposited), options = unpolled)]
struct Tally {
    deposits: u64,
}

fn unpolled() -> ProcessOptions {
    ProcessOptions::new().timer_poll(Duration::MAX)
}

impl Process<MoneyDeposited> for Tally {
    fn route(_: &MoneyDeposited, context: &EventContext) -> Route<String> {
        Route::start(context.id())
    }

    fn apply(&mut self, _: &MoneyDeposited) {
        self.deposits += 1;
    }
}

#[tokio::test]
async fn a_barrier_that_moves_costs_a_process_manager_no_event() {
    let store = store();
    let app = on(&store, NEVER).process_manager::<Tally>();
    let app = app.start().await.unwrap();
    put_barrier(&store, "tally", 3).await;
    let mut gate = store.faults().halt_next(Call::Commit, Halt::BeforeCommit);
    deposited(&store, "a", 5).await;
    gate.reached().await;
    put_barrier(&store, "tally", 5).await;
    gate.release();
    status_when(&app, "tally", |status| status.partitions.len() == 2).await;
    let instance = app.processes("tally").get("a").await.unwrap().unwrap();
    assert_eq!(instance.state, serde_json::json!({ "deposits": 5 }));
    app.shutdown().await.unwrap();
}

/// Handles nothing, and orders all by one key.
struct Grouped {
    ordering_panics: bool,
}

impl EventHandler for Grouped {
    const NAME: &'static str = "grouped";
    type Events = Money;

    async fn handle(&self, _: &Money, _: &EventContext) -> Result<(), BoxError> {
        Err("it cannot be handled".into())
    }

    fn options(&self) -> SubscriptionOptions {
        quick()
    }

    fn ordering(&self, _: &Money, _: &EventContext) -> Ordering {
        assert!(!self.ordering_panics, "a panic of the handler");
        Ordering::Key("all".to_owned())
    }
}

#[tokio::test]
async fn who_waits_is_told_of_a_dead_letter_by_whatever_key() {
    let by_stream = ["account-a", "account-b"];
    for (ordering_panics, keys) in [(false, ["all", "all"]), (true, by_stream)] {
        let app = on(&store(), NEVER).event_handler(Grouped { ordering_panics });
        let app = app.start().await.unwrap();
        for (account, expected) in ["a", "b"].into_iter().zip(keys) {
            app.dispatch(open(account)).await.unwrap();
            let deposited = app.dispatch(deposit(account, 1)).wait_for(["grouped"]);
            let waited = soon("an answer", deposited).await;
            let Err(DispatchError::Unhandled { source, .. }) = waited else {
                panic!("{waited:?}");
            };
            let is_told = matches!(&*source, WaitError::Blocked { key, .. } if key == expected);
            assert!(is_told, "{source:?}");
        }
        app.shutdown().await.unwrap();
    }
}

/// Handles two at once, or nothing, for as long as that takes.
struct Patient {
    is_failing: bool,
    handled: Arc<AtomicUsize>,
}

impl BatchHandler for Patient {
    const NAME: &'static str = "patient";
    type Events = Money;

    async fn handle_batch(&self, events: &[Handled<Money>]) -> Result<(), BoxError> {
        if self.is_failing {
            return Err("it cannot be handled".into());
        }
        self.handled.fetch_add(events.len(), Atomic::SeqCst);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new()
            .window(usize::MAX)
            .batch_max(if self.is_failing { 1 } else { 2 })
            .batch_wait(Duration::MAX)
            .checkpoint_after(Duration::MAX)
            .time_limit(Duration::MAX)
            .retry(Backoff::new(Duration::MAX, Duration::MAX))
    }

    fn on_failure(&self, _: &Failure) -> FailureAction {
        FailureAction::RetryAfter(Duration::MAX)
    }
}

#[tokio::test]
async fn bounds_may_be_as_large_as_can_be() {
    for is_failing in [false, true] {
        let store = store();
        let config = Config::new()
            .beat(Duration::from_millis(10))
            .wait(Duration::MAX)
            .drain(Duration::MAX)
            .snapshot_writers(usize::MAX);
        let handled = Arc::<AtomicUsize>::default();
        let patient = Patient {
            is_failing,
            handled: Arc::clone(&handled),
        };
        let app = App::builder(store.clone()).config(config);
        let app = app.aggregate::<Account>().batch_handler(patient);
        let app = app
            .event_handler(Counting::default())
            .process_manager::<Tally>();
        let app = app.start().await.unwrap();
        let follow = Follow::new().buffer(usize::MAX);
        let mut events = app.follow(follow).await.unwrap();
        app.dispatch(open("a")).await.unwrap();
        for _ in 0..4 {
            // Who waits has checkpoints written before their time.
            let names: &[&str] = if is_failing {
                &["counting", "tally"]
            } else {
                &[]
            };
            let deposited = app.dispatch(deposit("a", 1)).wait_for(names.to_vec());
            soon("an answer", deposited).await.unwrap();
            soon("an event", events.next()).await.unwrap().unwrap();
        }
        if is_failing {
            let status = status_when(&app, "patient", |status| status.partitions[0].attempts > 0);
            assert_eq!(status.await.partitions[0].attempts, 1);
        } else {
            let has_handled = async || handled.load(Atomic::SeqCst) == 4;
            until("two batches are handled", has_handled).await;
            // Nothing comes anew: nothing had panicked before the second was written down.
            caught_up(&app, "patient").await;
            assert_eq!(handled.load(Atomic::SeqCst), 4);
        }
        soon("the end", app.shutdown()).await.unwrap();
    }
}

#[tokio::test]
async fn a_lease_is_not_for_good() {
    let refused = on(&store(), Duration::MAX).start().await.unwrap_err();
    assert!(refused.to_string().contains("at most a day"), "{refused}");
}

#[tokio::test]
async fn how_all_stand_is_told_with_few_reads() {
    let options = MemoryOptions::new().hard_deletes(true);
    let store = FaultyStore::new(MemoryStore::with_options(options));
    let app = on(&store, NEVER).start().await.unwrap();
    for name in ["one", "two"] {
        let open = app.subscribe(Subscribe::new(name)).await.unwrap();
        open.close().await;
    }
    deposited(&store, "a", 3).await;
    deposited(&store, "b", 1).await;
    let gone = "account-a".parse().unwrap();
    for is_erased in [false, true] {
        if is_erased {
            let erased = store.delete_stream(&gone, ExpectedVersion::Any, Deletion::Hard);
            erased.await.unwrap();
        }
        let watched = FaultyStore::new(store.inner().clone());
        let faults = watched.faults();
        let list = Subscriptions::of(watched).list().await.unwrap();
        assert_eq!(list.len(), 2);
        assert!(list.iter().all(|one| !one.lag_time.is_zero()), "{list:?}");
        assert_eq!(faults.calls(Call::Head), 1);
        // One more for each where the first event is gone.
        let reads = if is_erased { 4 } else { 2 };
        assert_eq!(faults.calls(Call::ReadAll), reads);
    }
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_log_that_has_become_shorter_stops_an_open_subscription() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    deposited(&store, "a", 1).await;
    let open = app.subscribe(Subscribe::new("open")).await.unwrap();
    open.close().await;
    change(&store, "open", Partitions::Replace(vec![3.into()]), |_| {}).await;
    let mut open = app.subscribe(Subscribe::new("open")).await.unwrap();
    let status = status_when(&app, "open", |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    let reason = status.reason.unwrap();
    assert!(reason.contains("the store went backwards"), "{reason}");
    app.subscriptions().reset("open", 0).await.unwrap();
    let first = soon("the first event", open.next()).await.unwrap();
    assert_eq!(first.event.position, 1);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_key_of_an_event_is_asked_for_once() {
    let (store, noting) = (store(), Noting::failing());
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    noting.failing.store(false, Atomic::SeqCst);
    let before = noting.orderings.load(Atomic::SeqCst);
    // Whether it waits is asked when it comes, and again before it is handled.
    deposited(&store, "b", 1).await;
    noting.until(1).await;
    assert_eq!(noting.orderings.load(Atomic::SeqCst), before + 1);
    app.shutdown().await.unwrap();
}

static DECODED: AtomicUsize = AtomicUsize::new(0);

/// A deposit that notes how often one is decoded.
#[derive(Debug, Clone, Serialize, Event)]
#[event(name = "MoneyDeposited")]
struct Decoded {}

impl<'de> Deserialize<'de> for Decoded {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        DECODED.fetch_add(1, Atomic::SeqCst);
        IgnoredAny::deserialize(deserializer).map(|_| Self {})
    }
}

#[derive(EventHandler)]
#[event_handler(name = "by stream", events(Decoded), options = ByStream::options)]
struct ByStream;

impl ByStream {
    fn options(&self) -> SubscriptionOptions {
        quick().partitions(4)
    }
}

impl Handle<Decoded> for ByStream {
    async fn handle(&self, _: &Decoded, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn no_event_is_decoded_to_be_ordered_by_its_stream() {
    let store = store();
    let app = on(&store, NEVER).event_handler(ByStream);
    let app = app.start().await.unwrap();
    for account in 0..10 {
        deposited(&store, &account.to_string(), 1).await;
    }
    caught_up(&app, "by stream").await;
    assert_eq!(DECODED.load(Atomic::SeqCst), 10);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn who_has_rested_writes_its_checkpoint_at_once() {
    let store = store();
    let mut noting = Noting::new();
    noting.options = quick().checkpoint_after(NEVER);
    let app = on(&store, NEVER).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    let elsewhere = on(&store, NEVER).start().await.unwrap();
    deposited(&store, "a", 1).await;
    caught_up(&elsewhere, "noting").await;
    // Not a second time before it is over.
    deposited(&store, "a", 1).await;
    noting.until(2).await;
    let status = elsewhere.subscriptions().status("noting").await.unwrap();
    assert_eq!(status.position.get(), 1);
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

#[tokio::test]
async fn who_follows_from_beyond_the_log_is_told() {
    let store = store();
    let app = on(&store, NEVER).start().await.unwrap();
    deposited(&store, "a", 4).await;
    let follow = Follow::new().start_from(StartFrom::Position(5.into()));
    let mut events = app.follow(follow).await.unwrap();
    let told = soon("an answer", events.next()).await.unwrap();
    let told = told.unwrap_err().to_string();
    assert!(told.contains("the log ends at 4"), "{told}");
    assert!(soon("the end", events.next()).await.is_none());
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_shutdown_keeps_the_lease_until_the_event_is_handled() {
    let store = store();
    let mut noting = Noting::new();
    noting.takes = Duration::from_millis(800);
    let begun = Arc::clone(&noting.begun);
    let app = on(&store, Duration::from_millis(300)).event_handler(noting.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    // It is handled now, for longer than the lease lasts.
    begun.notified().await;
    app.shutdown().await.unwrap();
    assert_eq!(noting.positions(), [1]);
    let key = SubscriptionKey::new("noting", 1);
    let records = store.subscriptions(Some(&key.name)).await.unwrap();
    assert_eq!(records[0].partitions[0].position, 1);
}

#[tokio::test]
async fn idle_subscriptions_read_and_write_nothing() {
    let store = store();
    let faults = store.faults();
    let config = Config::new()
        .beat(Duration::from_millis(5))
        .poll(NEVER)
        .lease(NEVER);
    let app = App::builder(store.clone())
        .config(config)
        .event_handler(Noting::new())
        .projection(Deposits::<1>::default());
    let app = app.start().await.unwrap();
    let mut open = Vec::new();
    for number in 0..10 {
        let subscribe = Subscribe::new(format!("open {number}"));
        open.push(app.subscribe(subscribe).await.unwrap());
    }
    deposited(&store, "a", 1).await;
    for open in &mut open {
        let delivered = soon("an event", open.next()).await.unwrap();
        open.ack(&delivered).unwrap();
    }
    let own = (0..10).map(|number| format!("open {number}"));
    for name in own.chain(["noting".to_owned(), "deposits".to_owned()]) {
        caught_up(&app, &name).await;
    }
    let watched = [Call::ReadAll, Call::Commit, Call::BeginWork, Call::Claim];
    let counts = || watched.map(|call| faults.calls(call));
    let (before, beats) = (counts(), faults.calls(Call::KeepAlive));
    until("many rounds have passed", async || {
        faults.calls(Call::KeepAlive) >= beats + 20
    })
    .await;
    assert_eq!(counts(), before);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_claim_without_an_answer_costs_no_lease() {
    for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
        let store = store();
        store.faults().fail_next(Call::Claim, fault);
        let noting = Noting::new();
        let app = on(&store, NEVER).event_handler(noting.clone());
        let app = app.start().await.unwrap();
        deposited(&store, "a", 1).await;
        caught_up(&app, "noting").await;
        assert_eq!(noting.positions(), [1]);
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_version_that_another_process_has_switched_to_does_not_hold_itself() {
    let store = store();
    let old = on(&store, NEVER).projection(Deposits::<1>::default());
    let old = old.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&old, "deposits").await;
    let next = Deposits::<2>::default();
    next.failing.store(true, Atomic::SeqCst);
    let one = on(&store, NEVER).projection(next.clone());
    let one = one.start().await.unwrap();
    let late = FaultyStore::new(store.inner().clone());
    let two = on(&late, NEVER).projection(next.clone());
    let two = two.start().await.unwrap();
    status_when(&old, "deposits", |status| {
        status.state == SubscriptionState::Paused
    })
    .await;
    // It has seen that the version is being built, and looks at the other only after the switch.
    let mut gate = late
        .faults()
        .halt_next(Call::Subscriptions, Halt::BeforeCommit);
    gate.reached().await;
    next.failing.store(false, Atomic::SeqCst);
    status_when(&one, "deposits", |status| status.version == 2).await;
    let signs = late.faults().calls(Call::KeepAlive);
    gate.release();
    until("it has looked again", async || {
        late.faults().calls(Call::KeepAlive) > signs + 2
    })
    .await;
    let status = one.subscriptions().status("deposits").await.unwrap();
    assert_eq!(status.state, SubscriptionState::Active);
    for app in [old, one, two] {
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_version_that_stops_while_it_is_built_leaves_the_active_one_its_name() {
    let store = store();
    let old = on(&store, NEVER).projection(Deposits::<1>::default());
    let old = old.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&old, "deposits").await;
    let next = Deposits::<2> {
        stops: true,
        ..Deposits::default()
    };
    next.failing.store(true, Atomic::SeqCst);
    let new = on(&store, NEVER).projection(next.clone());
    let new = new.start().await.unwrap();
    until("the next version stops", async || {
        let rebuild = new.subscriptions().rebuild("deposits").await.unwrap();
        rebuild.state == SubscriptionState::Stopped
    })
    .await;
    // The active one is what is waited for, and told of.
    deposited(&store, "a", 1).await;
    caught_up(&old, "deposits").await;
    let status = old.subscriptions().status("deposits").await.unwrap();
    assert_eq!(
        (status.version, status.state),
        (1, SubscriptionState::Active)
    );
    let consent = old.subscriptions().consent_to_take_over("deposits").await;
    assert!(matches!(consent, Err(SubscriptionError::State { .. })));
    next.failing.store(false, Atomic::SeqCst);
    old.subscriptions().resume("deposits").await.unwrap();
    status_when(&new, "deposits", |status| status.version == 2).await;
    assert_eq!(store.inner().read_models().get::<u64>("2", "a"), Some(6));
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_version_that_is_overtaken_does_not_take_over() {
    let store = store();
    let first = on(&store, NEVER).projection(Deposits::<1>::default());
    let first = first.start().await.unwrap();
    deposited(&store, "a", 5).await;
    caught_up(&first, "deposits").await;
    let slow = Deposits::<2>::default();
    slow.failing.store(true, Atomic::SeqCst);
    let second = on(&store, NEVER).projection(slow.clone());
    let second = second.start().await.unwrap();
    let third = on(&store, NEVER).projection(Deposits::<3>::default());
    let third = third.start().await.unwrap();
    status_when(&third, "deposits", |status| status.version == 3).await;
    slow.failing.store(false, Atomic::SeqCst);
    let list = third.subscriptions().list().await.unwrap();
    let states: Vec<_> = list.iter().map(|one| one.state).collect();
    let (retired, active) = (SubscriptionState::Retired, SubscriptionState::Active);
    assert_eq!(states, [retired, retired, active]);
    let again = on(&store, NEVER).projection(Deposits::<2>::default());
    let again = again.start().await.unwrap();
    deposited(&store, "a", 1).await;
    caught_up(&third, "deposits").await;
    let status = again.subscriptions().status("deposits").await.unwrap();
    assert_eq!(status.version, 3);
    for app in [first, second, third, again] {
        app.shutdown().await.unwrap();
    }
}

/// A handler of the next version begins where the one before had come to, wherever new ones begin.
#[tokio::test]
async fn a_version_in_the_place_of_another_leaves_nothing_out() {
    let store = store();
    let from_now = || quick().start_from(StartFrom::Current);
    let mut first = Noting::failing();
    first.options = from_now();
    let app = on(&store, NEVER).event_handler(first.clone());
    let app = app.start().await.unwrap();
    deposited(&store, "a", 1).await;
    status_when(&app, "noting", |status| {
        status.dead_letters == 1 && status.lag == 0
    })
    .await;
    first.failing.store(false, Atomic::SeqCst);
    deposited(&store, "b", 1).await;
    caught_up(&app, "noting").await;
    app.shutdown().await.unwrap();
    deposited(&store, "b", 1).await;
    let mut next = Noting::new();
    next.options = from_now();
    let app = on(&store, NEVER).event_handler(Next(next.clone()));
    let app = app.start().await.unwrap();
    caught_up(&app, "noting").await;
    // The first was a dead letter, the second was handled, the third came while nobody worked.
    assert_eq!(next.positions(), [1, 3]);
    app.shutdown().await.unwrap();
}
