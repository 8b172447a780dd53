//! Projections: read models that move with their checkpoint, and are rebuilt beside the old ones.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering as Atomic};
use std::time::{Duration, Instant};

use account::*;
use ordain::store::SubscriptionState;
use ordain::subscription::SubscriptionOptions;
use ordain::{
    App, AppBuilder, Backoff, BoxError, Config, EventContext, EventSet, MemoryStore, ProjectBatch,
    Projected, Projection, ReadModels,
};
use ordain_testkit::ManualClock;

#[derive(Debug, Clone, EventSet)]
enum Money {
    Deposited(MoneyDeposited),
    Withdrawn(MoneyWithdrawn),
}

/// The balance of every account, in a table of its version.
#[derive(Clone)]
struct Balances<const VERSION: u32> {
    partitions: u32,
    broken: Arc<AtomicBool>,
    take_over_fails: Arc<AtomicBool>,
}

impl<const VERSION: u32> Balances<VERSION> {
    fn new() -> Self {
        Self {
            partitions: 2,
            broken: Arc::default(),
            take_over_fails: Arc::default(),
        }
    }
}

fn table(version: u32) -> String {
    format!("balances_{version}")
}

impl<const VERSION: u32> Projection<ReadModels> for Balances<VERSION> {
    const NAME: &'static str = "balances";
    const VERSION: u32 = VERSION;
    type Events = Money;

    async fn project(
        &self,
        event: &Money,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        let table = table(VERSION);
        let balance = db.get::<u64>(&table, context.id()).unwrap_or_default();
        let balance = match event {
            Money::Deposited(event) => balance + event.amount,
            Money::Withdrawn(event) => balance - event.amount,
        };
        db.put(&table, context.id(), balance);
        if self.broken.load(Atomic::SeqCst) {
            return Err("it is broken".into());
        }
        Ok(())
    }

    async fn reset(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        db.clear(&table(VERSION));
        Ok(())
    }

    async fn take_over(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        if self.take_over_fails.load(Atomic::SeqCst) {
            return Err("it cannot take over".into());
        }
        db.put("current", "balances", VERSION);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
        SubscriptionOptions::new()
            .retry(retry)
            .attempts(2)
            .partitions(self.partitions)
            .page(10)
            .batch_max(4)
    }
}

fn on(store: &MemoryStore) -> AppBuilder<MemoryStore> {
    let config = Config::new()
        .beat(Duration::from_millis(20))
        .lease(Duration::from_millis(600));
    App::builder(store.clone())
        .aggregate::<Account>()
        .config(config)
}

const ACCOUNTS: [&str; 5] = ["a", "b", "c", "d", "e"];

async fn deposits(app: &App, rounds: u64) {
    for _ in 0..rounds {
        for account in ACCOUNTS {
            app.dispatch(deposit(account, 1)).await.unwrap();
        }
    }
}

async fn open_all(app: &App) {
    for account in ACCOUNTS {
        app.dispatch(open(account)).await.unwrap();
    }
}

fn balances(store: &MemoryStore, version: u32) -> Vec<u64> {
    let list = store.read_models().list::<u64>(&table(version));
    list.into_iter().map(|(_, balance)| balance).collect()
}

async fn caught_up(app: &App, name: &str) {
    let head = app.store().head().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    app.wait_until(name, head, deadline).await.unwrap();
}

async fn until(what: &str, mut is: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !is().await {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn every_event_is_taken_in_once_across_take_overs() {
    let store = MemoryStore::new();
    for round in 1..=5 {
        let app = on(&store)
            .projection(Balances::<1>::new())
            .start()
            .await
            .unwrap();
        if round == 1 {
            open_all(&app).await;
        }
        deposits(&app, 10).await;
        if round % 2 == 0 {
            app.shutdown().await.unwrap();
        }
        // Else the app is dropped, and what it does is cut off.
    }
    let app = on(&store).projection(Balances::<1>::new()).start().await;
    let app = app.unwrap();
    caught_up(&app, "balances").await;
    assert_eq!(balances(&store, 1), [50; 5]);
    app.shutdown().await.unwrap();
}

/// Adds up a batch before it writes, and cannot take in amounts of 13.
#[derive(Clone, Default, ordain::prelude::Projection)]
#[projection(
    name = "sums",
    events(MoneyDeposited),
    batches,
    options = Sums::options
)]
struct Sums {
    largest_batch: Arc<AtomicUsize>,
}

impl Sums {
    fn options(&self) -> SubscriptionOptions {
        let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
        SubscriptionOptions::new().retry(retry).attempts(2)
    }
}

