//! The port to what keeps the events, and the store in memory.

mod append;
mod arrivals;
mod error;
mod limits;
mod memory;
mod read;
mod stream;
mod subscriptions;

use async_trait::async_trait;
use time::OffsetDateTime;

pub use self::append::{
    Append, Appended, Chain, ChainLink, CommandKey, Deletion, NewLinks, NewOutcome, Repeat,
    StreamWrite,
};
pub use self::arrivals::{Arrival, Arrivals, Follower};
pub use self::error::{Refusal, StoreError};
pub use self::limits::Limits;
pub use self::memory::{MemoryOptions, MemoryStore, MemoryWork, ReadModels};
pub use self::read::{
    Direction, Filter, LoadStream, LoadedStream, LogPage, ReadAll, ReadStream, StreamHead,
    StreamInfo, StreamList, StreamPage, StreamQuery, StreamSort,
};
pub use self::stream::EventStoreExt;
pub use self::subscriptions::{
    Barrier, Block, BlockKind, BlockRequest, Change, Claim, Committed, Definition, Heartbeat,
    InstanceQuery, InstanceRecord, Lease, LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId,
    PartitionRecord, Partitions, Progress, ProjectionStore, Requirement, Share, SubscriptionChange,
    SubscriptionKey, SubscriptionRecord, SubscriptionState, SubscriptionStore, TimerQuery,
    TimerRecord, TimersDue, Trouble,
};
use crate::{Codec, ExpectedVersion, GlobalPosition, Snapshot, StreamId, StreamVersion};

