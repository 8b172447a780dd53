//! Signals that tell a process manager what to do, and ledgers that its commands go to.
#![allow(unreachable_pub, reason = "the modules of one test program share it")]

use std::time::{Duration, Instant};

use ordain::prelude::*;
use ordain::store::{MemoryOptions, SubscriptionStore};
use ordain::subscription::{SubscriptionOptions, SubscriptionStatus};
use ordain::{
    App, AppBuilder, Backoff, CommandAction, CommandFailure, Config, EventContext, Failure,
    FailureAction, MemoryStore, ProcessContext, ProcessInstance, ProcessOptions, Reaction, Route,
};
use ordain_testkit::{Call, FaultyStore, Gate, Halt, ManualClock};
use serde::{Deserialize, Serialize};

/// What a signal tells the process manager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Note {
    pub kind: Kind,
    pub strict: bool,
    pub ids: Vec<String>,
    /// The texts of the commands that are issued, each with its ledger.
    pub commands: Vec<(String, String)>,
    /// A timer of this key, due after so many seconds, with the text of its command.
    pub timer: Option<(String, u64, String)>,
    pub cancel: Option<String>,
    pub stop: bool,
    pub panics: Option<Panics>,
    /// What is done when a command fails, from then on.
    pub on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    #[default]
    Start,
    Continue,
    Stop,
    /// Ends them, and begins them anew.
    Restart,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Panics {
    Route,
    Handle,
    Apply,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum OnFailure {
    Retry,
    Skip,
    SkipRest,
    Replace,
    DeadLetter,
    Stop,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Send {
    #[command(id)]
    pub signal: String,
    pub note: Note,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Sent {
    pub note: Note,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "signal", commands(Send), events(Sent))]
pub struct Signal;

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
pub struct Write {
    #[command(id)]
    pub ledger: String,
    pub text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct OpenLedger {
    #[command(id)]
    pub ledger: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Written {
    pub text: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct LedgerOpened {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum LedgerError {
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
pub struct Ledger {
    pub texts: Vec<String>,
    pub open: bool,
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
pub struct Probe {
    pub seen: Vec<String>,
    on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WriteLater {
    text: String,
    ledger: String,
}

pub fn quick() -> ProcessOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(20));
    let subscription = SubscriptionOptions::new().retry(retry).attempts(3);
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
        if let Some((key, seconds, text)) = &note.timer {
            let (text, ledger) = (text.clone(), context.instance().to_owned());
            let after = Duration::from_secs(*seconds);
            reaction = reaction.timer(key, after, WriteLater { text, ledger });
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
    fn on_timer(&self, timer: &WriteLater) -> Reaction<Self> {
        let WriteLater { text, ledger } = timer.clone();
        assert!(!text.starts_with("timer panics"), "told to panic");
        if let Some(text) = text.strip_prefix("sets ") {
            let later = WriteLater {
                text: text.to_owned(),
                ledger,
            };
            return Reaction::none().timer("set", Duration::from_secs(60), later);
        }
        Reaction::dispatch(Write { ledger, text })
    }

    fn apply_timer(&mut self, timer: &WriteLater) {
        self.seen.push(timer.text.clone());
    }
}

pub fn note(kind: Kind, ids: &[&str]) -> Note {
    Note {
        kind,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Note::default()
    }
}

impl Note {
    pub fn writes(mut self, ledger: &str, text: &str) -> Self {
        self.commands.push((ledger.to_owned(), text.to_owned()));
        self
    }

    pub fn timer(mut self, key: &str, seconds: u64, text: &str) -> Self {
        self.timer = Some((key.to_owned(), seconds, text.to_owned()));
        self
    }

    pub fn strictly(mut self) -> Self {
        self.strict = true;
        self
    }

    pub fn failing(mut self, action: OnFailure) -> Self {
        self.on_failure = Some(action);
        self
    }

    pub fn panicking(mut self, panics: Panics) -> Self {
        self.panics = Some(panics);
        self
    }
}

pub fn start(id: &str) -> Note {
    note(Kind::Start, &[id])
}

pub fn go_on(id: &str) -> Note {
    note(Kind::Continue, &[id])
}

pub fn stop(id: &str) -> Note {
    note(Kind::Stop, &[id])
}

/// A store whose clock the test moves.
pub fn store_with_clock() -> (MemoryStore, ManualClock) {
    let clock = ManualClock::new();
    let options = MemoryOptions::new().clock(std::sync::Arc::new(clock.clone()));
    (MemoryStore::with_options(options), clock)
}

pub fn on<S: SubscriptionStore + Clone>(store: &S) -> AppBuilder<S> {
    let config = Config::new().beat(Duration::from_millis(20));
    App::builder(store.clone())
        .aggregate::<Signal>()
        .aggregate::<Ledger>()
        .config(config)
}

pub async fn probing<S: SubscriptionStore + Clone>(store: &S) -> App {
    let app = on(store).process_manager::<Probe>().start().await;
    app.unwrap()
}

pub async fn send(app: &App, note: Note) {
    send_from(app, "s", note).await;
}

pub async fn send_from(app: &App, signal: &str, note: Note) {
    let signal = signal.to_owned();
    app.dispatch(Send { signal, note }).await.unwrap();
}

/// Asks again until it is so.
pub async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub async fn texts(app: &App, ledger: &str) -> Vec<String> {
    let ledger = app.load::<Ledger>(&ledger.to_owned()).await;
    ledger.map_or_else(|_| Vec::new(), |ledger| ledger.texts.clone())
}

pub async fn until_texts(app: &App, ledger: &str, expected: &[&str]) {
    let mut found = Vec::new();
    let begin = Instant::now();
    while found != expected {
        assert!(
            begin.elapsed() < Duration::from_secs(20),
            "{ledger}: {found:?}"
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
        found = texts(app, ledger).await;
    }
}

pub async fn instance(app: &App, id: &str) -> Option<ProcessInstance> {
    app.processes("probe").get(id).await.unwrap()
}

pub async fn seen(app: &App, id: &str) -> Vec<String> {
    let instance = instance(app, id).await;
    let state = instance.map(|instance| instance.state);
    let state: Option<Probe> = state.map(|state| serde_json::from_value(state).unwrap());
    state.map(|state| state.seen).unwrap_or_default()
}

/// Waits until the process manager has come to the end of the log, and nothing of it is under way.
pub async fn settled(app: &App) {
    until("it settles", async || {
        let status = app.subscriptions().status("probe").await.unwrap();
        let is_done = status.lag == 0 && status.parked == 0;
        let processes = app.processes("probe");
        for id in processes.list(None, 1_000).await.unwrap() {
            let instance = processes.get(&id).await.unwrap().unwrap();
            if !instance.outgoing.is_empty() && instance.dead_letter.is_none() {
                return None;
            }
        }
        (is_done && app.store().head().await.unwrap() == status.head).then_some(())
    })
    .await;
}

pub async fn status_when(
    app: &App,
    what: &str,
    is: impl Fn(&SubscriptionStatus) -> bool,
) -> SubscriptionStatus {
    until(what, async || {
        let status = app.subscriptions().status("probe").await.unwrap();
        is(&status).then_some(status)
    })
    .await
}

/// Holds the append after the next one: that of the command which the next signal issues.
pub fn hold_command<S>(store: &FaultyStore<S>) -> Gate {
    store.faults().pass_next(Call::Append);
    store.faults().halt_next(Call::Append, Halt::BeforeCommit)
}
