//! What can go wrong with a store.

use std::time::Duration;

use crate::{BoxError, CodecError, CommandId, EventId, ExpectedVersion, StreamId, StreamVersion};

use super::Repeat;

/// What a store says when it cannot do what was asked.
///
/// Nothing was stored, unless it [is unknown](StoreError::is_outcome_unknown).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The stream does not look as expected.
    #[error("stream {stream} is at version {actual}; expected was {expected}")]
    Conflict {
        /// The stream.
        stream: StreamId,
        /// What was expected.
        expected: ExpectedVersion,
        /// The version it has.
        actual: StreamVersion,
    },
    /// There is no such stream.
    #[error("stream {stream} does not exist")]
    StreamNotFound {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is soft-deleted.
    #[error("stream {stream} is deleted (at version {version}); undelete it to go on with it")]
    StreamDeleted {
        /// The stream.
        stream: StreamId,
        /// The version of its tombstone.
        version: StreamVersion,
    },
    /// The stream was erased, and its name stays closed.
    #[error("stream {stream} was erased; its name cannot be used again")]
    StreamErased {
        /// The stream.
        stream: StreamId,
    },
    /// The stream is not deleted, so it cannot be undeleted.
    #[error("stream {stream} is not deleted")]
    StreamNotDeleted {
        /// The stream.
        stream: StreamId,
    },
    /// An event with this id is stored already, or twice in the request.
    #[error("an event with the id {event_id} exists already")]
    DuplicateEvent {
        /// The id.
        event_id: EventId,
    },
    /// The command was dispatched before.
    #[error("the command was dispatched before")]
    Repeated(Repeat),
    /// A link's target does not exist.
    #[error("there is no event with the id {event_id} to link to")]
    LinkTargetNotFound {
        /// The id.
        event_id: EventId,
    },
    /// A stream holds events of its own or links, never both.
    #[error("stream {stream} holds {}, so it cannot take {}", holds(*.links), holds(!*.links))]
    EventsAndLinks {
        /// The stream.
        stream: StreamId,
        /// Whether it holds links.
        links: bool,
    },
    /// The outgoing command that the append was to settle has been settled otherwise.
    #[error("the outgoing command {command_id} has been settled already")]
    Settled {
        /// The command.
        command_id: CommandId,
    },
    /// A projection that runs in the command's own transaction failed, so nothing was stored.
    #[error("the projection `{projection}` refused the events: {source}")]
    ProjectionFailed {
        /// The projection.
        projection: &'static str,
        /// What it said.
        source: BoxError,
    },
    /// There is no snapshot.
    #[error("stream {stream} has no snapshot")]
    SnapshotNotFound {
        /// The stream.
        stream: StreamId,
    },
    /// Hard deletes are not enabled on this store.
    #[error("hard deletes are not enabled; open the store with them enabled to erase streams")]
    HardDeletesDisabled,
    /// The request itself is unusable.
    #[error("the request is refused: {0}")]
    Refused(#[from] Refusal),
    /// An append that this one rests on has failed.
    #[error("an append that this one rests on has failed")]
    PredecessorFailed,
    /// The deadline passed before the store began with it.
    #[error("the deadline passed before the store began with the request")]
    DeadlinePassed,
    /// Whether it was stored could not be found out in time.
    #[error(
        "the outcome is unknown: {source}. The request may have been carried out; sending it again with the same ids is safe"
    )]
    OutcomeUnknown {
        /// What happened.
        source: BoxError,
    },
    /// The store cannot be reached or cannot work at the moment.
    #[error("the store is unavailable: {source}")]
    Unavailable {
        /// What happened.
        source: BoxError,
    },
    /// The store was opened in another way than it was made.
    #[error("{problem}; {advice}")]
    Incompatible {
        /// What does not fit.
        problem: String,
        /// What to do.
        advice: String,
    },
    /// The task that asks has a transaction open that the request would wait for.
    #[error(
        "this task has a transaction open that the request would wait for; end the transaction first, or append through it"
    )]
    WouldDeadlock,
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
    /// What is stored contradicts itself, or the store itself: a defect.
    #[error("the store is in a state that should not be: {source}")]
    Internal {
        /// What was found.
        source: BoxError,
    },
}

fn holds(links: bool) -> &'static str {
    if links { "links" } else { "events" }
}