impl ProjectBatch<SumsEvent, ReadModels> for Sums {
    async fn project_batch(
        &self,
        events: &[Projected<'_, SumsEvent>],
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        let mut sums = BTreeMap::<_, u64>::new();
        for Projected { event, context } in events {
            let SumsEvent::MoneyDeposited(event) = event;
            *sums.entry(context.id()).or_default() += event.amount;
        }
        self.largest_batch.fetch_max(events.len(), Atomic::SeqCst);
        for (account, sum) in sums {
            let before: u64 = db.get("sums", account).unwrap_or_default();
            db.put("sums", account, before + sum);
        }
        let is_unlucky = |one: &Projected<'_, SumsEvent>| {
            let SumsEvent::MoneyDeposited(event) = one.event;
            event.amount == 13
        };
        match events.iter().any(is_unlucky) {
            true => Err("13".into()),
            false => Ok(()),
        }
    }
}

#[tokio::test]
async fn batches_are_taken_in_at_once_and_split_to_find_what_fails() {
    let store = MemoryStore::new();
    let app = on(&store).start().await.unwrap();
    open_all(&app).await;
    deposits(&app, 5).await;
    app.dispatch(deposit("a", 13)).await.unwrap();
    deposits(&app, 5).await;
    app.shutdown().await.unwrap();
    let sums = Sums::default();
    let app = on(&store).projection(sums.clone()).start().await.unwrap();
    caught_up(&app, "sums").await;
    let letters = app.subscriptions().dead_letters("sums").await.unwrap();
    assert_eq!(letters.len(), 1);
    let list = store.read_models().list::<u64>("sums");
    let list: Vec<_> = list.into_iter().map(|(_, sum)| sum).collect();
    // Those of its key wait behind it.
    assert_eq!(list, [5, 10, 10, 10, 10]);
    assert_eq!(sums.largest_batch.load(Atomic::SeqCst), 51);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_a_failing_event_wrote_is_undone_and_its_key_waits() {
    let store = MemoryStore::new();
    let projection = Balances::<1>::new();
    let app = on(&store)
        .projection(projection.clone())
        .start()
        .await
        .unwrap();
    open_all(&app).await;
    projection.broken.store(true, Atomic::SeqCst);
    app.dispatch(deposit("a", 1)).await.unwrap();
    until("a dead letter", async || {
        let letters = app.subscriptions().dead_letters("balances").await.unwrap();
        letters.len() == 1
    })
    .await;
    projection.broken.store(false, Atomic::SeqCst);
    deposits(&app, 3).await;
    caught_up(&app, "balances").await;
    assert_eq!(balances(&store, 1), [3; 4]);
    app.subscriptions().retry_all("balances").await.unwrap();
    until("the dead letter to be taken in", async || {
        balances(&store, 1) == [4, 3, 3, 3, 3]
    })
    .await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reset_empties_the_read_model_and_fills_it_again() {
    let store = MemoryStore::new();
    let app = on(&store)
        .projection(Balances::<1>::new())
        .start()
        .await
        .unwrap();
    open_all(&app).await;
    deposits(&app, 5).await;
    caught_up(&app, "balances").await;
    let elsewhere = on(&store).start().await.unwrap();
    elsewhere
        .subscriptions()
        .reset("balances", 0)
        .await
        .unwrap();
    until("the reset", async || {
        let status = app.subscriptions().status("balances").await.unwrap();
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
    assert_eq!(balances(&store, 1), [5; 5]);
    app.shutdown().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_is_built_beside_the_old_one_and_takes_over_under_load() {
    let store = MemoryStore::new();
    let old = on(&store)
        .projection(Balances::<1>::new())
        .start()
        .await
        .unwrap();
    open_all(&old).await;
    deposits(&old, 40).await;
    caught_up(&old, "balances").await;
    let loaded = tokio::spawn({
        let old = old.clone();
        async move { deposits(&old, 200).await }
    });
    let mut next = Balances::<2>::new();
    next.partitions = 3;
    let new = on(&store).projection(next).start().await.unwrap();
    until("the new version to take over", async || {
        let status = new.subscriptions().status("balances").await.unwrap();
        // The old read model is there as long as it is the current one.
        assert_eq!(balances(&store, 1).len(), 5);
        status.version == 2
    })
    .await;
    loaded.await.unwrap();
    let receipt = old.dispatch(deposit("a", 1)).wait_for(["balances"]).await;
    receipt.unwrap();
    assert_eq!(balances(&store, 2), [241, 240, 240, 240, 240]);
    assert_eq!(
        store.read_models().get::<u32>("current", "balances"),
        Some(2)
    );
    // The old one stands still: retired, it is not worked on any more.
    let all = new.subscriptions().list().await.unwrap();
    let all = all.iter().filter(|one| one.name == "balances");
    let states: Vec<_> = all.map(|one| (one.version, one.state)).collect();
    assert_eq!(
        states,
        [
            (1, SubscriptionState::Retired),
            (2, SubscriptionState::Active)
        ]
    );
    old.shutdown().await.unwrap();
    // An old program that starts again leaves it alone.
    let again = on(&store)
        .projection(Balances::<1>::new())
        .start()
        .await
        .unwrap();
    let before = balances(&store, 1);
    again
        .dispatch(deposit("a", 1))
        .wait_for(["balances"])
        .await
        .unwrap();
    assert_eq!(balances(&store, 1), before);
    again.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_rebuild_with_dead_letters_needs_consent_and_can_be_cancelled() {
    let store = MemoryStore::new();
    let old = on(&store)
        .projection(Balances::<1>::new())
        .start()
        .await
        .unwrap();
    open_all(&old).await;
    deposits(&old, 1).await;
    caught_up(&old, "balances").await;
    let next = Balances::<2>::new();
    next.broken.store(true, Atomic::SeqCst);
    let new = on(&store).projection(next.clone()).start().await.unwrap();
    until("dead letters", async || {
        let rebuild = new.subscriptions().rebuild("balances").await.unwrap();
        rebuild.dead_letters > 0
    })
    .await;
    assert_eq!(
        old.subscriptions()
            .status("balances")
            .await
            .unwrap()
            .version,
        1
    );
    new.subscriptions()
        .cancel_rebuild("balances")
        .await
        .unwrap();
    new.shutdown().await.unwrap();
    old.dispatch(deposit("a", 1))
        .wait_for(["balances"])
        .await
        .unwrap();
    assert_eq!(balances(&store, 1), [2, 1, 1, 1, 1]);

    let new = on(&store).projection(next).start().await.unwrap();
    until("dead letters again", async || {
        let rebuild = new.subscriptions().rebuild("balances").await.unwrap();
        rebuild.dead_letters > 0
    })
    .await;
    new.subscriptions()
        .consent_to_take_over("balances")
        .await
        .unwrap();
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_active_version_goes_on_at_once_when_the_next_one_gets_dead_letters() {
    let store = MemoryStore::new();
    let patient = Config::new()
        .beat(Duration::from_millis(20))
        .lease(Duration::from_secs(60));
    let on = || on(&store).config(patient.clone());
    let old = on().projection(Balances::<1>::new()).start().await.unwrap();
    open_all(&old).await;
    deposits(&old, 1).await;
    caught_up(&old, "balances").await;
    let next = Balances::<2>::new();
    next.broken.store(true, Atomic::SeqCst);
    let new = on().projection(next).start().await.unwrap();
    until("dead letters of all accounts", async || {
        let rebuild = new.subscriptions().rebuild("balances").await.unwrap();
        rebuild.dead_letters > 0
    })
    .await;
    let deposit = old.dispatch(deposit("a", 1)).wait_for(["balances"]);
    deposit.wait_at_most(Duration::from_secs(20)).await.unwrap();
    assert_eq!(balances(&store, 1), [2, 1, 1, 1, 1]);
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_active_version_goes_on_for_most_of_the_time_while_the_next_one_cannot_take_over() {
    let store = MemoryStore::new();
    let old = on(&store)
        .projection(Balances::<1>::new())
        .start()
        .await
        .unwrap();
    open_all(&old).await;
    caught_up(&old, "balances").await;
    let next = Balances::<2>::new();
    next.take_over_fails.store(true, Atomic::SeqCst);
    let new = on(&store).projection(next.clone()).start().await.unwrap();
    let state = async || {
        let status = old.subscriptions().status("balances").await.unwrap();
        status.state
    };
    until("the active version to be held", async || {
        state().await == SubscriptionState::Paused
    })
    .await;
    until("the active version to go on", async || {
        state().await == SubscriptionState::Active
    })
    .await;
    // Ten times as long as it was held.
    let goes_on = Instant::now();
    while goes_on.elapsed() < Duration::from_secs(3) {
        assert_eq!(state().await, SubscriptionState::Active);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    next.take_over_fails.store(false, Atomic::SeqCst);
    until("the next version to take over", async || {
        let status = new.subscriptions().status("balances").await.unwrap();
        status.version == 2
    })
    .await;
    old.shutdown().await.unwrap();
    new.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_inline_projection_is_current_when_the_command_is_answered_and_can_refuse_it() {
    let store = MemoryStore::new();
    let projection = Balances::<1>::new();
    let builder = on(&store).inline_projection(projection.clone());
    let app = builder.start().await.unwrap();
    open_all(&app).await;
    let deposits = (0..20).map(|_| app.dispatch(deposit("a", 1)));
    futures::future::try_join_all(deposits).await.unwrap();
    assert_eq!(balances(&store, 1), [20]);
    projection.broken.store(true, Atomic::SeqCst);
    let refused = app.dispatch(deposit("a", 1)).await.unwrap_err();
    assert!(refused.to_string().contains("balances"), "{refused}");
    projection.broken.store(false, Atomic::SeqCst);
    let receipt = app.dispatch(deposit("a", 1)).await.unwrap();
    assert_eq!((receipt.version.get(), balances(&store, 1)), (22, vec![21]));
    app.shutdown().await.unwrap();
}

/// A projection that does what it is told where it is least expected.
#[derive(Clone, Copy, PartialEq)]
enum Unruly {
    PanicsOnceAsked,
    NeverEnds,
    CannotSetUp,
}

impl Projection<ReadModels> for Unruly {
    const NAME: &'static str = "unruly";
    type Events = Money;

    async fn project(
        &self,
        _: &Money,
        _: &EventContext,
        _: &mut ReadModels,
    ) -> Result<(), BoxError> {
        match self {
            Self::PanicsOnceAsked => panic!("it does not count like this"),
            _ => std::future::pending().await,
        }
    }

    async fn setup(&self, _: &mut ReadModels) -> Result<(), BoxError> {
        match self {
            Self::CannotSetUp => Err("there is no room".into()),
            _ => Ok(()),
        }
    }

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new().time_limit(Duration::from_millis(50))
    }
}

#[tokio::test]
async fn an_inline_projection_that_panics_or_never_ends_fails_its_command_alone() {
    for (unruly, says) in [
        (Unruly::PanicsOnceAsked, "it does not count like this"),
        (Unruly::NeverEnds, "took longer than 50ms"),
    ] {
        let store = MemoryStore::new();
        let app = on(&store).inline_projection(unruly).start().await.unwrap();
        app.dispatch(open("a")).await.unwrap();
        for _ in 0..2 {
            let error = app.dispatch(deposit("a", 1)).await.unwrap_err();
            assert!(!error.is_outcome_unknown(), "{error}");
            assert!(error.to_string().contains(says), "{error}");
        }
        let loaded = app.load::<Account>(&"a".into()).await.unwrap();
        assert_eq!(loaded.version, 1);
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn an_inline_projection_need_not_be_waited_for() {
    let store = MemoryStore::new();
    let app = on(&store).inline_projection(Balances::<1>::new());
    let app = app.start().await.unwrap();
    app.dispatch(open("a")).await.unwrap();
    let deposit = app.dispatch(deposit("a", 1)).wait_for(["balances"]);
    deposit.await.unwrap();
    caught_up(&app, "balances").await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_start_says_which_projection_cannot_make_its_tables() {
    let store = MemoryStore::new();
    let durable = on(&store).projection(Unruly::CannotSetUp).start().await;
    let inline = on(&store)
        .inline_projection(Unruly::CannotSetUp)
        .start()
        .await;
    for error in [durable.unwrap_err(), inline.unwrap_err()] {
        let said = error.to_string();
        assert_eq!(
            said,
            "the projection `unruly` cannot make its tables: there is no room"
        );
    }
}

/// Notes when each event was recorded; its tables can be made at the second attempt.
#[derive(Clone, Default)]
struct Times {
    setups: Arc<AtomicUsize>,
}

impl Projection<ReadModels> for Times {
    const NAME: &'static str = "times";
    type Events = Money;

    async fn setup(&self, _: &mut ReadModels) -> Result<(), BoxError> {
        match self.setups.fetch_add(1, Atomic::SeqCst) {
            0 => Err("another process makes them at the same time".into()),
            _ => Ok(()),
        }
    }

    async fn project(
        &self,
        _: &Money,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        db.put("times", context.id(), context.recorded_at());
        Ok(())
    }
}

#[tokio::test]
async fn an_inline_projection_is_tried_to_be_set_up_again_and_goes_by_the_clock_of_the_app() {
    let store = MemoryStore::new();
    let times = Times::default();
    let noon = time::OffsetDateTime::UNIX_EPOCH + Duration::from_secs(12 * 3_600);
    let clock = Arc::new(ManualClock::starting_at(noon));
    let builder = on(&store).clock(clock).inline_projection(times.clone());
    let app = builder.start().await.unwrap();
    assert_eq!(times.setups.load(Atomic::SeqCst), 2);
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 1)).await.unwrap();
    let noted = store
        .read_models()
        .get::<time::OffsetDateTime>("times", "a");
    assert_eq!(noted, Some(noon));
    app.shutdown().await.unwrap();
}
