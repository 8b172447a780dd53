//! What is expected.

use std::time::Duration;

use ordain::{
    Aggregate, CommandOf, CommandSet, FailureAction, ProcessInstance, ProcessManager,
    ProcessOutgoing, Reaction,
};
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Happened;
use super::happening::Outcome;
use super::kept::SetTimer;
use crate::diff::diff;
use crate::stored::pretty;

/// When a timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimerDue {
    /// So long after the event, or the timer, by which it was set.
    After(Duration),
    /// At this time.
    At(OffsetDateTime),
}

impl From<Duration> for TimerDue {
    fn from(after: Duration) -> Self {
        Self::After(after)
    }
}

impl From<OffsetDateTime> for TimerDue {
    fn from(at: OffsetDateTime) -> Self {
        Self::At(at)
    }
}

impl<P: ProcessManager> Happened<P> {
    /// Exactly these commands came of it, in this order, all to one aggregate. For those of several there is
    /// [`then_commands`](Self::then_commands), for none [`then_no_commands`](Self::then_no_commands).
    ///
    /// With several instances, it is all commands in the order in which the event is for them; see
    /// [`of`](Self::of).
    #[track_caller]
    pub fn then_dispatched<A: Aggregate>(
        self,
        expected: impl IntoIterator<Item = impl CommandOf<A>>,
    ) -> Self {
        let mut reaction = Reaction::none();
        for command in expected {
            reaction = reaction.and_dispatch(command);
        }
        let happened = self.then_commands(reaction);
        for command in happened.commands() {
            if let Err(problem) = read_back::<A>(command) {
                panic!("{problem}");
            }
        }
        happened
    }

    /// Exactly the commands of this reaction came of it, in this order. Its timers do not count here.
    #[track_caller]
    pub fn then_commands(self, expected: Reaction<P>) -> Self {
        let commands = expected.commands();
        let names: Vec<_> = commands.iter().map(|command| command.name()).collect();
        let actual: Vec<_> = self.commands().map(shown).collect();
        if actual.is_empty() && !names.is_empty() || self.failure().is_some() {
            self.fail(&format!("the commands {names:?}"));
        }
        let as_shown = commands.iter().map(|command| {
            let to = format!("{}-{}", command.category(), command.id());
            json!({ command.name(): command.body(), "to": to })
        });
        let expected: Vec<_> = as_shown.collect();
        self.compare("other commands came of it", &expected, &actual)
    }

    /// No commands came of it; a timer may have.
    #[track_caller]
    pub fn then_no_commands(self) -> Self {
        let is_so = self.commands().next().is_none() && self.failure().is_none();
        self.must(is_so, "no commands")
    }

    /// Neither commands nor timers came of it.
    #[track_caller]
    pub fn then_nothing(self) -> Self {
        let is_own = |instance: &str| self.of.as_deref().is_none_or(|of| of == instance);
        let has_timer = self.last.new.timers.iter().any(|(id, _)| is_own(id));
        let has_command = self.commands().next().is_some();
        let is_so = !has_timer && !has_command && self.failure().is_none();
        self.must(is_so, "that nothing comes of it")
    }

