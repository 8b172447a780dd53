//! Reading the log and remembering how far one has come.

mod blocks;
mod checkpoint;
mod consumer;
mod control;
mod coordinator;
mod cut;
mod durable;
mod failing;
mod feed;
mod hub;
mod lease;
mod options;
mod partition;
mod positions;
mod rate;
mod rebuild;
mod redelivery;
mod runner;
mod share;
#[cfg(test)]
mod shorter_log;
mod status;
mod subscriptions;
mod tail;
mod transient;
mod waiting;
mod wanted;

pub use self::control::SubscriptionError;
pub use self::durable::{Delivered, KeyOf, Subscribe, Subscription, UnexpectedAck};
pub use self::options::{StartFrom, SubscriptionOptions};
pub use self::partition::{bucket_of, partition_of};
pub use self::rate::RebuildProgress;
pub use self::status::{DeadLetter, PartitionStatus, SubscriptionStatus};
pub use self::subscriptions::Subscriptions;
pub use self::transient::{Events, Follow, FollowError, WhenSlow};
pub use self::waiting::WaitError;

pub(crate) use self::blocks::Blocks;
pub(crate) use self::checkpoint::{Checkpoint, Lost};
pub(crate) use self::consumer::{Consumer, Incoming, Unit, UnitFailure, Written};
pub(crate) use self::control::{Registration, active_of, register, stop};
pub(crate) use self::cut::Cut;
pub(crate) use self::feed::{Chunk, Feed};
pub(crate) use self::hub::{Hub, HubOptions, Partition, Work};
pub(crate) use self::runner::{Delivering, check_head, was_replayed};
pub(crate) use self::status::{dead_letter, is_dead_letter};
pub(crate) use self::tail::TailOptions;
pub(crate) use self::waiting::{Goal, HANDLING, wait};
pub(crate) use self::wanted::filter_of;
