//! What becomes of a running app.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use futures::TryStreamExt as _;
use ordain::store::{EventStoreExt as _, Filter, ReadAll, SubscriptionState};
use ordain::subscription::SubscriptionStatus;
use ordain::{App, Event, GlobalPosition, RecordedEvent};
use tokio::time::{Instant, sleep};

/// The pause between two looks at the log.
const LOOK: Duration = Duration::from_millis(5);

/// How much of the log a failure shows.
const SHOWN_MAX: usize = 20;

/// Waits for what becomes of an app, and fails if it does not come to be in time.
///
/// ```
/// # use ordain::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct MoneyDeposited { amount: u64 }
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct AccountClosed;
/// # #[derive(Debug, Serialize, Deserialize, Command)]
/// # struct Deposit { #[command(id)] account: String, amount: u64 }
/// # #[derive(Debug, Default, Clone, Aggregate)]
/// # #[aggregate(category = "account", commands(Deposit), events(MoneyDeposited))]
/// # struct Account;
/// # impl Execute<Deposit> for Account {
/// #     fn execute(&self, command: &Deposit) -> Decision<Self> {
/// #         Ok(MoneyDeposited { amount: command.amount }.into())
/// #     }
/// # }
/// # impl Apply<MoneyDeposited> for Account {
/// #     fn apply(&mut self, _: &MoneyDeposited) {}
/// # }
/// use ordain::{App, MemoryStore};
/// use ordain_testkit::running;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App::builder(MemoryStore::new()).aggregate::<Account>().start().await?;
/// running(&app)
///     .refute_event(|_: &AccountClosed| true, async || {
///         let deposit = Deposit { account: "ann".into(), amount: 5 };
///         app.dispatch(deposit).await.expect("it is accepted");
///     })
///     .await;
/// let seen = running(&app).wait_for_event(|event: &MoneyDeposited| event.amount == 5).await;
/// assert_eq!(seen.recorded.stream.id(), "ann");
/// # Ok(())
/// # }
/// ```
pub fn running(app: &App) -> Running<'_> {
    Running {
        app,
        within: Running::WITHIN_DEFAULT,
        allows_dead_letters: false,
    }
}

/// A running app, by way of [`running`].
#[derive(Debug, Clone, Copy)]
#[must_use = "say what is waited for"]
pub struct Running<'a> {
    app: &'a App,
    within: Duration,
    allows_dead_letters: bool,
}

/// An event that was waited for.
#[derive(Debug, Clone)]
pub struct Seen<E> {
    /// The event.
    pub event: E,
    /// As it is stored.
    pub recorded: RecordedEvent,
}