    /// These commands are not settled yet, by name and in this order: what came of it, and what was there
    /// before and has neither succeeded nor been left out.
    #[track_caller]
    pub fn then_outstanding<'a>(self, expected: impl IntoIterator<Item = &'a str>) -> Self {
        let of = self.of.as_deref();
        let outgoing = self.test.kept.outgoing.iter();
        let own = outgoing.filter(|it| of.is_none_or(|of| of == it.instance));
        let actual = own.map(|it| ProcessOutgoing::from(it).name.into());
        let actual: Vec<Value> = actual.collect();
        let expected: Vec<Value> = expected.into_iter().map(Value::from).collect();
        self.compare("other commands are outstanding", &expected, &actual)
    }

    /// There is a timer of this key, due at this time, or so long after what it was set by, and carrying this.
    #[track_caller]
    pub fn then_timer(
        self,
        key: &str,
        due: impl Into<TimerDue>,
        payload: impl Into<P::Timer>,
    ) -> Self {
        let timer = self.timer(key);
        let due = match due.into() {
            TimerDue::At(time) => time,
            TimerDue::After(after) => timer.set_at + after,
        };
        let payload = serde_json::to_value(payload.into()).unwrap_or_default();
        let actual = json_of(timer.record.due_at, &carried(timer));
        let expected = json_of(due, &payload);
        self.compare(
            &format!("the timer `{key}` is another"),
            &[expected],
            &[actual],
        )
    }

    /// There is no timer of this key.
    #[track_caller]
    pub fn then_no_timer(self, key: &str) -> Self {
        let is_there = self.timers().any(|timer| timer.record.key == key);
        if is_there {
            self.fail_state(&format!("no timer `{key}`"), &self.timer_names());
        }
        self
    }

    /// There are no timers.
    #[track_caller]
    pub fn then_no_timers(self) -> Self {
        let is_there = self.timers().next().is_some();
        if is_there {
            self.fail_state("no timers", &self.timer_names());
        }
        self
    }

    /// Looks at the state of an instance; one that has ended keeps its last.
    #[track_caller]
    pub fn then_state(self, instance: &str, look: impl FnOnce(&P)) -> Self {
        let Some(record) = self.test.kept.instances.get(instance) else {
            self.fail_state(&format!("the instance `{instance}`"), &self.living());
        };
        match self.test.steps.state(record) {
            Ok(state) => look(&state),
            Err(error) => panic!("the state of `{instance}` cannot be read: {error}"),
        }
        self
    }

    /// Exactly these instances are there: they have begun, and not ended.
    #[track_caller]
    pub fn then_instances<'a>(self, expected: impl IntoIterator<Item = &'a str>) -> Self {
        let actual = self.test.kept.living();
        let actual: Vec<Value> = actual.into_iter().map(Value::from).collect();
        let mut expected: Vec<_> = expected.into_iter().collect();
        expected.sort_unstable();
        let expected: Vec<Value> = expected.into_iter().map(Value::from).collect();
        self.compare("other instances are there", &expected, &actual)
    }

    /// The instance has ended.
    #[track_caller]
    pub fn then_stopped(self, instance: &str) -> Self {
        let record = self.test.kept.instances.get(instance);
        match record.map(|record| record.finished) {
            Some(true) => self,
            Some(false) => self.fail(&format!("that `{instance}` ends")),
            None => self.fail_state(&format!("that `{instance}` ends"), &self.living()),
        }
    }

    /// It was handled, by all instances that it is for and that are there.
    #[track_caller]
    pub fn then_ok(self) -> Self {
        let is_so = self.failure().is_none();
        self.must(is_so, "that it is handled")
    }

    /// It was for no instance that is there.
    #[track_caller]
    pub fn then_passed_over(self) -> Self {
        let of = self.of.as_deref();
        let is_passed_over = |outcome: &Outcome| matches!(outcome, Outcome::PassedOver);
        let are_all = self
            .last
            .fates_of(of)
            .all(|fate| is_passed_over(&fate.outcome));
        self.must(are_all, "that no instance takes it")
    }

    /// It could not be handled, or routed, and this is what the error says.
    #[track_caller]
    pub fn then_error(self, expected: &str) -> Self {
        let failed: Vec<_> = self.last.failed_of(self.of.as_deref()).collect();
        if failed.is_empty() {
            self.fail(&format!("the error \"{expected}\""));
        }
        if let Some(other) = failed.iter().find(|failed| failed.error != expected) {
            let diff = diff(&format!("{expected}\n"), &format!("{}\n", other.error));
            panic!("{}: it failed with another error:\n{diff}", self.last.what);
        }
        self
    }

    /// It could not be handled, or routed, and this is done about it.
    #[track_caller]
    pub fn then_action(self, expected: FailureAction) -> Self {
        let failed: Vec<_> = self.last.failed_of(self.of.as_deref()).collect();
        if failed.is_empty() {
            self.fail(&format!("a failure followed by `{expected:?}`"));
        }
        if let Some(other) = failed.iter().find(|failed| failed.action != expected) {
            panic!(
                "{}: it failed at attempt {}: {}; expected `{expected:?}`, but what follows is `{:?}`",
                self.last.what, other.attempts, other.error, other.action
            );
        }
        self
    }

    /// The command that failed is dispatched again.
    #[track_caller]
    pub fn then_retried(self) -> Self {
        let of = self.of.as_deref();
        let is_retried = |outcome: &Outcome| matches!(outcome, Outcome::Retried(_));
        let is_any = self.last.fates_of(of).any(|fate| is_retried(&fate.outcome));
        self.must(is_any, "that the command is tried again")
    }

    /// The instance is put aside, with its commands and later events, until somebody says what to do.
    #[track_caller]
    pub fn then_put_aside(self, instance: &str) -> Self {
        let is_aside = self.test.kept.aside.contains_key(instance);
        self.must(is_aside, &format!("that `{instance}` is put aside"))
    }

    /// The process manager has stopped, until somebody resumes it.
    #[track_caller]
    pub fn then_halted(self) -> Self {
        let has_halted = self.test.halted.is_some();
        self.must(has_halted, "that the process manager stops")
    }

    /// Whether something could not be handled and is to be tried again: [`again`](Self::again).
    pub fn is_to_be_tried_again(&self) -> bool {
        self.test.is_open()
    }

    /// Why an instance is put aside, if it is.
    pub fn put_aside(&self, instance: &str) -> Option<&str> {
        self.test.kept.aside.get(instance).map(String::as_str)
    }

    /// How an instance stands, as [`Processes::get`](ordain::Processes::get) tells it of a running app; whether
    /// it is put aside, [`put_aside`](Self::put_aside) tells.
    pub fn get(&self, instance: &str) -> Option<ProcessInstance> {
        self.test.kept.get(instance)
    }

    fn commands(&self) -> impl Iterator<Item = &ProcessOutgoing> {
        let of = self.of.as_deref();
        let commands = self.last.new.commands.iter();
        let own = commands.filter(move |(id, _)| of.is_none_or(|of| of == id));
        own.map(|(_, command)| command)
    }

    fn timers(&self) -> impl Iterator<Item = &SetTimer> {
        let of = self.of.as_deref();
        let timers = self.test.kept.timers.values();
        timers.filter(move |timer| of.is_none_or(|of| of == timer.record.instance))
    }

    /// The one timer of a key.
    #[track_caller]
    fn timer(&self, key: &str) -> &SetTimer {
        let mut timers = self.timers().filter(|timer| timer.record.key == key);
        match (timers.next(), timers.next()) {
            (Some(timer), None) => timer,
            (Some(one), Some(other)) => panic!(
                "{}: there is a timer `{key}` of `{}`, and of `{}`; say which is meant by `.of(..)`",
                self.last.what, one.record.instance, other.record.instance
            ),
            (None, _) => self.fail_state(&format!("the timer `{key}`"), &self.timer_names()),
        }
    }

    fn timer_names(&self) -> String {
        let keys: Vec<_> = self.timers().map(|timer| &timer.record.key).collect();
        format!("the timers {keys:?}")
    }

    fn living(&self) -> String {
        format!("the instances {:?}", self.test.kept.living())
    }

    fn failure(&self) -> Option<String> {
        self.last.failure(self.of.as_deref())
    }

    #[track_caller]
    fn compare(self, problem: &str, expected: &[Value], actual: &[Value]) -> Self {
        if expected != actual {
            let diff = diff(&pretty(expected), &pretty(actual));
            panic!("{}: {problem}:\n{diff}", self.last.what);
        }
        self
    }

    #[track_caller]
    fn must(self, holds: bool, expected: &str) -> Self {
        if !holds {
            self.fail(expected);
        }
        self
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        let actual = self.last.describe(self.of.as_deref());
        panic!("{}: expected {expected}, but {actual}", self.last.what)
    }

    #[track_caller]
    fn fail_state(&self, expected: &str, there: &str) -> ! {
        panic!(
            "{}: expected {expected}, but there are {there}",
            self.last.what
        )
    }
}

