//! Aggregates: state that decides commands and follows its own events.

mod events;
mod execute;
#[cfg(feature = "runtime")]
pub(crate) mod instance;
mod lifespan;
#[cfg(feature = "runtime")]
pub(crate) mod load;
mod snapshots;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::events::{Decision, Events, Steps};
pub use self::execute::{Apply, CommandHandler, Context, Execute, ExecuteWith};
pub use self::lifespan::{After, Lifespan};
pub use self::snapshots::Snapshots;
use crate::{AggregateId, CommandSet, EventSet, OutsideRoute};

/// A consistency boundary: the state that commands are decided on, and the events that make it.
///
/// Usually derived; by hand it takes two enums (`derive(CommandSet)`, `derive(EventSet)`) and this
/// trait. `execute` and `apply` are pure: no I/O, no clock, no randomness, for they run again when a
/// conflict or a lost connection makes them, and `apply` runs for every event of every load.
pub trait Aggregate: Clone + Send + Sync + 'static {
    /// The category of its streams.
    const CATEGORY: &'static str;

    /// How often its state is snapshotted, if at all.
    const SNAPSHOTS: Option<Snapshots<Self>> = None;

    /// What to do with an event of its stream that its set does not list.
    const UNLISTED_EVENTS: UnlistedEvents = UnlistedEvents::Refuse;

    /// Its id.
    type Id: AggregateId;

    /// The commands that it decides.
    type Command: CommandSet<Self::Id>;

    /// Its events.
    type Event: EventSet;

    /// Why it says no.
    ///
    /// Serialisable, since a refusal is remembered under the command's id and given back typed.
    type Error: std::error::Error + Serialize + DeserializeOwned + Send + Sync + 'static;

    /// The state before the first event.
    fn new(id: &Self::Id) -> Self;

    /// Whether the command needs an absent aggregate, an existing one, or neither.
    fn existence(command: &Self::Command) -> Existence {
        let _ = command;
        Existence::Any
    }

    /// The same for a command that a handler outside the aggregate decides, by its name.
    fn outside_existence(name: &str) -> Existence {
        let _ = name;
        Existence::Any
    }

    /// Whether a command that was aimed at an older version may go on although the foreign event
    /// has happened since.
    ///
    /// Asked only for commands dispatched with an expected version.
    fn tolerates(command: &Self::Command, foreign: &Self::Event) -> bool {
        let _ = (command, foreign);
        false
    }

    /// Decides: which events follow from the command, or why none do.
    ///
    /// # Errors
    /// The domain's refusal.
    fn execute(&self, command: &Self::Command, context: &Context<'_, Self>) -> Decision<Self>;

    /// Evolves: takes in what has happened. It cannot refuse.
    fn apply(&mut self, event: &Self::Event);

    /// How long the instance stays in memory after a command.
    fn lifespan(&self, after: After<'_, Self>) -> Lifespan {
        let _ = after;
        Lifespan::Default
    }

    /// The commands that handlers outside the aggregate decide.
    fn outside_commands() -> Vec<OutsideRoute<Self>> {
        Vec::new()
    }
}

/// What a command asks of its aggregate's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Existence {
    /// Nothing.
    Any,
    /// It has no events yet.
    Absent,
    /// It has events.
    Present,
}

/// What a load does with an event that the aggregate does not list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum UnlistedEvents {
    /// It stops, and says stream, version and type.
    Refuse,
    /// It passes over the event.
    Ignore,
}

/// The error of an aggregate that refuses nothing.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, serde::Deserialize, thiserror::Error,
)]
pub enum NoError {}