impl Running<'_> {
    /// How long it waits unless told; it is over at once when what it waits for is there.
    pub const WITHIN_DEFAULT: Duration = Duration::from_secs(5);

    /// Waits at most this long.
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    /// A subscription that passes over dead letters is as idle as others.
    pub fn allow_dead_letters(mut self) -> Self {
        self.allows_dead_letters = true;
        self
    }

    /// Waits for an event of which this holds, and gives the first one, from the beginning of the log.
    ///
    /// Those stored in an older shape are passed over: no upcaster is asked.
    #[track_caller]
    pub fn wait_for_event<E: Event>(
        self,
        holds: impl Fn(&E) -> bool,
    ) -> impl Future<Output = Seen<E>> {
        self.find(holds, Location::caller())
    }

    /// Waits for an event of each kind of which this holds, and checks that both belong to the same piece
    /// of business: that they have the same correlation id.
    #[track_caller]
    pub fn assert_correlated<A: Event, B: Event>(
        self,
        first: impl Fn(&A) -> bool,
        second: impl Fn(&B) -> bool,
    ) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            let first = self.find(first, caller).await.recorded;
            let second = self.find(second, caller).await.recorded;
            let ids = (first.correlation_id, second.correlation_id);
            assert!(
                ids.0.is_some() && ids.0 == ids.1,
                "not of one correlation id (at {caller}):\n{}{}",
                correlated_line(&first),
                correlated_line(&second)
            );
        }
    }

    /// Waits until these subscriptions have come to the end of the log, and what they do has appended
    /// nothing more. Timers that are not due yet are not waited for.
    ///
    /// # Panics
    /// If one of them does not come there in time, is paused, has stopped, or passes over dead letters.
    #[track_caller]
    pub fn wait_until_idle<N: Into<String>>(
        self,
        names: impl IntoIterator<Item = N>,
    ) -> impl Future<Output = ()> {
        let caller = Location::caller();
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        async move {
            let deadline = Instant::now() + self.within;
            self.until_idle(&names, deadline, caller).await;
        }
    }

    /// Checks that nothing of which this holds is appended by `run`, and by all that reacts to it: it waits
    /// until every active subscription has come to the end of the log.
    ///
    /// What is appended later, by something that is no subscription, is not seen.
    #[track_caller]
    pub fn refute_event<E: Event, R>(
        self,
        holds: impl Fn(&E) -> bool,
        run: impl AsyncFnOnce() -> R,
    ) -> impl Future<Output = R> {
        let caller = Location::caller();
        async move {
            let start = self.head(caller).await;
            let ran = run().await;
            let deadline = Instant::now() + self.within;
            let names = self.active_names(caller).await;
            self.until_idle(&names, deadline, caller).await;
            let mut search = Search::after(start);
            if let Some(seen) = search.look(self.app, &holds, caller).await {
                let (name, line) = (E::NAME, line(&seen.recorded));
                panic!("there is a `{name}` that should not be (at {caller}):\n{line}");
            }
            ran
        }
    }

    async fn find<E: Event>(
        self,
        holds: impl Fn(&E) -> bool,
        caller: &'static Location<'static>,
    ) -> Seen<E> {
        let deadline = Instant::now() + self.within;
        let mut search = Search::after(GlobalPosition::ORIGIN);
        loop {
            if let Some(seen) = search.look(self.app, &holds, caller).await {
                return seen;
            }
            if Instant::now() >= deadline {
                let (name, within) = (E::NAME, self.within);
                let log = self.log(caller).await;
                panic!("no `{name}` that matches came within {within:?} (at {caller}); {log}");
            }
            sleep(LOOK).await;
        }
    }

    async fn until_idle(self, names: &[String], deadline: Instant, caller: &Location<'_>) {
        loop {
            let head = self.head(caller).await;
            for name in names {
                self.until_at(name, head, deadline, caller).await;
            }
            // In this order: what is settled in between may have appended.
            if self.are_settled(names, deadline, caller).await && self.head(caller).await == head {
                return;
            }
        }
    }

    async fn until_at(
        self,
        name: &str,
        head: GlobalPosition,
        deadline: Instant,
        caller: &Location<'_>,
    ) {
        let reached = self.app.wait_until(name, head, deadline.into_std()).await;
        if let Err(error) = reached {
            let status = self.describe(name).await;
            panic!("`{name}` is not idle (at {caller}): {error}{status}");
        }
    }

    /// Whether nothing waits for something under way.
    async fn are_settled(self, names: &[String], deadline: Instant, caller: &Location<'_>) -> bool {
        for name in names {
            let status = self.app.subscriptions().status(name).await;
            let status = or_panic(status, caller);
            let letters = self.app.subscriptions().dead_letters(name).await;
            let mut letters = or_panic(letters, caller);
            letters.retain(|letter| letter.version == status.version);
            let is_busy = status.parked > 0
                || letters.iter().any(|letter| letter.is_requested)
                || self.has_commands_under_way(name, caller).await;
            if is_busy && Instant::now() < deadline {
                sleep(LOOK).await;
                return false;
            }
            if is_busy || (!letters.is_empty() && !self.allows_dead_letters) {
                let status = self.describe(name).await;
                panic!("`{name}` passes over events (at {caller}){status}");
            }
        }
        true
    }

    /// Whether a process manager has commands to dispatch; those of instances that are put aside wait.
    async fn has_commands_under_way(self, name: &str, caller: &Location<'_>) -> bool {
        let unsettled = self.app.processes(name).unsettled(u32::MAX).await;
        let unsettled = or_panic(unsettled, caller);
        if unsettled.is_empty() {
            return false;
        }
        let letters = self.app.subscriptions().dead_letters(name).await;
        let letters = or_panic(letters, caller);
        let is_aside = |id: &String| letters.iter().any(|letter| letter.key == *id);
        !unsettled.iter().all(is_aside)
    }

    /// How a subscription stands, as lines; of one that is not known, which there are.
    async fn describe(self, name: &str) -> String {
        let subscriptions = self.app.subscriptions();
        let Ok(status) = subscriptions.status(name).await else {
            let known = subscriptions.list().await.unwrap_or_default();
            let known = known.into_iter().filter(is_of_the_user);
            let known: Vec<_> = known.map(|status| status.name).collect();
            return format!("\n  there are {known:?}");
        };
        let mut text = status_lines(&status);
        for letter in subscriptions.dead_letters(name).await.unwrap_or_default() {
            let (key, position, error) = (letter.key, letter.position, letter.error);
            let _ = write!(
                text,
                "\n  dead letter {key} at position {position}: {error}"
            );
        }
        text
    }

    async fn active_names(self, caller: &Location<'_>) -> Vec<String> {
        let all = or_panic(self.app.subscriptions().list().await, caller);
        let active = all
            .into_iter()
            .filter(|status| status.state == SubscriptionState::Active && is_of_the_user(status));
        active.map(|status| status.name).collect()
    }

    async fn head(self, caller: &Location<'_>) -> GlobalPosition {
        or_panic(self.app.store().head().await, caller)
    }

    /// The end of the log, as lines.
    async fn log(self, caller: &Location<'_>) -> String {
        let mut shown = VecDeque::new();
        let mut count = 0;
        let mut events = self.app.store().stream_all(ReadAll::forward());
        while let Some(event) = or_panic(events.try_next().await, caller) {
            count += 1;
            shown.push_back(line(&event));
            if shown.len() > SHOWN_MAX {
                shown.pop_front();
            }
        }
        match (count, shown.len()) {
            (0, _) => "the log is empty".to_owned(),
            (all, shown_count) => {
                let lines: String = shown.into_iter().collect();
                format!("the log has {all} events, the last {shown_count} are:\n{lines}")
            }
        }
    }
}

