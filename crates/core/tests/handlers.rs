//! Event handlers: delivery, failures, control.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering as Atomic};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use account::*;
use ordain::store::SubscriptionState;
use ordain::subscription::{
    StartFrom, Subscribe, SubscriptionOptions, SubscriptionStatus, WaitError,
};
use ordain::{
    App, AppBuilder, Backoff, BatchHandler, BoxError, Config, Delivery, DispatchError,
    EventContext, EventHandler, EventSet, Failure, FailureAction, Handled, MemoryStore, RawHandler,
    RecordedEvent,
};
use tokio::sync::watch;

#[derive(Debug, Clone, EventSet)]
enum Money {
    Deposited(MoneyDeposited),
    Withdrawn(MoneyWithdrawn),
}

/// What was handled, in order, and a signal at each.
#[derive(Clone)]
struct Seen {
    events: Arc<Mutex<Vec<EventContext>>>,
    count: watch::Sender<usize>,
}

impl Seen {
    fn new() -> Self {
        Self {
            events: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    fn note(&self, context: &EventContext) {
        self.events.lock().unwrap().push(context.clone());
        self.count.send_modify(|count| *count += 1);
    }

    async fn until(&self, count: usize) -> Vec<EventContext> {
        let mut counts = self.count.subscribe();
        let reached = counts.wait_for(|seen| *seen >= count);
        let reached = tokio::time::timeout(Duration::from_secs(20), reached).await;
        drop(reached.unwrap_or_else(|_| {
            let seen = self.events.lock().unwrap().len();
            panic!("{seen} events were handled, expected {count}")
        }));
        self.events.lock().unwrap().clone()
    }

    fn positions(&self) -> Vec<u64> {
        let events = self.events.lock().unwrap();
        events.iter().map(|one| one.position().get()).collect()
    }
}

/// Notes what comes, and fails where it is told to.
struct Noting {
    seen: Seen,
    options: SubscriptionOptions,
    failing: Arc<Failing>,
    action: Option<FailureAction>,
}

#[derive(Default)]
struct Failing {
    /// How often events of an account fail.
    accounts: Mutex<HashMap<String, u32>>,
    down: AtomicBool,
    panics: AtomicBool,
    attempts: AtomicU32,
}

impl Failing {
    fn times(account: &str, times: u32) -> Arc<Self> {
        let failing = Self::default();
        failing.set(account, times);
        Arc::new(failing)
    }

    fn set(&self, account: &str, times: u32) {
        let mut accounts = self.accounts.lock().unwrap();
        accounts.insert(account.to_owned(), times);
    }

    fn check(&self, context: &EventContext) -> Result<(), BoxError> {
        self.attempts.fetch_add(1, Atomic::SeqCst);
        if self.down.load(Atomic::SeqCst) {
            return Err("the target is down".into());
        }
        let mut accounts = self.accounts.lock().unwrap();
        let left = accounts.entry(context.id().to_owned()).or_default();
        if *left > 0 {
            *left -= 1;
            drop(accounts);
            assert!(!self.panics.load(Atomic::SeqCst), "a panic of the handler");
            return Err("it cannot be handled".into());
        }
        Ok(())
    }
}

impl EventHandler for Noting {
    const NAME: &'static str = "noting";
    type Events = Money;

    async fn handle(&self, _: &Money, context: &EventContext) -> Result<(), BoxError> {
        self.failing.check(context)?;
        self.seen.note(context);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        self.options.clone()
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        self.action.unwrap_or_else(|| failure.default_action())
    }
}

fn noting(seen: &Seen) -> Noting {
    Noting {
        seen: seen.clone(),
        options: quick(),
        failing: Arc::default(),
        action: None,
    }
}

/// Options that do not wait for long.
fn quick() -> SubscriptionOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    SubscriptionOptions::new().retry(retry).attempts(3)
}

fn on(store: &MemoryStore) -> AppBuilder<MemoryStore> {
    let config = Config::new().beat(Duration::from_millis(20));
    App::builder(store.clone())
        .aggregate::<Account>()
        .config(config)
}

async fn opened(app: &App, accounts: &[&str]) {
    for account in accounts {
        app.dispatch(open(account)).await.unwrap();
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
        assert!(begin.elapsed() < Duration::from_secs(20), "{status:#?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_handler_gets_history_and_what_comes_live_in_order_and_once() {
    let store = MemoryStore::new();
    let before = on(&store).start().await.unwrap();
    opened(&before, &["a", "b"]).await;
    for amount in 1..=5 {
        before.dispatch(deposit("a", amount)).await.unwrap();
    }
    let seen = Seen::new();
    let handler = noting(&seen);
    let app = on(&store).event_handler(handler).start().await.unwrap();
    seen.until(5).await;
    for amount in 1..=5 {
        app.dispatch(deposit("b", amount)).await.unwrap();
    }
    let events = seen.until(10).await;
    assert_eq!(seen.positions(), (3..=12).collect::<Vec<_>>());
    assert!(events.iter().all(|one| one.delivery() == Delivery::Live));
    app.shutdown().await.unwrap();
    let status = before.subscriptions().status("noting").await.unwrap();
    assert_eq!((status.position.get(), status.lag), (12, 0));
}

#[tokio::test]
async fn a_handler_goes_on_where_it_stood_and_its_start_counts_once() {
    let store = MemoryStore::new();
    let seen = Seen::new();
    for round in 0..3_u64 {
        let mut handler = noting(&seen);
        handler.options = quick().start_from(StartFrom::Current);
        let app = on(&store).event_handler(handler).start().await.unwrap();
        if round == 0 {
            opened(&app, &["a"]).await;
        }
        app.dispatch(deposit("a", 1)).await.unwrap();
        seen.until(round as usize + 1).await;
        app.shutdown().await.unwrap();
    }
    assert_eq!(seen.positions(), [2, 3, 4]);
}

#[tokio::test]
async fn a_failing_event_is_tried_again_and_then_its_key_alone_waits() {
    let store = MemoryStore::new();
    let (seen, failing) = (Seen::new(), Failing::times("a", 3));
    let mut handler = noting(&seen);
    handler.failing = Arc::clone(&failing);
    let app = on(&store).event_handler(handler).start().await.unwrap();
    opened(&app, &["a", "b"]).await;
    for _ in 0..3 {
        app.dispatch(deposit("a", 1)).await.unwrap();
        app.dispatch(deposit("b", 1)).await.unwrap();
    }
    seen.until(3).await;
    assert_eq!(seen.positions(), [4, 6, 8]);
    let letters = app.subscriptions().dead_letters("noting").await.unwrap();
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!(
        (letter.key.as_str(), letter.position.get()),
        ("account-a", 3)
    );
    assert_eq!(
        (letter.attempts, letter.error.as_str()),
        (3, "it cannot be handled")
    );

    assert!(
        app.subscriptions()
            .retry("noting", "account-a")
            .await
            .unwrap()
    );
    seen.until(6).await;
    assert_eq!(seen.positions(), [4, 6, 8, 3, 5, 7]);
    status_when(&app, "noting", |status| status.dead_letters == 0).await;
    app.dispatch(deposit("a", 1)).await.unwrap();
    seen.until(7).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_discarded_event_is_left_out_and_those_behind_it_are_handled() {
    let store = MemoryStore::new();
    let (seen, failing) = (Seen::new(), Failing::times("a", 3));
    let mut handler = noting(&seen);
    handler.failing = failing;
    let app = on(&store).event_handler(handler).start().await.unwrap();
    opened(&app, &["a"]).await;
    for _ in 0..3 {
        app.dispatch(deposit("a", 1)).await.unwrap();
    }
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    assert!(
        app.subscriptions()
            .discard("noting", "account-a")
            .await
            .unwrap()
    );
    seen.until(2).await;
    assert_eq!(seen.positions(), [3, 4]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_outage_waits_and_dead_letters_no_more_than_was_said() {
    let store = MemoryStore::new();
    let (seen, failing) = (Seen::new(), Arc::new(Failing::default()));
    failing.down.store(true, Atomic::SeqCst);
    let mut handler = noting(&seen);
    handler.failing = Arc::clone(&failing);
    let app = on(&store).event_handler(handler).start().await.unwrap();
    let accounts = ["a", "b", "c", "d", "e", "f"];
    opened(&app, &accounts).await;
    for account in accounts {
        app.dispatch(deposit(account, 1)).await.unwrap();
    }
    // The fourth key is tried again and again.
    status_when(&app, "noting", |status| {
        status.dead_letters == 3 && status.partitions[0].attempts > 10
    })
    .await;
    failing.down.store(false, Atomic::SeqCst);
    seen.until(3).await;
    assert_eq!(seen.positions(), [10, 11, 12]);
    assert_eq!(app.subscriptions().retry_all("noting").await.unwrap(), 3);
    seen.until(6).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_panic_counts_as_a_failure_and_takes_nobody_down() {
    let store = MemoryStore::new();
    let (seen, failing) = (Seen::new(), Failing::times("a", 1));
    failing.panics.store(true, Atomic::SeqCst);
    let mut handler = noting(&seen);
    handler.failing = Arc::clone(&failing);
    let app = on(&store).event_handler(handler).start().await.unwrap();
    opened(&app, &["a"]).await;
    app.dispatch(deposit("a", 1)).await.unwrap();
    let events = seen.until(1).await;
    assert_eq!(events[0].attempt(), 2);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn skip_goes_on_and_stop_stops_until_it_is_resumed() {
    for action in [FailureAction::Skip, FailureAction::Stop] {
        let store = MemoryStore::new();
        let (seen, failing) = (Seen::new(), Failing::times("a", 1));
        let mut handler = noting(&seen);
        (handler.failing, handler.action) = (failing, Some(action));
        let app = on(&store).event_handler(handler).start().await.unwrap();
        opened(&app, &["a"]).await;
        app.dispatch(deposit("a", 1)).await.unwrap();
        app.dispatch(deposit("a", 2)).await.unwrap();
        if action == FailureAction::Stop {
            let status = status_when(&app, "noting", |status| {
                status.state == SubscriptionState::Stopped
            })
            .await;
            assert!(status.reason.unwrap().contains("it cannot be handled"));
            app.subscriptions().resume("noting").await.unwrap();
            seen.until(2).await;
            assert_eq!(seen.positions(), [2, 3]);
        } else {
            seen.until(1).await;
            assert_eq!(seen.positions(), [3]);
        }
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_paused_handler_waits_for_all_processes_and_a_reset_one_sees_replays_only_if_it_wants_them()
 {
    let store = MemoryStore::new();
    let seen = Seen::new();
    let app = on(&store)
        .event_handler(noting(&seen))
        .start()
        .await
        .unwrap();
    let elsewhere = on(&store).start().await.unwrap();
    opened(&app, &["a"]).await;
    app.dispatch(deposit("a", 1)).await.unwrap();
    seen.until(1).await;
    elsewhere.subscriptions().pause("noting").await.unwrap();
    status_when(&app, "noting", |status| {
        status.partitions[0].owner.is_none()
    })
    .await;
    app.dispatch(deposit("a", 2)).await.unwrap();
    let waited = app
        .dispatch(deposit("a", 3))
        .wait_for(["noting"])
        .wait_at_most(Duration::from_secs(10))
        .await;
    let Err(DispatchError::Unhandled { source, .. }) = waited else {
        panic!("{waited:?}");
    };
    assert!(matches!(*source, WaitError::Paused { .. }));
    elsewhere.subscriptions().resume("noting").await.unwrap();
    seen.until(3).await;

    elsewhere.subscriptions().reset("noting", 0).await.unwrap();
    status_when(&app, "noting", |status| {
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
    app.dispatch(deposit("a", 4))
        .wait_for(["noting"])
        .await
        .unwrap();
    assert_eq!(seen.positions(), [2, 3, 4, 5]);
    app.shutdown().await.unwrap();
}

struct Batching {
    seen: Seen,
    sizes: Arc<Mutex<Vec<usize>>>,
    poison: u64,
}

impl BatchHandler for Batching {
    const NAME: &'static str = "batching";
    const REPLAYS: bool = true;
    type Events = Money;

    async fn handle_batch(&self, events: &[Handled<Money>]) -> Result<(), BoxError> {
        let is_poison = |one: &Handled<Money>| one.context.position() == self.poison;
        if events.iter().any(is_poison) {
            return Err("poison".into());
        }
        self.sizes.lock().unwrap().push(events.len());
        for one in events {
            self.seen.note(&one.context);
        }
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        quick().batch_max(16)
    }
}

#[tokio::test]
async fn a_failing_batch_is_split_until_the_failing_event_is_found() {
    let store = MemoryStore::new();
    let app = on(&store).start().await.unwrap();
    opened(&app, &["a"]).await;
    for account in 0..40 {
        app.dispatch(open(&account.to_string())).await.unwrap();
        app.dispatch(deposit(&account.to_string(), 1))
            .await
            .unwrap();
    }
    let (seen, sizes) = (Seen::new(), Arc::default());
    let poison = 21;
    let handler = Batching {
        seen: seen.clone(),
        sizes: Arc::clone(&sizes),
        poison,
    };
    let app = on(&store).batch_handler(handler).start().await.unwrap();
    seen.until(39).await;
    let expected: Vec<_> = (0..40)
        .map(|n| 3 + 2 * n)
        .filter(|p| *p != poison)
        .collect();
    assert_eq!(seen.positions(), expected);
    let letters = app.subscriptions().dead_letters("batching").await.unwrap();
    assert_eq!(
        letters
            .iter()
            .map(|one| one.position.get())
            .collect::<Vec<_>>(),
        [poison]
    );
    assert!(sizes.lock().unwrap().contains(&16));
    app.shutdown().await.unwrap();
}

struct Everything(Seen);

impl RawHandler for Everything {
    const NAME: &'static str = "everything";

    async fn handle(&self, _: &RecordedEvent, context: &EventContext) -> Result<(), BoxError> {
        self.0.note(context);
        Ok(())
    }
}

#[tokio::test]
async fn a_raw_handler_gets_every_event() {
    let store = MemoryStore::new();
    let seen = Seen::new();
    let app = on(&store)
        .raw_handler(Everything(seen.clone()))
        .start()
        .await
        .unwrap();
    opened(&app, &["a", "b"]).await;
    app.dispatch(deposit("a", 1))
        .wait_for(["everything"])
        .await
        .unwrap();
    assert_eq!(seen.positions(), [1, 2, 3]);
    app.shutdown().await.unwrap();
}

struct Reserved;

impl RawHandler for Reserved {
    const NAME: &'static str = "$schedule";

    async fn handle(&self, _: &RecordedEvent, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }
}

#[tokio::test]
async fn names_of_the_framework_are_refused() {
    let store = MemoryStore::new();
    let started = on(&store).raw_handler(Reserved).start().await;
    assert!(started.unwrap_err().to_string().contains("framework's own"));
}

#[tokio::test]
async fn names_that_nobody_could_ask_for_are_refused() {
    let app = on(&MemoryStore::new()).start().await.unwrap();
    for (name, says) in [("", "blank"), ("$schedule", "framework's own")] {
        let error = app.subscribe(Subscribe::new(name)).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    app.shutdown().await.unwrap();
}

/// Shuts down its own app.
#[derive(Clone, Default)]
struct Stopper(Arc<Mutex<Option<App>>>);

impl RawHandler for Stopper {
    const NAME: &'static str = "stopper";

    async fn handle(&self, _: &RecordedEvent, _: &EventContext) -> Result<(), BoxError> {
        let app = self.0.lock().unwrap().clone();
        Ok(app.ok_or("there is no app yet")?.shutdown().await?)
    }
}

#[tokio::test]
async fn a_handler_may_shut_down_its_app() {
    let stopper = Stopper::default();
    let app = on(&MemoryStore::new())
        .config(Config::new().drain(Duration::from_millis(50)))
        .raw_handler(stopper.clone())
        .start()
        .await
        .unwrap();
    stopper.0.lock().unwrap().replace(app.clone());
    let mut health = app.watch_health();
    app.dispatch(open("a")).await.unwrap();
    let stopped = health.wait_for(|health| !health.is_live());
    let stopped = tokio::time::timeout(Duration::from_secs(20), stopped).await;
    assert!(stopped.is_ok(), "it is still stopping");
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_spread_over_processes_keep_order_and_can_be_changed_under_load() {
    let store = MemoryStore::new();
    let seen = Seen::new();
    let mut apps = Vec::new();
    for _ in 0..3 {
        let mut handler = noting(&seen);
        handler.options = quick().partitions(4).checkpoint_every(1);
        apps.push(on(&store).event_handler(handler).start().await.unwrap());
    }
    let accounts: Vec<_> = (0..20).map(|account| account.to_string()).collect();
    for account in &accounts {
        apps[0].dispatch(open(account)).await.unwrap();
    }
    status_when(&apps[0], "noting", |status| {
        let mut held = HashMap::new();
        for owner in status.partitions.iter().filter_map(|one| one.owner) {
            *held.entry(owner).or_insert(0) += 1;
        }
        let mut held: Vec<_> = held.into_values().collect();
        held.sort_unstable();
        held == [1, 1, 2]
    })
    .await;
    for round in 0..30 {
        for account in &accounts {
            apps[0].dispatch(deposit(account, 1)).await.unwrap();
        }
        match round {
            10 => apps[1]
                .subscriptions()
                .repartition("noting", 7)
                .await
                .unwrap(),
            20 => apps[2]
                .subscriptions()
                .repartition("noting", 2)
                .await
                .unwrap(),
            _ => {}
        }
    }
    let head = apps[0].store().head().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    apps[1].wait_until("noting", head, deadline).await.unwrap();
    status_when(&apps[0], "noting", |status| status.partitions.len() == 2).await;
    let events = seen.events.lock().unwrap().clone();
    let mut versions: HashMap<String, Vec<u64>> = HashMap::new();
    for event in &events {
        let list = versions.entry(event.id().to_owned()).or_default();
        // At least once: what a take-over repeats was handled before.
        if list.last().is_none_or(|last| *last < event.version().get()) {
            list.push(event.version().get());
        }
    }
    for account in &accounts {
        assert_eq!(versions[account], (2..=31).collect::<Vec<_>>(), "{account}");
    }
    for app in apps {
        app.shutdown().await.unwrap();
    }
}

/// Passes on to another account what comes in, and fails for once after it did.
struct PassingOn(AtomicBool);

impl EventHandler for PassingOn {
    const NAME: &'static str = "passing on";
    type Events = Money;

    async fn handle(&self, event: &Money, context: &EventContext) -> Result<(), BoxError> {
        let Money::Deposited(event) = event else {
            return Ok(());
        };
        if context.id() == "a" {
            context.dispatch(deposit("b", event.amount)).await?;
        }
        if self.0.swap(false, Atomic::SeqCst) {
            return Err("it fails after it did its work".into());
        }
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        quick()
    }
}

#[tokio::test]
async fn a_command_of_a_handler_takes_effect_once_and_names_its_cause() {
    let store = MemoryStore::new();
    let handler = PassingOn(AtomicBool::new(true));
    let app = on(&store).event_handler(handler).start().await.unwrap();
    opened(&app, &["a", "b"]).await;
    let receipt = app.dispatch(deposit("a", 7)).wait_for(["passing on"]).await;
    let receipt = receipt.unwrap();
    let account = app.load::<Account>(&"b".to_owned()).await.unwrap();
    assert_eq!(account.version.get(), 2);
    let all = app
        .store()
        .read_all(ordain::store::ReadAll::forward())
        .await;
    let all = all.unwrap().events;
    let (cause, effect) = (&all[2], &all[3]);
    assert_eq!(effect.causation_id, Some(cause.event_id.into()));
    assert_eq!(effect.correlation_id, Some(receipt.correlation_id));
    app.shutdown().await.unwrap();
}
