//! What is kept of process instances: state, commands on their way, timers.

use bytes::Bytes;
use time::OffsetDateTime;

use super::SubscriptionKey;
use crate::{CommandId, GlobalPosition};

/// The state of a process instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceRecord {
    /// Its id.
    pub id: String,
    /// The hash of the id, which tells its partition.
    pub bucket: u32,
    /// The position of the last event it has handled.
    pub position: GlobalPosition,
    /// Whether it has ended.
    pub finished: bool,
    /// Its state; its meaning is the manager's.
    pub data: Bytes,
    /// When it last changed, by the store's clock; what a store is given here does not matter.
    pub changed_at: OffsetDateTime,
}

/// A command that an instance has issued and that is not settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingRecord {
    /// Its id, which no command of another subscription has.
    pub command_id: CommandId,
    /// The instance.
    pub instance: String,
    /// The hash of the instance's id, which tells its partition.
    pub bucket: u32,
    /// Which command of its instance: they are dispatched in this order.
    pub sequence: u64,
    /// How often it was tried.
    pub attempts: u32,
    /// The command; its meaning is the manager's.
    pub data: Bytes,
}

/// A timer of an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerRecord {
    /// The instance.
    pub instance: String,
    /// The hash of the instance's id, which tells its partition.
    pub bucket: u32,
    /// Its key; an instance has one timer of a key.
    pub key: String,
    /// Tells it from those of the same key before it.
    pub generation: u64,
    /// When it is due.
    pub due_at: OffsetDateTime,
    /// What it carries; its meaning is the manager's.
    pub data: Bytes,
}

/// A share of a subscription's instances: those whose bucket leaves `partition` when divided by
/// `partitions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Which partition, from 0.
    pub partition: u32,
    /// Of how many.
    pub partitions: u32,
}

/// Which process instances are wanted.
#[derive(Debug, Clone)]
pub struct InstanceQuery {
    /// Of which subscription.
    pub subscription: SubscriptionKey,
    /// Those whose ids come after this one.
    pub after: Option<String>,
    /// Only those that have ended, or have not.
    pub finished: Option<bool>,
    /// How many at the most; 0 counts as 1.
    pub limit: u32,
}

/// Which commands are wanted.
#[derive(Debug, Clone)]
pub struct OutgoingQuery {
    /// Of which subscription.
    pub subscription: SubscriptionKey,
    /// Of which instances.
    pub share: Share,
    /// Those that come after this instance and sequence.
    pub after: Option<(String, u64)>,
    /// How many at the most; 0 counts as 1.
    pub limit: u32,
}

/// Which timers are wanted.
#[derive(Debug, Clone)]
pub struct TimerQuery {
    /// Of which subscription.
    pub subscription: SubscriptionKey,
    /// Of which instances.
    pub share: Share,
    /// How many at the most; 0 counts as 1.
    pub limit: u32,
}

/// Timers that are due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimersDue {
    /// The timers, the oldest first; those due at the same time by instance and key.
    pub timers: Vec<TimerRecord>,
    /// The time that the store went by.
    pub now: OffsetDateTime,
    /// When the first of those is due that are not due yet.
    pub next: Option<OffsetDateTime>,
}
