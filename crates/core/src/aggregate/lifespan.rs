//! How long an instance stays in memory.

use std::fmt;
use std::time::Duration;

use super::Aggregate;

/// How long an instance stays in memory while no command comes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Lifespan {
    /// As long as the app's option says.
    #[default]
    Default,
    /// This long.
    Idle(Duration),
    /// Until the cache is full.
    Forever,
    /// Not at all.
    Stop,
}

/// What the command came to after which the lifespan is asked for.
pub enum After<'a, A: Aggregate> {
    /// It produced these events.
    Events(&'a [A::Event]),
    /// It was accepted and changed nothing.
    NoEvents,
    /// It was refused.
    Error(&'a A::Error),
}

impl<A: Aggregate> fmt::Debug for After<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(events) => write!(f, "Events({})", events.len()),
            Self::NoEvents => f.write_str("NoEvents"),
            Self::Error(error) => write!(f, "Error({error})"),
        }
    }
}
