//! Signals that tell a process manager what to do, and ledgers that its commands go to.
#![allow(unreachable_pub, reason = "the modules of one test program share it")]

use std::collections::HashSet;
use std::time::Duration;

use ordain::prelude::*;
use ordain::subscription::SubscriptionOptions;
use ordain::{
    Backoff, CommandAction, CommandFailure, Failure, FailureAction, ProcessContext, ProcessOptions,
    Reaction, Route, TimerContext,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// For which instances a signal is, and what it has them do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
pub struct Signalled {
    pub kind: Kind,
    pub strict: bool,
    pub ids: Vec<String>,
    pub acts: Vec<Act>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Kind {
    Start,
    Continue,
    Stop,
    /// Ends them, and begins them anew.
    Restart,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Act {
    /// Writes into the ledger of the instance.
    Write(String),
    /// Rings the bell of the instance.
    Ring,
    Timer(String, u64, Vec<Act>),
    Cancel(String),
    End,
    PanicInRoute,
    PanicInHandle,
    PanicInApply,
    /// What is done from then on when a command fails.
    Answer(Answer),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub enum Answer {
    #[default]
    Usual,
    Skip,
    SkipRest,
    /// Writes something else, and sets a timer.
    Replace,
    DeadLetter,
    Stop,
}

/// Written by nothing: its field is lost in the store.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Broken {
    pub breaks: Breaks,
}

/// What of it cannot be read back.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Breaks {
    State,
    Timer,
    Command,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Signal {
    #[command(id)]
    pub signal: String,
    pub signalled: Signalled,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "signal", commands(Signal), events(Signalled))]
pub struct Sender;

impl Execute<Signal> for Sender {
    fn execute(&self, command: &Signal) -> Decision<Self> {
        Ok(command.signalled.clone().into())
    }
}

impl Apply<Signalled> for Sender {
    fn apply(&mut self, _: &Signalled) {}
}

/// Writes a text into a ledger; one that begins with `reject` is refused.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Command)]
pub struct Write {
    #[command(id)]
    pub ledger: String,
    pub text: String,
}

/// Cannot be read back.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Command)]
pub struct Blot {
    #[command(id)]
    pub ledger: String,
    #[serde(skip_serializing)]
    pub size: u32,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Written {
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("`{text}` is refused")]
pub struct Refused {
    pub text: String,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "ledger", commands(Write, Blot), events(Written), error = Refused)]
pub struct Ledger;

impl Execute<Write> for Ledger {
    fn execute(&self, command: &Write) -> Decision<Self> {
        let text = command.text.clone();
        match is_refused(&text) {
            true => Err(Refused { text }),
            false => Ok(Written { text }.into()),
        }
    }
}

impl Execute<Blot> for Ledger {
    fn execute(&self, _: &Blot) -> Decision<Self> {
        Ok(().into())
    }
}

impl Apply<Written> for Ledger {
    fn apply(&mut self, _: &Written) {}
}

/// Rings a bell, which changes nothing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Command)]
pub struct Ring {
    #[command(id)]
    pub bell: String,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "bell", commands(Ring), events(Rung))]
pub struct Bell;

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Rung {}

impl Execute<Ring> for Bell {
    fn execute(&self, _: &Ring) -> Decision<Self> {
        Ok(().into())
    }
}

impl Apply<Rung> for Bell {
    fn apply(&mut self, _: &Rung) {}
}

/// Does what signals say, and notes in its state what it has seen.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "probe",
    version = 2,
    id = String,
    events(Signalled, Broken),
    timer = Later,
    state_version = 2,
    options = options,
    on_failure = Probe::on_failure,
    on_command_failure = Probe::on_command_failure,
    apply_command_failure = Probe::apply_command_failure,
    migrate = Probe::migrate,
)]
pub struct Probe {
    pub seen: Vec<String>,
    pub answer: Answer,
    /// Stored in any order.
    pub kinds: HashSet<String>,
    #[serde(default, skip_serializing_if = "is_whole")]
    pub mended: Mended,
}

/// Is stored as another than it was.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(from = "u32", into = "u32")]
pub struct Mended(pub u32);

impl From<u32> for Mended {
    fn from(number: u32) -> Self {
        Self(number + 1)
    }
}

impl From<Mended> for u32 {
    fn from(mended: Mended) -> Self {
        mended.0
    }
}

fn is_whole(mended: &Mended) -> bool {
    mended.0 == 0
}

/// What a timer does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Later {
    pub instance: String,
    pub acts: Vec<Act>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "as_text",
        default
    )]
    pub broken: Option<u32>,
}

fn as_text<S: serde::Serializer>(_: &Option<u32>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str("a text")
}

fn options() -> ProcessOptions {
    let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
    let subscription = SubscriptionOptions::new()
        .retry(retry)
        .attempts(ATTEMPTS)
        .checkpoint_every(1)
        .checkpoint_after(Duration::from_millis(1))
        .outage_after(1_000);
    ProcessOptions::new()
        .subscription(subscription)
        .timer_poll(Duration::from_millis(2))
}

pub const ATTEMPTS: u32 = 3;

impl Probe {
    fn react(&self, acts: &[Act], instance: &str) -> Reaction<Self> {
        let mut reaction = Reaction::none();
        for act in acts {
            reaction = match act {
                Act::Write(text) => reaction.and_dispatch(write(instance, text)),
                Act::Ring => reaction.and_dispatch(ring(instance)),
                Act::Timer(key, seconds, acts) => {
                    let after = Duration::from_secs(*seconds);
                    reaction.timer(key, after, later(instance, acts.clone()))
                }
                Act::Cancel(key) => reaction.cancel_timer(key),
                Act::End => reaction.stop(),
                Act::PanicInHandle => panic!("told to panic"),
                Act::PanicInRoute | Act::PanicInApply | Act::Answer(_) => reaction,
            };
        }
        reaction
    }