/// Keeps events: streams with versions, and one log of all of them.
///
/// What an adapter has to keep, beyond what each method says:
///
/// * **Order.** Global positions are dense, begin at 1 and follow the order of commits: whoever sees
///   a position sees every position below it, except those of erased events. All events of one append
///   have consecutive positions in the order of writes. Versions of a stream are dense likewise.
///   Neither a position nor a version is ever issued twice.
/// * **All or nothing.** An append is stored whole or not at all. It is durable when `Ok` is returned.
/// * **Cancel safety.** A dropped future leaves the request carried out or not, nothing in between,
///   and no later request stuck.
/// * **Clock.** `recorded_at` is the store's own, to the microsecond, and never runs backwards along
///   the log.
/// * **Input.** [`Limits::check`] runs before anything is queued.
/// * **Failure.** An error other than [`StoreError::OutcomeUnknown`] means that nothing was stored.
///   Errors are told apart by codes, never by texts.
///
/// The contract suite of `ordain-testkit` asserts all of this of any adapter.
#[async_trait]
pub trait EventStore: Send + Sync + 'static {
    /// How payloads become bytes in this store.
    fn codec(&self) -> &Codec;

    /// Tells of events as they come, where the store can; otherwise those who follow the log ask again
    /// from time to time.
    ///
    /// While somebody [follows](Arrivals::follow), the store announces what other processes append, as soon as it
    /// knows, and hands over the events it has committed itself; its links and tombstones it announces.
    fn arrivals(&self) -> Option<&Arrivals> {
        None
    }

    /// Appends events to one or several streams, all or nothing.
    ///
    /// Appends are decided in the order in which their futures were first polled; so one may rest on
    /// another that is still under way, naming the version and the entry it
    /// [builds on](StreamWrite::builds_on), and the [chain](Append::chain) that joins them. If that other
    /// append fails, or its outcome is unknown, this one fails too. For this the store
    /// [checks](Append::check_chain) the chain of every append it decides, and
    /// [breaks](Append::break_chain) that of every append it refuses or loses, before it decides another.
    ///
    /// With a [command](Append::command) the store first looks whether it was dispatched before. What the
    /// append [settles](Append::settles) must be there; one that another transaction holds at the moment is
    /// waited for, without holding up other appends.
    ///
    /// # Errors
    /// In this order: [`Refused`](StoreError::Refused), [`DeadlinePassed`](StoreError::DeadlinePassed),
    /// [`PredecessorFailed`](StoreError::PredecessorFailed), [`Repeated`](StoreError::Repeated),
    /// [`Settled`](StoreError::Settled),
    /// [`StreamDeleted`](StoreError::StreamDeleted) or
    /// [`StreamErased`](StoreError::StreamErased), [`EventsAndLinks`](StoreError::EventsAndLinks),
    /// [`Conflict`](StoreError::Conflict), [`DuplicateEvent`](StoreError::DuplicateEvent).
    async fn append(&self, append: Append) -> Result<Appended, StoreError>;

    /// Remembers a command's answer without events, if it is still the right one: the stream must be
    /// at the version, and end with the entry, that it was decided on.
    ///
    /// # Errors
    /// [`Repeated`](StoreError::Repeated) if the command left events or an answer before;
    /// [`Conflict`](StoreError::Conflict) if the stream has moved.
    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError>;

    /// What a command left behind when it was dispatched before.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError>;

    /// Forgets the answers remembered before this time; returns how many.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError>;

    /// Appends links to existing events; each takes a version of the stream and a position.
    ///
    /// An event may be linked once in a stream. A link to a link is a link to its target.
    ///
    /// # Errors
    /// As [`append`](EventStore::append); [`DuplicateEvent`](StoreError::DuplicateEvent) if the stream
    /// links to it already, [`LinkTargetNotFound`](StoreError::LinkTargetNotFound).
    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError>;

    /// Deletes a stream: a tombstone takes its next version and a position.
    ///
    /// After a soft delete the stream can neither be read nor written, and its events stay in the
    /// log. A hard delete, which the store must have been opened for, erases them, their snapshots and
    /// remembered answers; a soft-deleted stream can be erased. Links in other streams to erased events
    /// are passed over; erasing links never touches their targets.
    ///
    /// # Errors
    /// [`StreamNotFound`](StoreError::StreamNotFound), [`StreamDeleted`](StoreError::StreamDeleted),
    /// [`StreamErased`](StoreError::StreamErased), [`Conflict`](StoreError::Conflict),
    /// [`HardDeletesDisabled`](StoreError::HardDeletesDisabled).
    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError>;

    /// Opens a soft-deleted stream again; it goes on after its tombstone.
    ///
    /// # Errors
    /// [`StreamNotFound`](StoreError::StreamNotFound), [`StreamErased`](StoreError::StreamErased),
    /// [`StreamNotDeleted`](StoreError::StreamNotDeleted).
    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError>;

    /// Reads a page of a stream.
    ///
    /// # Errors
    /// [`StreamNotFound`](StoreError::StreamNotFound), [`StreamDeleted`](StoreError::StreamDeleted),
    /// [`StreamErased`](StoreError::StreamErased).
    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError>;

    /// Reads what an aggregate's state follows from: the snapshot, and a page of events from its version
    /// on.
    ///
    /// Unless the store does it with one request, it is made of [`read_snapshot`](Self::read_snapshot)
    /// and [`read_stream`](Self::read_stream).
    ///
    /// # Errors
    /// As [`read_stream`](Self::read_stream).
    async fn load_stream(&self, load: LoadStream) -> Result<LoadedStream, StoreError> {
        let snapshot = match self.read_snapshot(&load.stream).await {
            Ok(found) => Some(found),
            Err(StoreError::SnapshotNotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        let snapshot = snapshot.filter(|found| {
            found.schema_version == load.snapshot_schema && found.version <= load.until
        });
        let from = snapshot
            .as_ref()
            .map_or(StreamVersion::FIRST, |found| found.version);
        let read = ReadStream::forward(load.stream)
            .from(from)
            .limit(load.limit);
        let page = self.read_stream(read).await?;
        Ok(LoadedStream { snapshot, page })
    }

    /// Reads a page of the log.
    ///
    /// Tombstones are never among the events; links only if the filter wants them.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn read_all(&self, read: ReadAll) -> Result<LogPage, StoreError>;

    /// The end of a stream, also of one that does not exist or is deleted.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError>;

    /// What is known about a stream, also about a deleted one.
    ///
    /// # Errors
    /// [`StreamNotFound`](StoreError::StreamNotFound).
    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError>;

    /// Pages through the streams.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError>;

    /// The highest position issued.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn head(&self) -> Result<GlobalPosition, StoreError>;

    /// The highest position recorded at or before this time.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError>;

    /// Keeps a snapshot, unless the stream has one of an equal or higher version and the same schema
    /// version. That of an erased stream, or of one without entries, is dropped.
    ///
    /// # Errors
    /// Only if the store cannot work.
    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError>;

    /// The snapshot of a stream.
    ///
    /// # Errors
    /// [`SnapshotNotFound`](StoreError::SnapshotNotFound).
    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError>;

    /// Removes the snapshot of a stream.
    ///
    /// # Errors
    /// [`SnapshotNotFound`](StoreError::SnapshotNotFound).
    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError>;

    /// Finishes what was begun and gives back connections, files and tasks. Idempotent.
    ///
    /// Later requests fail with [`StoreError::Closed`].
    async fn close(&self);
}
