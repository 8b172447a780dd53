//! The apps that the scenarios of delivery run, and what they note.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use ordain::prelude::*;
use ordain::store::SubscriptionStore;
use ordain::subscription::{
    Delivered, Follow, StartFrom, Subscribe, Subscription, SubscriptionOptions,
};
use ordain::{
    App, AppBuilder, Backoff, BoxError, EventContext, EventHandler, EventStore, Failure,
    FailureAction, Ordering, Projection, StreamId,
};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::super::apps::config;
pub(super) use super::super::apps::{
    LONG, PATIENCE, SHORT, caught_up, shut_down, soon, start, status_when, wait,
};
use super::super::support::given;
use super::super::{ConnectionOf, SubscriptionFixture};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(super) struct MoneyDeposited {
    pub(super) amount: u64,
}

#[derive(Debug, Clone, EventSet)]
pub(super) enum Money {
    Deposited(MoneyDeposited),
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(super) struct Deposit {
    #[command(id)]
    pub(super) account: String,
    pub(super) amount: u64,
}

#[derive(Debug, Default, Clone, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    commands(Deposit),
    events(MoneyDeposited),
    may_create(Deposit)
)]
pub(super) struct Account {
    balance: u64,
}

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let amount = command.amount;
        Ok((amount > 0).then_some(MoneyDeposited { amount }).into())
    }
}

impl Apply<MoneyDeposited> for Account {
    fn apply(&mut self, event: &MoneyDeposited) {
        self.balance += event.amount;
    }
}

pub(super) fn deposit(account: &str, amount: u64) -> Deposit {
    let account = account.to_owned();
    Deposit { account, amount }
}

/// An app whose leases do not end by themselves.
pub(super) fn on<S: SubscriptionStore + Clone>(store: &S) -> AppBuilder<S> {
    leased(store, LONG)
}

/// An app whose leases last for so long.
pub(super) fn leased<S: SubscriptionStore + Clone>(store: &S, lease: Duration) -> AppBuilder<S> {
    App::builder(store.clone())
        .aggregate::<Account>()
        .config(config(lease))
}

/// Options that do not wait for long.
pub(super) fn quick() -> SubscriptionOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    SubscriptionOptions::new().retry(retry).attempts(3)
}

/// Options under which nothing is written down but when it is told.
pub(super) fn never_written() -> SubscriptionOptions {
    quick().checkpoint_every(u64::MAX).checkpoint_after(LONG)
}

/// What was handled, in the order in which handling it ended, and a signal at each.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    events: Arc<Mutex<Vec<(EventContext, u64)>>>,
    count: watch::Sender<usize>,
}

impl Seen {
    pub(super) fn new() -> Self {
        Self {
            events: Arc::default(),
            count: watch::Sender::new(0),
        }
    }

    pub(super) fn note(&self, context: &EventContext, amount: u64) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.push((context.clone(), amount));
        self.count.send_replace(events.len());
    }

    pub(super) fn events(&self) -> Vec<EventContext> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|(context, _)| context.clone()).collect()
    }

    pub(super) fn amounts(&self) -> Vec<u64> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|(_, amount)| *amount).collect()
    }

    pub(super) fn positions(&self) -> Vec<u64> {
        let events = self.events();
        events.iter().map(|one| one.position().get()).collect()
    }

    pub(super) fn sorted(&self) -> Vec<u64> {
        let mut positions = self.positions();
        positions.sort_unstable();
        positions
    }

    /// Waits until so many were handled.
    pub(super) async fn until(&self, count: usize) -> Vec<u64> {
        let mut counts = self.count.subscribe();
        let reached = counts.wait_for(|seen| *seen >= count);
        let what = format!("{count} events are handled");
        drop(soon(&what, reached).await.expect("a signal"));
        self.positions()
    }

    /// That each stream's events were handled in order, if what came again after a take-over is left out, and
    /// none is missing.
    pub(super) fn assert_in_order(&self, streams: usize, each: u64) {
        let mut versions: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for event in self.events() {
            let known = versions.entry(event.stream().to_string()).or_default();
            let version = event.version().get();
            let last = known.last().copied().unwrap_or_default();
            assert!(
                version <= last + 1,
                "{}: {version} after {last}",
                event.stream()
            );
            if version > last {
                known.push(version);
            }
        }
        assert_eq!(versions.len(), streams);
        for (stream, known) in versions {
            assert_eq!(known, (1..=each).collect::<Vec<_>>(), "{stream}");
        }
    }
}