    fn note(&mut self, what: String, acts: &[Act]) {
        assert!(!acts.contains(&Act::PanicInApply), "told to panic");
        self.kinds.insert(what.clone());
        self.seen.push(what);
        for act in acts {
            if let Act::Answer(answer) = act {
                self.answer = *answer;
            }
        }
    }

    fn on_failure(failure: &Failure) -> FailureAction {
        match failure.event.stream.id() {
            "skipped" => FailureAction::Skip,
            "stopped" => FailureAction::Stop,
            _ => failure.default_action(),
        }
    }

    fn on_command_failure(&self, failure: &CommandFailure) -> CommandAction<Self> {
        match self.answer {
            Answer::Usual => failure.default_action(),
            Answer::Skip => CommandAction::Skip,
            Answer::SkipRest => CommandAction::SkipRest,
            Answer::DeadLetter => CommandAction::DeadLetter,
            Answer::Stop => CommandAction::Stop,
            Answer::Replace => {
                let instance = &failure.instance;
                let after = Duration::from_secs(90);
                let text = format!("instead of {}", failure.command.name());
                let reaction = Reaction::dispatch(write(instance, &text));
                CommandAction::Replace(reaction.timer("replaced", after, later(instance, vec![])))
            }
        }
    }

    fn apply_command_failure(&mut self, failure: &CommandFailure) {
        self.seen.push(format!("failed: {}", failure.error));
    }

    /// Version 1 was a list of what it had seen.
    fn migrate(version: u32, state: Value) -> Option<Self> {
        let seen = serde_json::from_value(state).ok()?;
        (version == 1).then(|| Self {
            seen,
            ..Self::default()
        })
    }
}

impl Process<Signalled> for Probe {
    fn route(event: &Signalled, _: &EventContext) -> Route<String> {
        assert!(!event.acts.contains(&Act::PanicInRoute), "told to panic");
        let ids = event.ids.iter().map(String::as_str);
        let route = match event.kind {
            Kind::Start => Route::start_all(ids),
            Kind::Continue => Route::continue_all(ids),
            Kind::Stop => Route::stop_all(ids),
            Kind::Restart => Route::stop_all(ids.clone()).and(Route::start_all(ids)),
        };
        if event.strict { route.strict() } else { route }
    }

    fn handle(&self, event: &Signalled, context: &ProcessContext) -> Reaction<Self> {
        self.react(&event.acts, context.instance())
    }

    fn apply(&mut self, event: &Signalled) {
        self.note(format!("{:?}", event.kind), &event.acts);
    }
}

impl Process<Broken> for Probe {
    fn route(_: &Broken, context: &EventContext) -> Route<String> {
        Route::start(context.id())
    }

    fn handle(&self, event: &Broken, context: &ProcessContext) -> Reaction<Self> {
        let instance = context.instance();
        match event.breaks {
            Breaks::State => Reaction::none(),
            Breaks::Timer => Reaction::none().timer(
                "broken",
                Duration::from_secs(1),
                Later {
                    broken: Some(1),
                    ..later(instance, vec![])
                },
            ),
            Breaks::Command => Reaction::dispatch(blot(instance)),
        }
    }

    fn apply(&mut self, event: &Broken) {
        if event.breaks == Breaks::State {
            self.mended = Mended(1);
        }
    }
}

impl OnTimer<Later> for Probe {
    fn on_timer(&self, timer: &Later, _: &TimerContext) -> Reaction<Self> {
        self.react(&timer.acts, &timer.instance)
    }

    fn apply_timer(&mut self, timer: &Later) {
        self.note(format!("timer of {}", timer.acts.len()), &timer.acts);
    }
}

pub fn write(ledger: &str, text: &str) -> Write {
    let (ledger, text) = (ledger.to_owned(), text.to_owned());
    Write { ledger, text }
}

pub fn ring(bell: &str) -> Ring {
    let bell = bell.to_owned();
    Ring { bell }
}

pub fn blot(ledger: &str) -> Blot {
    let ledger = ledger.to_owned();
    Blot { ledger, size: 1 }
}

pub fn is_refused(text: &str) -> bool {
    text.starts_with("reject")
}

pub fn refused(text: &str) -> Refused {
    let text = text.to_owned();
    Refused { text }
}

pub fn later(instance: &str, acts: Vec<Act>) -> Later {
    Later {
        instance: instance.to_owned(),
        acts,
        broken: None,
    }
}

pub fn signalled(kind: Kind, ids: &[&str], acts: impl Into<Vec<Act>>) -> Signalled {
    Signalled {
        kind,
        strict: false,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        acts: acts.into(),
    }
}

pub fn start(id: &str, acts: impl Into<Vec<Act>>) -> Signalled {
    signalled(Kind::Start, &[id], acts)
}

pub fn go_on(id: &str, acts: impl Into<Vec<Act>>) -> Signalled {
    signalled(Kind::Continue, &[id], acts)
}

pub fn stop(id: &str) -> Signalled {
    signalled(Kind::Stop, &[id], [])
}

impl Signalled {
    pub fn strictly(mut self) -> Self {
        self.strict = true;
        self
    }
}

pub fn text(text: &str) -> Act {
    Act::Write(text.to_owned())
}

pub fn timer(key: &str, seconds: u64, acts: impl Into<Vec<Act>>) -> Act {
    Act::Timer(key.to_owned(), seconds, acts.into())
}
