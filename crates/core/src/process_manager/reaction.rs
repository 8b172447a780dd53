//! What a process instance does.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;

use super::ProcessManager;
use super::stored::check_key;
use crate::{Aggregate, BoxError, CommandOf, CommandSet, Routed};

const TIMER_KEY: &str = "the key of a timer";

/// What a process instance does: issues commands, sets and cancels timers, ends.
///
/// Commands may be those of any aggregates. They are dispatched in order, each when the one before it is
/// settled.
///
/// ```
/// # use ordain::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Serialize, Deserialize, Event)]
/// # struct Deposited {}
/// # #[derive(Serialize, Deserialize, Command)]
/// # struct Deposit { #[command(id)] account: String }
/// # #[derive(Default, Clone, Aggregate)]
/// # #[aggregate(category = "account", commands(Deposit), events(Deposited))]
/// # struct Account;
/// # impl Execute<Deposit> for Account {
/// #     fn execute(&self, _: &Deposit) -> Decision<Self> { Ok(Deposited {}.into()) }
/// # }
/// # impl Apply<Deposited> for Account { fn apply(&mut self, _: &Deposited) {} }
/// # #[derive(Serialize, Deserialize)]
/// # struct Remind;
/// # #[derive(Default, Clone, Serialize, Deserialize, ProcessManager)]
/// # #[process_manager(name = "p", id = String, events(), timer = Remind)]
/// # struct Welcome;
/// # impl OnTimer<Remind> for Welcome { fn on_timer(&self, _: &Remind, _: &ordain::TimerContext) -> Reaction<Self> { Reaction::none() } }
/// use std::time::Duration;
///
/// use ordain::Reaction;
///
/// let reaction: Reaction<Welcome> = Reaction::dispatch(Deposit { account: "a".into() })
///     .and_dispatch(Deposit { account: "b".into() })
///     .timer("remind", Duration::from_secs(3600), Remind);
/// assert_eq!(reaction.commands()[1].id(), "b");
/// ```
#[must_use]
pub struct Reaction<P> {
    commands: Vec<IssuedCommand>,
    timers: Vec<TimerStep>,
    stops: bool,
    problem: Option<BoxError>,
    manager: PhantomData<fn() -> P>,
}

/// A command as a process instance issues it: without its Rust type.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IssuedCommand {
    name: String,
    category: String,
    id: String,
    body: Value,
}

/// A timer that is set or cancelled.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum TimerStep {
    Set {
        key: String,
        due: Due,
        payload: Value,
    },
    Cancel {
        key: String,
    },
}

/// When a timer is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    After(Duration),
    At(OffsetDateTime),
}

impl Due {
    pub(crate) fn at(self, time: OffsetDateTime) -> OffsetDateTime {
        match self {
            Self::At(time) => time,
            Self::After(duration) => {
                let duration = time::Duration::try_from(duration).unwrap_or(time::Duration::MAX);
                let latest = time::PrimitiveDateTime::MAX.assume_utc();
                time.checked_add(duration).unwrap_or(latest)
            }
        }
    }
}

impl IssuedCommand {
    pub(crate) fn of<A: Aggregate>(command: &Routed<A>) -> Result<Self, serde_json::Error> {
        let (name, id, body) = match command {
            Routed::Decide(command) => {
                (command.name(), command.id().to_string(), command.to_json()?)
            }
            Routed::Outside(command) => {
                (command.name(), command.id().to_string(), command.to_json()?)
            }
        };
        Ok(Self {
            name: name.to_owned(),
            category: A::CATEGORY.to_owned(),
            id,
            body,
        })
    }

    pub(crate) fn into_name_and_body(self) -> (String, Value) {
        (self.name, self.body)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The category of its aggregate.
    pub fn category(&self) -> &str {
        &self.category
    }

    /// The id of its aggregate, as text.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What it holds.
    pub fn body(&self) -> &Value {
        &self.body
    }
}

impl<P: ProcessManager> Reaction<P> {
    /// Nothing.
    pub fn none() -> Self {
        Self {
            commands: Vec::new(),
            timers: Vec::new(),
            stops: false,
            problem: None,
            manager: PhantomData,
        }
    }