/// Why a request is unusable whatever the store holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is nothing to append.
    #[error("there is nothing to append to {stream}")]
    NoEvents {
        /// The stream.
        stream: StreamId,
    },
    /// There is no stream to append to.
    #[error("an append needs at least one stream")]
    NoStreams,
    /// One append names a stream twice.
    #[error("stream {stream} is named twice in one append")]
    StreamTwice {
        /// The stream.
        stream: StreamId,
    },
    /// The append is too large.
    #[error("the append has {count} events; at most {max} are allowed")]
    TooManyEvents {
        /// How many it has.
        count: usize,
        /// How many are allowed.
        max: usize,
    },
    /// The payloads of the append are too large together.
    #[error("the payloads of the append have {len} bytes together; at most {max} are allowed")]
    AppendTooLarge {
        /// Their size in bytes.
        len: usize,
        /// How much is allowed.
        max: usize,
    },
    /// A payload, or the metadata, is too large.
    #[error(
        "the {part} of an event of type `{event_type}` has {len} bytes; at most {max} are allowed"
    )]
    TooLarge {
        /// Payload or metadata.
        part: &'static str,
        /// The event's type.
        event_type: String,
        /// Its size in bytes.
        len: usize,
        /// How much is allowed.
        max: usize,
    },
    /// The name of an event type is blank, too long or holds a NUL.
    #[error(
        "`{event_type}` cannot name an event type: it is blank, holds a NUL, begins with `$` or has more than {max} bytes"
    )]
    EventType {
        /// The name, shortened.
        event_type: String,
        /// The longest allowed, in bytes.
        max: usize,
    },
    /// A payload or metadata holds a NUL character.
    #[error(
        "the {part} of an event of type `{event_type}` holds a NUL character, which no store keeps"
    )]
    Nul {
        /// Payload or metadata.
        part: &'static str,
        /// The event's type.
        event_type: String,
    },
    /// A payload is no JSON, and the store keeps JSON.
    #[error("the payload of an event of type `{event_type}` is not JSON: {source}")]
    NotJson {
        /// The event's type.
        event_type: String,
        /// Where it is malformed.
        source: CodecError,
    },
    /// Something in the transaction failed before.
    #[error("something in the transaction failed, so it cannot be committed; begin another")]
    TransactionFailed,
    /// Code of the user's has committed or rolled back the transaction itself.
    #[error(
        "the transaction was ended by a COMMIT or a ROLLBACK of your own; leave that to the store, or what you write and what it notes part ways"
    )]
    TransactionEnded,
    /// The transaction was open for too long, and was rolled back.
    #[error(
        "the transaction was open for longer than {limit:?}, so it was rolled back; do the slow part before it begins"
    )]
    TransactionExpired {
        /// How long it may be open.
        limit: Duration,
    },
    /// The database cannot keep what it was given.
    #[error("the database cannot keep the request: {source}")]
    Unstorable {
        /// What it said.
        source: BoxError,
    },
    /// The schema version is 0, or larger than a store keeps.
    #[error(
        "schema version {version} of an event of type `{event_type}` is not between 1 and {}",
        i32::MAX
    )]
    SchemaVersion {
        /// The event's type.
        event_type: String,
        /// The version.
        version: u32,
    },
}

impl StoreError {
    /// The store cannot be reached or cannot work at the moment.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable {
            source: source.into(),
        }
    }

    /// What is stored contradicts itself.
    pub fn internal(source: impl Into<BoxError>) -> Self {
        Self::Internal {
            source: source.into(),
        }
    }

    /// Whether the stream does not look as expected.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict { .. })
    }

    /// Whether the stream was expected not to exist, and does.
    pub fn is_stream_exists(&self) -> bool {
        matches!(self, Self::Conflict { expected, .. }
            if expected.accepts(StreamVersion::NONE) && *expected != ExpectedVersion::Any)
    }

    /// Whether the stream does not exist, or does not any more.
    pub fn is_stream_not_found(&self) -> bool {
        matches!(
            self,
            Self::StreamNotFound { .. }
                | Self::StreamErased { .. }
                | Self::Conflict {
                    expected: ExpectedVersion::StreamExists,
                    ..
                }
        )
    }

    /// Whether the stream is deleted, softly or for good.
    pub fn is_deleted(&self) -> bool {
        matches!(self, Self::StreamDeleted { .. } | Self::StreamErased { .. })
    }

    /// Whether the outgoing command that was to be settled is settled already.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::Settled { .. })
    }

    /// Whether an event id is used already.
    pub fn is_duplicate(&self) -> bool {
        matches!(self, Self::DuplicateEvent { .. })
    }

    /// Whether the request itself is unusable.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Refused(_))
    }

    /// Whether the request would have waited for a transaction of the task that asks.
    pub fn is_would_deadlock(&self) -> bool {
        matches!(self, Self::WouldDeadlock)
    }

    /// Whether the store cannot work at the moment; nothing was stored, and it may work later.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Closed)
    }

    /// Whether the request may have been carried out.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }
}
