//! What a partition's owner commits.

use super::{Block, BlockRequest, InstanceRecord, LeaseKey, OutgoingRecord, TimerRecord, Trouble};
use crate::{CommandId, GlobalPosition};

/// A partition's checkpoint moves, and what belongs to it changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The lease under which it is done.
    pub lease: LeaseKey,
    /// Where the partition stands.
    pub from: GlobalPosition,
    /// Where it stands afterwards: at `from` or beyond.
    pub to: GlobalPosition,
    /// What must be there, or nothing is done.
    pub requires: Vec<Requirement>,
    /// What changes, in this order.
    pub changes: Vec<Change>,
}

impl Progress {
    /// The checkpoint moves, and nothing else changes.
    pub fn new(lease: LeaseKey, from: GlobalPosition, to: GlobalPosition) -> Self {
        Self {
            lease,
            from,
            to,
            requires: Vec::new(),
            changes: Vec::new(),
        }
    }
}

/// What must be there, in the partition's subscription, for a [`Progress`] to be made. It is locked until the
/// progress is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Requirement {
    /// A command that is not settled.
    Outgoing(CommandId),
    /// A timer that was neither replaced nor taken back.
    Timer {
        /// The instance.
        instance: String,
        /// Its key.
        key: String,
        /// Its generation.
        generation: u64,
    },
    /// A key that is passed over as it was known.
    Block {
        /// The key.
        key: String,
        /// The first event that is passed over.
        position: GlobalPosition,
        /// What the owner is asked to do.
        request: Option<BlockRequest>,
    },
}

/// What changes with a [`Progress`], in the partition's subscription.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Passes over a key, or says something else of one that is passed over.
    Block(Block),
    /// Frees a key, if it is blocked.
    Unblock {
        /// The key.
        key: String,
    },
    /// What keeps the partition from going on, or nothing any more.
    Trouble(Option<Trouble>),
    /// Keeps an instance.
    PutInstance(InstanceRecord),
    /// Forgets an instance, if there is one.
    RemoveInstance {
        /// Its id.
        id: String,
    },
    /// Issues a command, or says something else of it; one that is settled is not issued again by this if it is
    /// [required](Requirement::Outgoing). One that another version has issued is this one's from then on.
    PutOutgoing(OutgoingRecord),
    /// Settles a command, if it is not.
    RemoveOutgoing {
        /// Its id.
        command_id: CommandId,
    },
    /// Settles all commands of an instance.
    RemoveOutgoingOf {
        /// Its id.
        instance: String,
    },
    /// Sets a timer; one of the same instance and key is replaced.
    PutTimer(TimerRecord),
    /// Takes a timer away, if there is one.
    RemoveTimer {
        /// The instance.
        instance: String,
        /// Its key.
        key: String,
    },
    /// Takes all timers of an instance away.
    RemoveTimersOf {
        /// Its id.
        instance: String,
    },
}

/// What became of a [`Progress`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Committed {
    /// It was made.
    Done,
    /// Nothing was done: the partition has another owner, was taken from this one, or stands elsewhere.
    LeaseLost,
    /// Nothing was done: something required is not there.
    Gone,
}
