//! Signals that tell a process manager what to do.

use std::time::Duration;

use ordain::prelude::*;
use ordain::{App, Reaction};
use serde::{Deserialize, Serialize};

use super::ledgers::Write;

/// What a signal tells the process manager.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) kind: Kind,
    pub(crate) strict: bool,
    pub(crate) ids: Vec<String>,
    /// The texts of the commands that are issued, each with its ledger.
    pub(crate) commands: Vec<(String, String)>,
    /// A timer of this key, due after so long, with the text of its command.
    pub(crate) timer: Option<(String, Duration, String)>,
    pub(crate) cancel: Option<String>,
    pub(crate) stop: bool,
    pub(crate) panics: Option<Panics>,
    /// What is done when a command fails, from then on.
    pub(crate) on_failure: Option<OnFailure>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) enum Kind {
    #[default]
    Start,
    Continue,
    Stop,
    /// Ends them, and begins them anew.
    Restart,
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum Panics {
    Route,
    Handle,
    Apply,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) enum OnFailure {
    Retry,
    Skip,
    SkipRest,
    Replace,
    DeadLetter,
    Stop,
    /// What is done unless it is told.
    Default,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(crate) struct Send {
    #[command(id)]
    pub(crate) signal: String,
    pub(crate) note: Note,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(crate) struct Sent {
    pub(crate) note: Note,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "signal", commands(Send), events(Sent))]
pub(crate) struct Signal;

impl Execute<Send> for Signal {
    fn execute(&self, command: &Send) -> Decision<Self> {
        let note = command.note.clone();
        Ok(Sent { note }.into())
    }
}

impl Apply<Sent> for Signal {
    fn apply(&mut self, _: &Sent) {}
}
pub(crate) fn note(kind: Kind, ids: &[&str]) -> Note {
    Note {
        kind,
        ids: ids.iter().map(|id| (*id).to_owned()).collect(),
        ..Note::default()
    }
}

impl Note {
    pub(crate) fn writes(mut self, ledger: &str, text: &str) -> Self {
        self.commands.push((ledger.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn timer(mut self, key: &str, after: Duration, text: &str) -> Self {
        self.timer = Some((key.to_owned(), after, text.to_owned()));
        self
    }

    /// The commands, as they are.
    pub(crate) fn reaction<P: ordain::ProcessManager>(&self) -> Reaction<P> {
        let commands = self.commands.iter().cloned();
        let commands = commands.map(|(ledger, text)| Write { ledger, text });
        commands.fold(Reaction::none(), Reaction::and_dispatch)
    }

    pub(crate) fn strictly(mut self) -> Self {
        self.strict = true;
        self
    }

    pub(crate) fn failing(mut self, action: OnFailure) -> Self {
        self.on_failure = Some(action);
        self
    }

    pub(crate) fn panicking(mut self, panics: Panics) -> Self {
        self.panics = Some(panics);
        self
    }
}

pub(crate) fn begin(id: &str) -> Note {
    note(Kind::Start, &[id])
}

pub(crate) fn go_on(id: &str) -> Note {
    note(Kind::Continue, &[id])
}

pub(crate) fn stop(id: &str) -> Note {
    note(Kind::Stop, &[id])
}

/// Goes on with an instance, and takes a timer of its back.
pub(crate) fn cancel(id: &str, timer: &str) -> Note {
    Note {
        cancel: Some(timer.to_owned()),
        ..go_on(id)
    }
}

pub(crate) async fn send(app: &App, note: Note) {
    send_from(app, "s", note).await;
}

pub(crate) async fn send_from(app: &App, signal: &str, note: Note) {
    let signal = signal.to_owned();
    let sent = app.dispatch(Send { signal, note }).await;
    sent.expect("a signal can be sent");
}