/// How handlers fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing {
    /// How often events of a stream are going to fail.
    streams: Arc<Mutex<HashMap<String, u32>>>,
}

impl Failing {
    /// Events of an account fail that often.
    pub(super) fn set(&self, account: &str, times: u32) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.insert(format!("account-{account}"), times);
    }

    fn check(&self, stream: &StreamId) -> Result<(), BoxError> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        match streams.get_mut(stream.as_str()) {
            Some(left) if *left > 0 => {
                *left -= 1;
                Err("it cannot be handled".into())
            }
            _ => Ok(()),
        }
    }
}

/// Notes what comes, and fails where it is told to. `N` tells several in one app.
#[derive(Debug, Clone)]
pub(super) struct Noting<const N: u8 = 0> {
    pub(super) seen: Seen,
    pub(super) options: SubscriptionOptions,
    pub(super) failing: Failing,
    pub(super) action: Option<FailureAction>,
    /// What handling an event takes.
    pub(super) takes: Duration,
    /// By which key all events are ordered after each other, if not by their streams.
    pub(super) one_key: Option<String>,
}

impl<const N: u8> Noting<N> {
    pub(super) fn new() -> Self {
        Self {
            seen: Seen::new(),
            options: quick(),
            failing: Failing::default(),
            action: None,
            takes: Duration::ZERO,
            one_key: None,
        }
    }

    pub(super) fn options(mut self, options: SubscriptionOptions) -> Self {
        self.options = options;
        self
    }
}

impl<const N: u8> EventHandler for Noting<N> {
    const NAME: &'static str = match N {
        0 => "noting",
        _ => "noting too",
    };
    type Events = Money;

    async fn handle(&self, event: &Money, context: &EventContext) -> Result<(), BoxError> {
        self.failing.check(context.stream())?;
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        let Money::Deposited(MoneyDeposited { amount }) = event;
        self.seen.note(context, *amount);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        self.options.clone()
    }

    fn ordering(&self, _: &Money, _: &EventContext) -> Ordering {
        match &self.one_key {
            Some(key) => Ordering::Key(key.clone()),
            None => Ordering::Stream,
        }
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        self.action.unwrap_or_else(|| failure.default_action())
    }
}

/// The sum of each account's deposits, on a page of its version.
pub(super) struct Sums<F, const VERSION: u32 = 1> {
    pub(super) fixture: Arc<F>,
    /// Tells the pages of several stores at once, for fixtures that keep all in one table.
    book: u32,
    pub(super) options: SubscriptionOptions,
    pub(super) failing: Failing,
}

/// What is emptied when the sums are.
const ACCOUNTS_MAX: u64 = 10;

impl<F: SubscriptionFixture, const VERSION: u32> Sums<F, VERSION> {
    pub(super) fn new(fixture: &Arc<F>) -> Self {
        Self {
            fixture: Arc::clone(fixture),
            book: 0,
            options: quick().page(7).batch_max(3),
            failing: Failing::default(),
        }
    }

    pub(super) fn options(mut self, options: SubscriptionOptions) -> Self {
        self.options = options;
        self
    }

    pub(super) fn book(mut self, book: u32) -> Self {
        self.book = book;
        self
    }

    fn key_of(&self, account: &str) -> String {
        key_of(page(self.book, VERSION), account)
    }
}

/// The page of a version in a book.
pub(super) fn page(book: u32, version: u32) -> u32 {
    10 * book + version
}

/// Under which the version is found that has taken over.
pub(super) fn current(book: u32) -> String {
    format!("current of {book}")
}

fn key_of(page: u32, account: &str) -> String {
    format!("{page} {account}")
}

