//! The ids of commands, events and what connects them.

use std::fmt;
use std::hash::Hash;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::{Timestamp, Uuid};

use crate::StreamId;

/// An aggregate's id.
///
/// Implemented for every type that can be written as text and read back: `String`, `Uuid`,
/// integers and newtypes over them. Two ids are the same aggregate when their texts are equal,
/// so `Display` and `FromStr` have to be each other's inverse.
pub trait AggregateId: Clone + Eq + Hash + fmt::Display + FromStr + Send + Sync + 'static {}

impl<T> AggregateId for T where T: Clone + Eq + Hash + fmt::Display + FromStr + Send + Sync + 'static
{}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID.
            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$name> for Uuid {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

uuid_id! {
    /// The id of a command, and its idempotency key.
    ///
    /// The same id on the same aggregate has one effect and one answer, however often and from
    /// wherever it is dispatched.
    CommandId
}

uuid_id! {
    /// The id of an event.
    EventId
}

uuid_id! {
    /// Joins all commands and events that belong to one piece of business.
    CorrelationId
}

uuid_id! {
    /// What caused an event: the id of a command or of another event.
    CausationId
}

impl CommandId {
    /// A fresh id, ordered by time (UUID version 7).
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would not be equal"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id that stands for a text key, such as a gateway's idempotency key (UUID version 5).
    ///
    /// The namespace keeps the keys of different gateways apart.
    pub fn from_key(namespace: Uuid, key: &str) -> Self {
        Self(Uuid::new_v5(&namespace, key.as_bytes()))
    }

    /// A fresh id that claims to have been made at this time (UUID version 7).
    pub fn at_unix_millis(unix_millis: u64) -> Self {
        let (seconds, millis) = (unix_millis / 1_000, (unix_millis % 1_000) as u32);
        let at = Timestamp::from_unix(uuid::NoContext, seconds, millis * 1_000_000);
        Self(Uuid::new_v7(at))
    }

    /// When the id was made, in milliseconds since 1970, where the id tells (UUID version 7).
    pub fn unix_millis(&self) -> Option<u64> {
        if self.0.get_version_num() != 7 {
            return None;
        }
        self.0.get_timestamp().map(|at| {
            let (seconds, nanos) = at.to_unix();
            seconds * 1_000 + u64::from(nanos) / 1_000_000
        })
    }
}

impl EventId {
    /// A fresh id, ordered by time (UUID version 7).
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would not be equal"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }

    /// The ids of the events that `command` produces on `stream`.
    ///
    /// They are a function of their arguments, so a command that is sent again produces the same
    /// ids and its events are recognised. A command produces at most [`EventIds::MAX`] events on
    /// one stream.
    pub fn of_command(command: CommandId, stream: &StreamId) -> EventIds {
        EventIds::new(command, stream)
    }
}

impl From<CommandId> for CausationId {
    fn from(id: CommandId) -> Self {
        Self(id.0)
    }
}

impl From<EventId> for CausationId {
    fn from(id: EventId) -> Self {
        Self(id.0)
    }
}

impl From<CommandId> for CorrelationId {
    fn from(id: CommandId) -> Self {
        Self(id.0)
    }
}

impl CorrelationId {
    /// A fresh id, ordered by time (UUID version 7).
    #[expect(
        clippy::new_without_default,
        reason = "two defaults would not be equal"
    )]
    pub fn new() -> Self {
        Self(Uuid::now_v7())
    }
}

/// The event ids of one command on one stream.
///
/// An id is a UUID of version 8: 48 bits of time where the command id has one (so that an index
/// over event ids grows at its end; other command ids work, at the price of scattered index
/// writes), 58 bits of SHA-1 over command id and stream, 16 bits of index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventIds {
    base: u128,
}

impl EventIds {
    /// The most events that one command can append to one stream.
    pub const MAX: usize = 1 << 16;

    fn new(command: CommandId, stream: &StreamId) -> Self {
        const INDEX_BITS: u32 = 16;
        const TIME_MASK: u128 = !(u128::MAX >> 48);
        let hash = Uuid::new_v5(&command.0, stream.as_str().as_bytes()).as_u128();
        let time = match command.unix_millis() {
            Some(_) => command.0.as_u128(),
            None => hash,
        };
        let mixed = (time & TIME_MASK) | (hash.rotate_left(48) & !TIME_MASK);
        let base = Uuid::from_u128(mixed >> INDEX_BITS << INDEX_BITS);
        let base = uuid::Builder::from_u128(base.as_u128())
            .with_version(uuid::Version::Custom)
            .with_variant(uuid::Variant::RFC4122)
            .into_uuid();
        Self {
            base: base.as_u128(),
        }
    }

    /// The id of the first event.
    pub fn first(&self) -> EventId {
        self.nth(0)
    }

    /// The id of the event with this index.
    pub fn nth(&self, index: u16) -> EventId {
        EventId(Uuid::from_u128(self.base | u128::from(index)))
    }

    /// The ids in order.
    pub fn iter(&self) -> impl Iterator<Item = EventId> + use<> {
        let ids = *self;
        (0..=u16::MAX).map(move |index| ids.nth(index))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn stream(id: &str) -> StreamId {
        StreamId::new("account", id).unwrap()
    }

    #[test]
    fn event_ids_are_a_function_of_command_and_stream() {
        let command = CommandId::new();
        let ids = EventId::of_command(command, &stream("a"));
        assert_eq!(ids, EventId::of_command(command, &stream("a")));
        assert_ne!(
            ids.first(),
            EventId::of_command(command, &stream("b")).first()
        );
        assert_ne!(
            ids.first(),
            EventId::of_command(CommandId::new(), &stream("a")).first()
        );
    }

    #[test]
    fn event_ids_of_a_timed_command_begin_with_its_time_and_ascend() {
        let command = CommandId::at_unix_millis(1_700_000_000_123);
        assert_eq!(command.unix_millis(), Some(1_700_000_000_123));
        let ids = EventId::of_command(command, &stream("a"));
        assert_eq!(
            ids.first().as_uuid().as_bytes()[..6],
            command.as_uuid().as_bytes()[..6]
        );
        assert!(ids.nth(0) < ids.nth(1) && ids.nth(1) < ids.nth(u16::MAX));
        assert_eq!(ids.first().as_uuid().get_version_num(), 8);
    }

    #[test]
    fn event_ids_of_untimed_commands_differ() {
        let namespace = Uuid::from_u128(7);
        let ids: HashSet<_> = (0..10_000)
            .map(|n| CommandId::from_key(namespace, &n.to_string()))
            .map(|command| EventId::of_command(command, &stream("a")).first())
            .collect();
        assert_eq!(ids.len(), 10_000);
    }
}
