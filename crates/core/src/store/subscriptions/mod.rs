//! The port to what keeps the read side: where subscriptions stand, who works on them, what waits.

mod process;
mod progress;
mod projection;
mod record;

use std::time::Duration;

use async_trait::async_trait;

pub use self::process::{
    InstanceQuery, InstanceRecord, OutgoingQuery, OutgoingRecord, Share, TimerQuery, TimerRecord,
    TimersDue,
};
pub use self::progress::{Change, Committed, Progress, Requirement};
pub use self::projection::ProjectionStore;
pub use self::record::{
    Barrier, Block, BlockKind, BlockRequest, Claim, Definition, Heartbeat, Lease, LeaseKey,
    OwnerId, PartitionRecord, Partitions, SubscriptionChange, SubscriptionKey, SubscriptionRecord,
    SubscriptionState, Trouble,
};
use super::{EventStore, StoreError};

/// Keeps what the read side has to remember.
///
/// What an adapter has to keep, beyond what each method says:
///
/// * **Clock.** Leases, members and timers go by the store's own clock, never by the caller's.
/// * **Fencing.** Every claim of a partition raises its epoch, which never sinks; so does whatever frees it
///   before its lease is over. What is committed under an epoch that is not the partition's own changes
///   nothing; under its own it is made, even if the lease is over, as long as nobody has claimed it since.
/// * **Last statement.** In a transaction that makes progress, the partition's row is changed last, so that
///   an owner that freezes in the middle does not hold up those who take over.
/// * **All or nothing** and **cancel safety** as in [`EventStore`].
/// * **Order.** Texts are in the order of their bytes.
/// * **No session.** Nothing hangs on a database session, so that a pooler may stand before it.
///
/// The contract suite of `ordain-testkit` asserts all of this of any adapter.
#[async_trait]
pub trait SubscriptionStore: EventStore {
    /// The subscriptions of this name, or all, by name and version.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError>;

    /// Makes or changes subscriptions, all or none; `false` if one of them does not look as expected.
    ///
    /// A change applies if the subscription's generation is the one expected (0: there is none), and every
    /// partition stands at or beyond [`at_least`](SubscriptionChange::at_least), where that is told. The
    /// generation becomes one more. [`Partitions`] says what becomes of the partitions.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError>;

    /// Removes a subscription with all that belongs to it; `false` if there is none.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn remove_subscription(&self, subscription: &SubscriptionKey)
    -> Result<bool, StoreError>;

    /// Says that a process is alive, renews its leases, and tells how its subscriptions stand.
    ///
    /// A lease is renewed if its epoch is still the partition's and the partition was not released. Of the
    /// subscriptions named, those that do not exist are left out of the answer.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError>;

    /// Takes those of the partitions that nobody holds, or whose lease is over, if the subscription's state
    /// [allows it](SubscriptionState::is_claimable). Raises their epochs.
    ///
    /// It does not wait for a partition that another is just claiming.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError>;

    /// Gives leases back before they are over. Leases that are lost already are passed over.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError>;

    /// Says that a process is gone: it counts for nothing any more, and its leases are given back.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError>;

    /// Moves a partition's checkpoint, with all changes that belong to it, or does nothing.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn commit(&self, progress: Progress) -> Result<Committed, StoreError>;

    /// The blocked and parked keys of a subscription, by key, at most `limit`.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn blocks(
        &self,
        subscription: &SubscriptionKey,
        limit: u32,
    ) -> Result<Vec<Block>, StoreError>;

    /// Asks the owner to do something about a dead letter, or about all; returns how many there were.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError>;

    /// The process instances with these ids, those that exist, by id.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError>;

    /// Pages through the process instances, by id.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn list_instances(&self, query: InstanceQuery)
    -> Result<Vec<InstanceRecord>, StoreError>;

    /// The commands that a share of the instances has issued and that are not settled yet, by instance and
    /// sequence.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError>;

    /// The timers of a share of the instances that are due by the store's clock, the oldest first.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError>;

    /// The timers of an instance, by key.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError>;

    /// Sets a timer without being the owner of anything. One of the same instance and key is replaced.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError>;

    /// Takes a timer back without being the owner of anything; `false` if there is none.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError>;

    /// Removes dead letters, or finished instances, of a subscription that are older than this by the
    /// store's clock; returns how many. `None` keeps them.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError>;
}
