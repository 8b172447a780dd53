//! Signals that tell a process manager what to do, and ledgers that its commands go to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordain::prelude::*;
use ordain::store::{SubscriptionState, SubscriptionStore};
use ordain::subscription::{DeadLetter, SubscriptionOptions, SubscriptionStatus};
use ordain::{
    App, AppBuilder, Backoff, CommandAction, CommandFailure, EventContext, Failure, FailureAction,
    ProcessContext, ProcessInstance, ProcessOptions, Reaction, RecordedEvent, Route, TimerContext,
};
use serde::{Deserialize, Serialize};

use super::super::apps::config;
pub(super) use super::super::apps::{LONG, PATIENCE, SHORT, shut_down, start, status_when};
use super::super::read_side::Timed;
use super::super::support::log;
use crate::{Call, FaultyStore, Gate, Halt};

/// What a signal tells the process manager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Note {
    pub(super) kind: Kind,
    pub(super) strict: bool,
    pub(super) ids: Vec<String>,
    /// The texts of the commands that are issued, each with its ledger.
    pub(super) commands: Vec<(String, String)>,
    /// A timer of this key, due after so long, with the text of its command.
    pub(super) timer: Option<(String, Duration, String)>,
    pub(super) cancel: Option<String>,
    pub(super) stop: bool,
    pub(super) panics: Option<Panics>,
    /// What is done when a command fails, from then on.
    pub(super) on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) enum Kind {
    #[default]
    Start,
    Continue,
    Stop,
    /// Ends them, and begins them anew.
    Restart,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum Panics {
    Route,
    Handle,
    Apply,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) enum OnFailure {
    Retry,
    Skip,
    SkipRest,
    Replace,
    DeadLetter,
    Stop,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(super) struct Send {
    #[command(id)]
    pub(super) signal: String,
    pub(super) note: Note,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(super) struct Sent {
    pub(super) note: Note,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "signal", commands(Send), events(Sent))]
pub(super) struct Signal;

impl Execute<Send> for Signal {
    fn execute(&self, command: &Send) -> Decision<Self> {
        let note = command.note.clone();
        Ok(Sent { note }.into())
    }
}

impl Apply<Sent> for Signal {
    fn apply(&mut self, _: &Sent) {}
}

/// Writes a text into a ledger: `reject..` is refused, `empty..` changes nothing, `panic..` panics; `closed..`
/// is refused until the ledger is open.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(super) struct Write {
    #[command(id)]
    pub(super) ledger: String,
    pub(super) text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(super) struct OpenLedger {
    #[command(id)]
    pub(super) ledger: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(super) struct Written {
    pub(super) text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(super) struct LedgerOpened {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub(super) enum LedgerError {
    #[error("`{text}` is refused")]
    Refused { text: String },
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(
    category = "ledger",
    commands(Write, OpenLedger),
    events(Written, LedgerOpened),
    error = LedgerError
)]
pub(super) struct Ledger {
    pub(super) texts: Vec<String>,
    pub(super) open: bool,
}

impl Execute<Write> for Ledger {
    fn execute(&self, command: &Write) -> Decision<Self> {
        let text = command.text.clone();
        assert!(!text.starts_with("panic"), "told to panic");
        if text.starts_with("reject") || text.starts_with("closed") && !self.open {
            return Err(LedgerError::Refused { text });
        }
        Ok((!text.starts_with("empty"))
            .then_some(Written { text })
            .into())
    }
}

impl Execute<OpenLedger> for Ledger {
    fn execute(&self, _: &OpenLedger) -> Decision<Self> {
        Ok(LedgerOpened {}.into())
    }
}

impl Apply<Written> for Ledger {
    fn apply(&mut self, event: &Written) {
        self.texts.push(event.text.clone());
    }
}

impl Apply<LedgerOpened> for Ledger {
    fn apply(&mut self, _: &LedgerOpened) {
        self.open = true;
    }
}

/// Does what signals say, and notes in its state what it has seen.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "probe",
    id = String,
    events(Sent),
    timer = WriteLater,
    options = quick,
    on_failure = Probe::act,
    on_command_failure = Probe::answer,
    apply_command_failure = Probe::note_failure
)]
pub(super) struct Probe {
    pub(super) seen: Vec<String>,
    on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct WriteLater {
    text: String,
    ledger: String,
}

pub(super) fn quick() -> ProcessOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    let subscription = SubscriptionOptions::new()
        .retry(retry)
        .attempts(3)
        .checkpoint_after(Duration::from_millis(10));
    ProcessOptions::new()
        .subscription(subscription)
        .timer_poll(Duration::from_millis(10))
}

impl Probe {
    fn act(failure: &Failure) -> FailureAction {
        match failure.event.stream.id() {
            "skipped" => FailureAction::Skip,
            "stopped" => FailureAction::Stop,
            _ => failure.default_action(),
        }
    }

    fn answer(&self, failure: &CommandFailure) -> CommandAction<Self> {
        match self.on_failure {
            None => failure.default_action(),
            Some(OnFailure::Retry) => CommandAction::Retry,
            Some(OnFailure::Skip) => CommandAction::Skip,
            Some(OnFailure::SkipRest) => CommandAction::SkipRest,
            Some(OnFailure::DeadLetter) => CommandAction::DeadLetter,
            Some(OnFailure::Stop) => CommandAction::Stop,
            Some(OnFailure::Replace) => {
                let ledger = failure.command.id().to_owned();
                let text = format!("instead of {}", failure.command.body()["text"]);
                CommandAction::Replace(Reaction::dispatch(Write { ledger, text }))
            }
        }
    }

    fn note_failure(&mut self, failure: &CommandFailure) {
        self.seen.push(format!("failed: {}", failure.error));
    }
}

impl Process<Sent> for Probe {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        let note = &event.note;
        assert!(note.panics != Some(Panics::Route), "told to panic");
        let ids = note.ids.iter().map(String::as_str);
        let route = match note.kind {
            Kind::None => Route::none(),
            Kind::Start => Route::start_all(ids),
            Kind::Continue => Route::continue_all(ids),
            Kind::Stop => Route::stop_all(ids),
            Kind::Restart => Route::stop_all(ids.clone()).and(Route::start_all(ids)),
        };
        if note.strict { route.strict() } else { route }
    }

    fn handle(&self, event: &Sent, context: &ProcessContext) -> Reaction<Self> {
        let note = &event.note;
        assert!(note.panics != Some(Panics::Handle), "told to panic");
        let mut reaction = Reaction::none();
        for (ledger, text) in &note.commands {
            let ledger = ledger.replace("{}", context.instance());
            let text = text.replace("{}", context.instance());
            reaction = reaction.and_dispatch(Write { ledger, text });
        }
        if let Some((key, after, text)) = &note.timer {
            let (text, ledger) = (text.clone(), context.instance().to_owned());
            reaction = reaction.timer(key, *after, WriteLater { text, ledger });
        }
        if let Some(key) = &note.cancel {
            reaction = reaction.cancel_timer(key);
        }
        if note.stop { reaction.stop() } else { reaction }
    }

    fn apply(&mut self, event: &Sent) {
        let note = &event.note;
        assert!(note.panics != Some(Panics::Apply), "told to panic");
        self.seen.push(format!("{:?}", note.kind));
        self.on_failure = note.on_failure.or(self.on_failure);
    }
}

impl OnTimer<WriteLater> for Probe {
    fn on_timer(&self, timer: &WriteLater, _: &TimerContext) -> Reaction<Self> {
        let WriteLater { text, ledger } = timer.clone();
        assert!(!text.starts_with("timer panics"), "told to panic");
        if let Some((millis, text)) = text.strip_prefix("sets ").and_then(|it| it.split_once(' ')) {
            let after = Duration::from_millis(millis.parse().expect("a number"));
            let text = text.to_owned();
            return Reaction::none().timer("set", after, WriteLater { text, ledger });
        }
        Reaction::dispatch(Write { ledger, text })
    }

    fn apply_timer(&mut self, timer: &WriteLater) {
        self.seen.push(timer.text.clone());
    }
}

pub(super) fn note(kind: Kind, ids: &[&str]) -> Note {
    Note {
        kind,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Note::default()
    }
}

impl Note {
    pub(super) fn writes(mut self, ledger: &str, text: &str) -> Self {
        self.commands.push((ledger.to_owned(), text.to_owned()));
        self
    }

    pub(super) fn timer(mut self, key: &str, after: Duration, text: &str) -> Self {
        self.timer = Some((key.to_owned(), after, text.to_owned()));
        self
    }

    /// The commands, as they are.
    pub(super) fn reaction<P: ordain::ProcessManager>(&self) -> Reaction<P> {
        let commands = self.commands.iter().cloned();
        let commands = commands.map(|(ledger, text)| Write { ledger, text });
        commands.fold(Reaction::none(), Reaction::and_dispatch)
    }

    pub(super) fn strictly(mut self) -> Self {
        self.strict = true;
        self
    }

    pub(super) fn failing(mut self, action: OnFailure) -> Self {
        self.on_failure = Some(action);
        self
    }

    pub(super) fn panicking(mut self, panics: Panics) -> Self {
        self.panics = Some(panics);
        self
    }
}

pub(super) fn begin(id: &str) -> Note {
    note(Kind::Start, &[id])
}

pub(super) fn go_on(id: &str) -> Note {
    note(Kind::Continue, &[id])
}

pub(super) fn stop(id: &str) -> Note {
    note(Kind::Stop, &[id])
}

/// Goes on with an instance, and takes a timer of its back.
pub(super) fn cancel(id: &str, timer: &str) -> Note {
    Note {
        cancel: Some(timer.to_owned()),
        ..go_on(id)
    }
}

/// An app whose leases do not end by themselves.
pub(super) fn on<S: SubscriptionStore + Clone>(store: &S) -> AppBuilder<S> {
    leased(store, LONG)
}

/// An app whose leases last for so long.
pub(super) fn leased<S: SubscriptionStore + Clone>(store: &S, lease: Duration) -> AppBuilder<S> {
    App::builder(store.clone())
        .aggregate::<Signal>()
        .aggregate::<Ledger>()
        .config(config(lease))
}

/// An app that takes its time from the store's clock, where the scenario moves that.
pub(super) fn timed<S: SubscriptionStore + Clone>(timed: &Timed<S>) -> AppBuilder<S> {
    match timed.clock() {
        Some(clock) => on(&timed.store).clock(Arc::new(clock)),
        None => on(&timed.store),
    }
}

pub(super) async fn probing<S: SubscriptionStore + Clone>(store: &S) -> App {
    start(on(store).process_manager::<Probe>()).await
}

pub(super) async fn send(app: &App, note: Note) {
    send_from(app, "s", note).await;
}

pub(super) async fn send_from(app: &App, signal: &str, note: Note) {
    let signal = signal.to_owned();
    let sent = app.dispatch(Send { signal, note }).await;
    sent.expect("a signal can be sent");
}

/// Asks again until it is so.
pub(super) async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(super) async fn texts(app: &App, ledger: &str) -> Vec<String> {
    let ledger = app.load::<Ledger>(&ledger.to_owned()).await;
    ledger.map_or_else(|_| Vec::new(), |ledger| ledger.texts.clone())
}

pub(super) async fn until_texts(app: &App, ledger: &str, expected: &[&str]) {
    let mut found = Vec::new();
    let begun = Instant::now();
    while found != expected {
        assert!(begun.elapsed() < PATIENCE, "{ledger}: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        found = texts(app, ledger).await;
    }
}

pub(super) async fn open_ledger(app: &App, ledger: &str) {
    let ledger = ledger.to_owned();
    let opened = app.dispatch(OpenLedger { ledger }).await;
    opened.expect("a ledger can be opened");
}

/// Every event of the log that came from a command to a ledger.
pub(super) async fn written(store: &impl SubscriptionStore) -> Vec<RecordedEvent> {
    let mut events = log(store).await;
    events.retain(|event| event.event_type == "Written");
    events
}

pub(super) async fn head(app: &App) -> u64 {
    app.store().head().await.expect("head").get()
}

pub(super) async fn find(app: &App, id: &str) -> Option<ProcessInstance> {
    let found = app.processes(Probe::NAME).get(id).await;
    found.expect("instances can be read")
}

pub(super) async fn instance(app: &App, id: &str) -> ProcessInstance {
    let found = find(app, id).await;
    found.unwrap_or_else(|| panic!("there is no instance {id}"))
}

pub(super) async fn seen(app: &App, id: &str) -> Vec<String> {
    let state = find(app, id).await.map(|instance| instance.state);
    let state = state.map(|state| serde_json::from_value::<Probe>(state).expect("a state"));
    state.map(|state| state.seen).unwrap_or_default()
}

pub(super) async fn until_seen(app: &App, id: &str, expected: &[&str]) {
    let mut found = Vec::new();
    let begun = Instant::now();
    while found != expected {
        assert!(begun.elapsed() < PATIENCE, "{id}: {found:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
        found = seen(app, id).await;
    }
}

/// Waits until the process manager has come to the end of the log, and nothing of it is under way.
pub(super) async fn settled(app: &App) {
    settled_of(app, None).await;
}

/// The same, looking at these instances only.
pub(super) async fn settled_of(app: &App, ids: Option<&[String]>) {
    until("it settles", async || {
        is_settled(app, ids).await.then_some(())
    })
    .await;
}

async fn is_settled(app: &App, ids: Option<&[String]>) -> bool {
    // Before the instances: what is handled by now has begun them.
    let status = status(app).await;
    if status.lag > 0 || status.parked > 0 {
        return false;
    }
    let ids = match ids {
        Some(ids) => ids.to_vec(),
        None => {
            let ids = app.processes(Probe::NAME).list(None, 1_000).await;
            ids.expect("instances can be listed")
        }
    };
    for id in ids {
        let instance = instance(app, &id).await;
        if !instance.outgoing.is_empty() && instance.dead_letter.is_none() {
            return false;
        }
    }
    head(app).await == status.head.get()
}

pub(super) async fn status(app: &App) -> SubscriptionStatus {
    let status = app.subscriptions().status(Probe::NAME).await;
    status.expect("the status can be read")
}

/// Waits until so many instances of the probe are put aside.
pub(super) async fn aside(app: &App, count: usize) -> Vec<DeadLetter> {
    until("they are put aside", async || {
        let letters = app.subscriptions().dead_letters(Probe::NAME).await;
        let letters = letters.expect("dead letters can be read");
        (letters.len() == count).then_some(letters)
    })
    .await
}

/// Asks for another attempt of an instance; says whether it is put aside.
pub(super) async fn retry(app: &App, id: &str) -> bool {
    let asked = app.subscriptions().retry(Probe::NAME, id).await;
    asked.expect("a retry can be asked for")
}

/// Has an instance leave out what it failed with; says whether it is put aside.
pub(super) async fn discard(app: &App, id: &str) -> bool {
    let asked = app.subscriptions().discard(Probe::NAME, id).await;
    asked.expect("discarding can be asked for")
}

/// Resets the probe, and waits until it has come to the end again.
pub(super) async fn reset(app: &App, position: u64) {
    let asked = app.subscriptions().reset(Probe::NAME, position).await;
    asked.expect("a reset can be asked for");
    status_when(app, Probe::NAME, |status| {
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
}

/// Waits for some signs of life: a process has seen by then how its subscriptions stand.
pub(super) async fn beats<S>(store: &FaultyStore<S>) {
    let beats = || store.faults().calls(Call::KeepAlive);
    let begun = beats();
    until("signs of life", async || {
        (beats() > begun + 5).then_some(())
    })
    .await;
}

/// Has a process die: nothing of it reaches the store any more, and its leases end.
pub(super) async fn kill<S: SubscriptionStore>(
    timed: &Timed<S>,
    store: &FaultyStore<S>,
    app: App,
    gate: Gate,
) {
    store.faults().cut_off();
    gate.cut();
    // What is under way might renew a lease when the clock has moved.
    store.faults().until_idle().await;
    drop(app);
    timed.end_leases();
}

/// Holds the append after the next one: that of the command which the next signal issues.
pub(super) fn hold_command<S>(store: &FaultyStore<S>) -> Gate {
    store.faults().pass_next(Call::Append);
    store.faults().halt_next(Call::Append, Halt::BeforeCommit)
}
