//! What is kept of subscriptions, and who works on them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{EventId, GlobalPosition};

/// Which subscription: its name and the version of what it does.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionKey {
    /// The name.
    pub name: Arc<str>,
    /// The version, from 1.
    pub version: u32,
}

impl SubscriptionKey {
    /// A version of a subscription.
    pub fn new(name: &str, version: u32) -> Self {
        Self {
            name: name.into(),
            version,
        }
    }
}

impl fmt::Display for SubscriptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (version {})", self.name, self.version)
    }
}

/// A process, as an owner of leases; another one with every start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OwnerId(pub Uuid);

impl OwnerId {
    /// One that nobody has had.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl fmt::Display for OwnerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a subscription is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionState {
    /// It works.
    Active,
    /// It is built beside the active version of its name, to replace it.
    Building,
    /// It was told to wait.
    Paused,
    /// It gave up.
    Stopped,
    /// It is to begin anew where the [barrier](Definition::barrier) says, as soon as a process that knows its
    /// code has emptied what it had made.
    Resetting,
    /// Another version has replaced it.
    Retired,
}

impl SubscriptionState {
    /// Whether its partitions may be claimed.
    pub fn is_claimable(self) -> bool {
        matches!(self, Self::Active | Self::Building)
    }

    /// The word it is stored as.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Building => "building",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
            Self::Resetting => "resetting",
            Self::Retired => "retired",
        }
    }

    /// The state that is stored as this word.
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Active,
            Self::Building,
            Self::Paused,
            Self::Stopped,
            Self::Resetting,
            Self::Retired,
        ]
        .into_iter()
        .find(|state| state.as_str() == word)
    }
}

/// Where all partitions stop, or begin anew, so that they can be replaced by others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Barrier {
    /// The position that every partition reaches exactly, or begins at.
    pub position: GlobalPosition,
    /// How many partitions there are to be.
    pub partitions: u32,
}

/// What of a subscription changes only when somebody changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// What it is about to do.
    pub state: SubscriptionState,
    /// Why it waits or gave up.
    pub reason: Option<String>,
    /// What its filter looks like, to notice another one.
    pub fingerprint: String,
    /// How far it had been handled, by partition of that time, before it was reset or replaced an older
    /// version.
    pub replayed: Vec<GlobalPosition>,
    /// Where all partitions stop, if they are to be replaced.
    pub barrier: Option<Barrier>,
}

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionRecord {
    /// Which one.
    pub key: SubscriptionKey,
    /// Raised with every change of the definition.
    pub generation: u64,
    /// What of it changes only when somebody changes it.
    pub definition: Definition,
    /// How many processes alive work on it.
    pub members: u32,
    /// Its partitions, in order, from 0.
    pub partitions: Vec<PartitionRecord>,
    /// How many dead letters it has.
    pub dead_letters: u64,
    /// How many keys are parked.
    pub parked: u64,
    /// How many dead letters its owners are asked to do something about.
    pub requests: u64,
}

/// How a partition stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRecord {
    /// Which one, from 0.
    pub partition: u32,
    /// Everything up to here is handled, unwanted, or behind a block.
    pub position: GlobalPosition,
    /// How often it was claimed, or taken from its owner.
    pub epoch: u64,
    /// Who works on it; nobody if the lease is over.
    pub owner: Option<OwnerId>,
    /// What keeps it from going on.
    pub trouble: Option<Trouble>,
    /// When the position last changed.
    pub moved_at: OffsetDateTime,
}

/// What keeps a partition from going on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// The position of the event that fails.
    pub position: GlobalPosition,
    /// What went wrong last.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried again.
    pub next_attempt: Option<OffsetDateTime>,
}

/// How a subscription is to change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// Which one.
    pub key: SubscriptionKey,
    /// The generation that it must have; 0 if it must not exist.
    pub expected: u64,
    /// Where every partition must stand, or beyond.
    pub at_least: Option<GlobalPosition>,
    /// What it becomes.
    pub definition: Definition,
    /// What becomes of its partitions.
    pub partitions: Partitions,
}

/// What becomes of the partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitions {
    /// They and their owners stay.
    Keep,
    /// They are taken from their owners: free, with higher epochs.
    Fence,
    /// They are replaced by as many as there are positions, free, with an epoch above all there were, also
    /// above those of a subscription of this key that was removed before.
    Replace(Vec<GlobalPosition>),
}

/// A sign of life.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// Whose.
    pub owner: OwnerId,
    /// How long it holds.
    pub ttl: Duration,
    /// What the process works on.
    pub subscriptions: Vec<SubscriptionKey>,
    /// The leases to be renewed.
    pub leases: Vec<LeaseKey>,
}

/// Partitions to be taken.
#[derive(Debug, Clone)]
pub struct Claim {
    /// By whom.
    pub owner: OwnerId,
    /// For how long.
    pub ttl: Duration,
    /// Of which subscription.
    pub subscription: SubscriptionKey,
    /// Which ones.
    pub partitions: Vec<u32>,
}

/// Which lease.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LeaseKey {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// The partition.
    pub partition: u32,
    /// The number of the claim: the fencing number.
    pub epoch: u64,
}

/// The right to work on a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Which one.
    pub key: LeaseKey,
    /// Where the partition stands.
    pub position: GlobalPosition,
    /// What kept its last owner from going on.
    pub trouble: Option<Trouble>,
}

/// A key whose events are passed over until it is freed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// The ordering key.
    pub key: String,
    /// Why.
    pub kind: BlockKind,
    /// The first event that is passed over.
    pub position: GlobalPosition,
    /// Its id.
    pub event_id: Option<EventId>,
    /// What went wrong; empty for a parked key.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when, by the store's clock: since the last [`Change::Block`](super::Change::Block). What a store
    /// is given here does not matter.
    pub since: OffsetDateTime,
    /// What the owner is asked to do.
    pub request: Option<BlockRequest>,
}

/// Why a key is passed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    /// An event of it could not be handled.
    DeadLetter,
    /// It waits for something that is under way.
    Parked,
}

/// What to do about a dead letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockRequest {
    /// Handle the event again, then those behind it.
    Retry,
    /// Leave the event out, and handle those behind it.
    Discard,
}
