//! What came of an event, of time, of a command that failed.

use std::time::Duration;

use ordain::{EventContext, FailureAction};

use super::kept::New;

/// What came of one step of a test.
#[derive(Debug)]
pub(super) struct Happening {
    /// What it was, as a failure names it.
    pub(super) what: String,
    /// The event, if it was one.
    pub(super) event: Option<EventContext>,
    pub(super) new: New,
    pub(super) fates: Vec<Fate>,
}

/// What came of it for one instance.
#[derive(Debug)]
pub(super) struct Fate {
    /// None for an event that could not be routed.
    pub(super) instance: Option<String>,
    pub(super) outcome: Outcome,
}

#[derive(Debug)]
pub(super) enum Outcome {
    Handled,
    /// There is no such instance.
    PassedOver,
    /// It is put aside, for this.
    Waits(String),
    Failed(Failed),
    /// A command is dispatched again, after this pause, or without end.
    Retried(Option<Duration>),
    /// A command is left out.
    LeftOut,
    /// The instance is put aside for one of its commands.
    PutAside(String),
    /// The process manager stops for a command.
    Halted(String),
}

/// What could not be handled.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) error: String,
    pub(super) attempts: u32,
    pub(super) action: FailureAction,
    /// The key of the timer, if it was one.
    pub(super) timer: Option<String>,
}

impl Happening {
    pub(super) fn new(what: String) -> Self {
        Self {
            what,
            event: None,
            new: New::default(),
            fates: Vec::new(),
        }
    }

    pub(super) fn note(&mut self, instance: &str, outcome: Outcome) {
        let instance = Some(instance.to_owned());
        self.fates.push(Fate { instance, outcome });
    }

    /// What came of it for this instance, or for all.
    pub(super) fn fates_of(&self, instance: Option<&str>) -> impl Iterator<Item = &Fate> {
        let is_wanted = move |fate: &&Fate| match (instance, &fate.instance) {
            (Some(wanted), Some(is)) => wanted == is,
            _ => true,
        };
        self.fates.iter().filter(is_wanted)
    }

    /// What could not be handled by this instance, or by any.
    pub(super) fn failed_of(&self, instance: Option<&str>) -> impl Iterator<Item = &Failed> {
        let fates = self.fates_of(instance);
        fates.filter_map(|fate| match &fate.outcome {
            Outcome::Failed(failed) => Some(failed),
            _ => None,
        })
    }

    /// Why it was not handled by this instance, or by one of all; the second half of a sentence.
    pub(super) fn failure(&self, instance: Option<&str>) -> Option<String> {
        let mut fates = self.fates_of(instance);
        fates.find_map(Fate::failure)
    }

    /// What came of it for this instance, or for all; the second half of a sentence.
    pub(super) fn describe(&self, instance: Option<&str>) -> String {
        if let Some(failure) = self.failure(instance) {
            return failure;
        }
        let is_wanted = |whose: &str| instance.is_none_or(|wanted| wanted == whose);
        let commands = self.new.commands.iter().filter(|(id, _)| is_wanted(id));
        let commands: Vec<_> = commands.map(|(_, command)| &command.name).collect();
        if !commands.is_empty() {
            return format!("the commands {commands:?} came of it");
        }
        let timers = self.new.timers.iter().filter(|(id, _)| is_wanted(id));
        let timers: Vec<_> = timers.map(|(_, key)| key).collect();
        if !timers.is_empty() {
            return format!("only the timers {timers:?} came of it");
        }
        if let Some(note) = self.fates_of(instance).find_map(Fate::note) {
            return note;
        }
        let is_passed_over = |fate: &Fate| matches!(fate.outcome, Outcome::PassedOver);
        match self.event.is_some() && self.fates_of(instance).all(is_passed_over) {
            true => "no instance takes it".to_owned(),
            false => "nothing came of it".to_owned(),
        }
    }
}

impl Fate {
    fn failure(&self) -> Option<String> {
        match (&self.outcome, &self.instance) {
            (Outcome::Failed(failed), None) => {
                Some(format!("it could not be routed: {}", failed.error))
            }
            (Outcome::Failed(failed), Some(id)) => {
                let error = &failed.error;
                Some(match &failed.timer {
                    None => format!("`{id}` could not handle it: {error}"),
                    Some(key) => format!("`{id}` could not handle its timer `{key}`: {error}"),
                })
            }
            (Outcome::Waits(reason), Some(id)) => Some(format!(
                "`{id}` is put aside, so that it waits; the reason was: {reason}"
            )),
            _ => None,
        }
    }

    /// What came of it beside commands and timers.
    fn note(&self) -> Option<String> {
        match &self.outcome {
            Outcome::Retried(Some(pause)) => Some(format!("it is tried again after {pause:?}")),
            Outcome::Retried(None) => Some(
                "it is tried again without end, and the process manager is not asked".to_owned(),
            ),
            Outcome::LeftOut => Some("it is left out".to_owned()),
            Outcome::PutAside(reason) => Some(format!("its instance is put aside: {reason}")),
            Outcome::Halted(reason) => Some(format!("the process manager stops: {reason}")),
            _ => None,
        }
    }
}