impl<F, const VERSION: u32> Projection<ConnectionOf<F>> for Sums<F, VERSION>
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    const NAME: &'static str = "sums";
    const VERSION: u32 = VERSION;
    type Events = Money;

    async fn project(
        &self,
        event: &Money,
        context: &EventContext,
        db: &mut ConnectionOf<F>,
    ) -> Result<(), BoxError> {
        let key = self.key_of(context.id());
        let sum = self.fixture.get(db, &key).await.unwrap_or_default();
        let Money::Deposited(MoneyDeposited { amount }) = event;
        let sum = sum + i64::try_from(*amount)?;
        self.fixture.put(db, &key, sum).await;
        // After what was written, so that it has to be undone.
        self.failing.check(context.stream())
    }

    async fn reset(&self, db: &mut ConnectionOf<F>) -> Result<(), BoxError> {
        for account in 0..ACCOUNTS_MAX {
            let key = self.key_of(&account.to_string());
            self.fixture.put(db, &key, 0).await;
        }
        Ok(())
    }

    async fn take_over(&self, db: &mut ConnectionOf<F>) -> Result<(), BoxError> {
        let current = current(self.book);
        self.fixture.put(db, &current, i64::from(VERSION)).await;
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        self.options.clone()
    }
}

/// A store in which the sums can be kept.
pub(super) async fn opened<F: SubscriptionFixture>(fixture: &F) -> F::Store {
    let store = fixture.open().await;
    fixture.make_read_model(&store).await;
    store
}

/// A number of the read model.
pub(super) async fn number<F: SubscriptionFixture>(
    fixture: &F,
    store: &F::Store,
    key: &str,
) -> Option<i64> {
    use ordain::store::ProjectionStore;
    let mut work = store.begin_work().await.expect("a transaction");
    fixture.get(F::Store::connection(&mut work), key).await
}

/// The sum of an account on a page of the read model.
pub(super) async fn sum<F: SubscriptionFixture>(
    fixture: &F,
    store: &F::Store,
    page: u32,
    account: u64,
) -> i64 {
    let key = key_of(page, &account.to_string());
    number(fixture, store, &key).await.unwrap_or_default()
}

/// Deposits amounts, one after the other, on so many accounts in turn.
pub(super) async fn rounds(store: &impl EventStore, accounts: u64, rounds: u64) {
    for round in 1..=rounds {
        for account in 0..accounts {
            let stream = super::super::support::account(&account.to_string());
            given(store, &stream, [round]).await;
        }
    }
}

/// Opens a durable subscription.
pub(super) async fn open(app: &App, subscribe: Subscribe) -> Subscription {
    let opened = app.subscribe(subscribe).await;
    opened.unwrap_or_else(|error| panic!("{error}"))
}

/// A subscription of all events under the name of `open`.
pub(super) fn all() -> Subscribe {
    Subscribe::new("open").options(quick())
}

pub(super) async fn next(open: &mut Subscription) -> Delivered {
    let delivered = soon("an event is delivered", open.next()).await;
    delivered.expect("the app goes on")
}

/// The positions of the next events, each acknowledged as it comes.
pub(super) async fn acked(open: &mut Subscription, count: usize) -> Vec<u64> {
    let mut positions = Vec::new();
    for _ in 0..count {
        let delivered = next(open).await;
        open.ack(&delivered).expect("it was delivered");
        positions.push(position_of(&delivered));
    }
    positions
}

/// The next events, not acknowledged.
pub(super) async fn taken(open: &mut Subscription, count: usize) -> Vec<Delivered> {
    let mut delivered = Vec::new();
    for _ in 0..count {
        delivered.push(next(open).await);
    }
    delivered
}

pub(super) fn position_of(delivered: &Delivered) -> u64 {
    delivered.event.read_position().get()
}

/// That nothing is delivered, although everything there is has come to this process.
pub(super) async fn assert_quiet(app: &App, open: &mut Subscription) {
    let head = app.store().head().await.expect("head").get();
    let follow = Follow::new().start_from(StartFrom::Position((head - 1).into()));
    let mut events = app.follow(follow).await.expect("the log is followed");
    let last = soon("the last event comes", events.next()).await;
    assert!(last.is_some_and(|event| event.is_ok()));
    if let Some(Some(delivered)) = open.next().now_or_never() {
        panic!("{} is delivered", position_of(&delivered));
    }
}