/// A search that goes on after what it has seen.
struct Search {
    after: GlobalPosition,
}

impl Search {
    fn after(after: GlobalPosition) -> Self {
        Self { after }
    }

    /// The first event that matches, of those that are there by now.
    async fn look<E: Event>(
        &mut self,
        app: &App,
        holds: impl Fn(&E) -> bool,
        caller: &Location<'_>,
    ) -> Option<Seen<E>> {
        let names = E::ALIASES.iter().chain([&E::NAME]);
        let filter = Filter::all().types(names.copied());
        loop {
            let read = ReadAll::forward().after(self.after).filter(filter.clone());
            let page = or_panic(app.store().read_all(read).await, caller);
            self.after = page.examined;
            for recorded in page.events {
                if let Some(event) = decode(app, &recorded, caller).filter(&holds) {
                    return Some(Seen { event, recorded });
                }
            }
            if page.at_end {
                return None;
            }
        }
    }
}

/// The event, unless it is of an older shape.
fn decode<E: Event>(app: &App, recorded: &RecordedEvent, caller: &Location<'_>) -> Option<E> {
    let is_current = recorded.schema_version == E::VERSION;
    is_current.then(|| {
        let read = recorded.raw(app.store().codec()).decode();
        read.unwrap_or_else(|error| panic!("{error} (at {caller}):\n{}", line(recorded)))
    })
}

fn or_panic<T, E: std::fmt::Display>(answer: Result<T, E>, caller: &Location<'_>) -> T {
    answer.unwrap_or_else(|error| panic!("{error} (at {caller})"))
}

/// Whether it is no subscription of the framework's own, which need not come to the end of the log.
fn is_of_the_user(status: &SubscriptionStatus) -> bool {
    !status.name.starts_with('$')
}

fn status_lines(status: &SubscriptionStatus) -> String {
    let (state, position, head) = (status.state.as_str(), status.position, status.head);
    let mut text = format!("\n  {state}, at position {position} of {head}");
    if let Some(reason) = &status.reason {
        let _ = write!(text, ": {reason}");
    }
    for partition in &status.partitions {
        if let Some(error) = &partition.last_error {
            let (number, attempts) = (partition.partition, partition.attempts);
            let _ = write!(
                text,
                "\n  partition {number} failed {attempts} times: {error}"
            );
        }
    }
    text
}

fn line(event: &RecordedEvent) -> String {
    let data = String::from_utf8_lossy(&event.data);
    let (position, stream, version) = (event.position, &event.stream, event.version);
    let name = &event.event_type;
    format!("  {position}: {stream} {version}: {name} {data}\n")
}

fn correlated_line(event: &RecordedEvent) -> String {
    let id = event.correlation_id;
    let id = id.map_or_else(|| "no correlation id".to_owned(), |id| id.to_string());
    format!("  {id}: {}", line(event).trim_start())
}