/// A command as a difference shows it.
fn shown(command: &ProcessOutgoing) -> Value {
    let to = format!("{}-{}", command.category, command.aggregate);
    json!({ command.name.as_str(): command.body, "to": to })
}

fn carried(timer: &SetTimer) -> Value {
    ordain::ProcessTimer::from(&timer.record).payload
}

fn json_of(due_at: OffsetDateTime, payload: &Value) -> Value {
    json!({ "due": due_at.to_string(), "carries": payload })
}

/// A command that its aggregate cannot read fails the test.
fn read_back<A: Aggregate>(command: &ProcessOutgoing) -> Result<(), String> {
    let (name, body) = (command.name.as_str(), command.body.clone());
    let mut outside = A::outside_commands().into_iter();
    let read = match outside.find(|route| route.name() == name) {
        Some(route) => route.from_json(body).and_then(|command| command.to_json()),
        None => match A::Command::from_json(name, body) {
            Some(read) => read.and_then(|command| command.to_json()),
            None => return Err(format!("`{}` has no command `{name}`", A::CATEGORY)),
        },
    };
    let stored = &command.body;
    match read {
        Ok(read) if super::kept::are_alike(stored, &read) => Ok(()),
        Ok(read) => Err(format!(
            "the command `{name}` changes when it is stored and read back: stored was {stored}, read was {read}"
        )),
        Err(error) => Err(format!(
            "the command `{name}` cannot be read back: {error}; stored was {stored}"
        )),
    }
}