    /// Issues a command.
    pub fn dispatch<A: Aggregate>(command: impl CommandOf<A>) -> Self {
        Self::none().and_dispatch(command)
    }

    /// Issues a command to the aggregate `A`, where several have it.
    pub fn dispatch_to<A: Aggregate>(command: impl CommandOf<A>) -> Self {
        Self::dispatch(command)
    }

    /// Issues another command.
    pub fn and_dispatch<A: Aggregate>(self, command: impl CommandOf<A>) -> Self {
        self.and_routed(&command.route())
    }

    /// Issues another command to the aggregate `A`, where several have it.
    pub fn and_dispatch_to<A: Aggregate>(self, command: impl CommandOf<A>) -> Self {
        self.and_dispatch(command)
    }

    fn and_routed<A: Aggregate>(mut self, command: &Routed<A>) -> Self {
        match IssuedCommand::of(command) {
            Ok(command) => self.commands.push(command),
            Err(error) => self.problem = Some(error.into()),
        }
        self
    }

    /// Sets a timer that is due so long after the event, or after the timer, that it reacts to. One of the
    /// same key is replaced.
    pub fn timer(
        self,
        key: impl Into<String>,
        after: Duration,
        payload: impl Into<P::Timer>,
    ) -> Self {
        self.set(key.into(), Due::After(after), &payload.into())
    }

    /// Sets a timer that is due at this time. One of the same key is replaced.
    pub fn timer_at(
        self,
        key: impl Into<String>,
        at: OffsetDateTime,
        payload: impl Into<P::Timer>,
    ) -> Self {
        self.set(key.into(), Due::At(at), &payload.into())
    }

    /// Takes back the timer of this key, if there is one.
    pub fn cancel_timer(mut self, key: impl Into<String>) -> Self {
        let key = key.into();
        match check_key(TIMER_KEY, &key) {
            Ok(()) => self.timers.push(TimerStep::Cancel { key }),
            Err(problem) => self.problem = Some(problem),
        }
        self
    }

    /// Has the instance end: its timers are taken back, its commands are still dispatched.
    pub fn stop(mut self) -> Self {
        self.stops = true;
        self
    }

    fn set(mut self, key: String, due: Due, payload: &P::Timer) -> Self {
        let payload = serde_json::to_value(payload).map_err(BoxError::from);
        match check_key(TIMER_KEY, &key).and(payload) {
            Ok(payload) => self.timers.push(TimerStep::Set { key, due, payload }),
            Err(problem) => self.problem = Some(problem),
        }
        self
    }

    pub(crate) fn issue(command: IssuedCommand) -> Self {
        Self {
            commands: vec![command],
            ..Self::none()
        }
    }
}

impl<P> Reaction<P> {
    /// The commands it issues.
    pub fn commands(&self) -> &[IssuedCommand] {
        &self.commands
    }

    /// Whether the instance ends.
    pub fn stops(&self) -> bool {
        self.stops
    }

    /// What it comes to, unless something in it cannot be written.
    pub(crate) fn into_parts(self) -> Result<Parts, BoxError> {
        match self.problem {
            Some(problem) => Err(problem),
            None => Ok(Parts {
                commands: self.commands,
                timers: self.timers,
                stops: self.stops,
            }),
        }
    }
}

/// What a reaction comes to.
#[derive(Debug, Default)]
pub(crate) struct Parts {
    pub(crate) commands: Vec<IssuedCommand>,
    pub(crate) timers: Vec<TimerStep>,
    pub(crate) stops: bool,
}

impl<P> fmt::Debug for Reaction<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reaction")
            .field("commands", &self.commands)
            .field("timers", &self.timers)
            .field("stops", &self.stops)
            .finish_non_exhaustive()
    }
}
