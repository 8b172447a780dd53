//! Why a dispatch failed.

use std::time::Duration;

use crate::subscription::WaitError;
use crate::{
    BoxError, CodecError, CommandId, DecodeError, ExpectedVersion, GlobalPosition, Invalid,
    InvalidStreamId, RecordedEvent, StoreError, StreamId, StreamVersion,
};

/// Why a command did not succeed; `E` is the aggregate's own error.
///
/// Nothing was stored, unless the outcome [is unknown](DispatchError::is_outcome_unknown).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DispatchError<E> {
    /// The domain said no.
    #[error("the command was rejected: {0}")]
    Rejected(#[source] E),
    /// The domain said no when the command came first, in words that are no longer known.
    #[error("the command was rejected before, at version {version}: {message}")]
    RejectedBefore {
        /// What it said.
        message: String,
        /// The version of the stream it was decided on.
        version: StreamVersion,
    },
    /// The aggregate has no events, and the command needs one that has.
    #[error("{stream} does not exist")]
    NotFound {
        /// The aggregate's stream.
        stream: StreamId,
    },
    /// The aggregate has events, and the command creates it.
    #[error("{stream} exists already")]
    AlreadyExists {
        /// The aggregate's stream.
        stream: StreamId,
    },
    /// The aggregate's stream is deleted.
    #[error("{stream} is deleted")]
    Deleted {
        /// The aggregate's stream.
        stream: StreamId,
    },
    /// Others changed the aggregate: more often than the command is redone, or beyond the version
    /// that the caller expected.
    #[error(transparent)]
    Conflict(Box<Conflict>),
    /// The events are stored, and a subscription that the caller waits for has not handled them. The same
    /// command under the same id is answered with its receipt.
    #[error("the events are stored up to position {position}; {source}")]
    Unhandled {
        /// The id of the command.
        command_id: CommandId,
        /// The stream's version after the command.
        version: StreamVersion,
        /// The position of the last event.
        position: GlobalPosition,
        /// Why they are not handled.
        source: Box<WaitError>,
    },
    /// The app does not know the aggregate.
    #[error(
        "the aggregate `{category}` is not registered; add `.aggregate::<..>()` where the app is built"
    )]
    NotRegistered {
        /// Its category.
        category: &'static str,
    },
    /// No aggregate has a command of this name.
    #[error("no aggregate has a command `{name}`; there are: {}", known.join(", "))]
    UnknownCommand {
        /// The name.
        name: String,
        /// The names there are.
        known: Vec<&'static str>,
    },
    /// The body does not fit the command.
    #[error("the body is no `{name}`: {source}")]
    MalformedCommand {
        /// The command's name.
        name: String,
        /// Where it does not fit.
        source: serde_json::Error,
    },
    /// The id cannot name an aggregate.
    #[error("`{id}` cannot be the id of a `{category}`: {source}")]
    InvalidId {
        /// The aggregate's category.
        category: &'static str,
        /// The id, shortened.
        id: String,
        /// What is wrong with it.
        source: InvalidStreamId,
    },
    /// The command is wrong on its own.
    #[error("the command is invalid: {0}")]
    Invalid(#[source] Invalid),
    /// A middleware stopped it.
    #[error("the command was stopped by {by}: {reason}")]
    Halted {
        /// Which.
        by: String,
        /// Why.
        reason: BoxError,
    },
    /// The deadline passed before the append.
    #[error("the deadline passed before the command's events were appended")]
    DeadlinePassed,
    /// Another command was dispatched under this id before.
    #[error(
        "the command id {command_id} was used before, for {}",
        describe_other(recorded)
    )]
    CommandIdReused {
        /// The id.
        command_id: CommandId,
        /// The name of the other command; the same name means another content.
        recorded: String,
    },
    /// The command id is older than what is remembered.
    #[error("the command id {command_id} is older than {} days, for which answers are remembered", kept.as_secs() / 86_400)]
    TooOld {
        /// The id.
        command_id: CommandId,
        /// How long answers are remembered.
        kept: Duration,
    },
    /// Whether the command succeeded could not be found out in time.
    #[error(
        "the outcome of the command {command_id} is unknown: {reason}. Dispatch it again under the same command id: it will take effect once"
    )]
    OutcomeUnknown {
        /// The id under which it can be dispatched again.
        command_id: CommandId,
        /// What happened.
        reason: BoxError,
    },
    /// The store cannot work at the moment.
    #[error("{0}")]
    Unavailable(#[source] StoreError),
    /// Too many commands wait for the aggregate.
    #[error("{waiting} commands wait for {stream} already; try again later")]
    Overloaded {
        /// The aggregate's stream.
        stream: StreamId,
        /// How many wait.
        waiting: usize,
    },
    /// User code panicked.
    #[error("`{during}` panicked: {message}")]
    Panicked {
        /// Which code: `execute`, `apply`, `handle`, ...
        during: &'static str,
        /// The panic's message.
        message: String,
    },
    /// A stored event cannot be read.
    #[error(transparent)]
    Unreadable(Box<DecodeError>),
    /// An event or the command cannot be written.
    #[error("an event or the command cannot be written: {0}")]
    Unwritable(#[source] CodecError),
    /// The outgoing command of a process manager has been settled by somebody else.
    #[error("the command {command_id} has been settled already")]
    Settled {
        /// Its id.
        command_id: CommandId,
    },
    /// The app is stopping.
    #[error("the app is shutting down")]
    ShuttingDown,
    /// The store refused the events, or failed in another way.
    #[error("{0}")]
    Store(#[source] StoreError),
}

fn describe_other(recorded: &str) -> String {
    format!("another `{recorded}`")
}

/// Others changed the aggregate.
#[derive(Debug, thiserror::Error)]
#[error("{stream} is at version {actual}, expected was {expected}, after {retries} retries")]
#[non_exhaustive]
pub struct Conflict {
    /// The aggregate's stream.
    pub stream: StreamId,
    /// What was expected: by the caller, or by the last attempt.
    pub expected: ExpectedVersion,
    /// The version it has.
    pub actual: StreamVersion,
    /// How often the command was redone.
    pub retries: u32,
    /// What has happened since the expected version, a page at the most; empty if it could not
    /// be read.
    pub events: Vec<RecordedEvent>,
}

impl<E> DispatchError<E> {
    /// The domain's refusal, if that is what it is.
    pub fn rejection(&self) -> Option<&E> {
        match self {
            Self::Rejected(error) => Some(error),
            _ => None,
        }
    }

    /// Why an [inline projection](crate::AppBuilder::inline_projection) refused the events, if that is what
    /// happened, and for an error of this type.
    pub fn projection_error<P: std::error::Error + 'static>(&self) -> Option<&P> {
        match self {
            Self::Store(StoreError::ProjectionFailed { source, .. }) => source.downcast_ref(),
            _ => None,
        }
    }

    /// Whether the domain said no.
    pub fn is_rejected(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::RejectedBefore { .. })
    }

    /// Whether the aggregate does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whether the aggregate exists already.
    pub fn is_already_exists(&self) -> bool {
        matches!(self, Self::AlreadyExists { .. })
    }

    /// Whether others changed the aggregate.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }

    /// Whether the command itself is at fault, so that sending it again does not help.
    pub fn is_invalid(&self) -> bool {
        matches!(
            self,
            Self::Invalid(_)
                | Self::InvalidId { .. }
                | Self::MalformedCommand { .. }
                | Self::UnknownCommand { .. }
                | Self::CommandIdReused { .. }
                | Self::TooOld { .. }
        )
    }

    /// Whether the command may have succeeded; dispatched again under the same id it takes effect
    /// once.
    pub fn is_outcome_unknown(&self) -> bool {
        matches!(self, Self::OutcomeUnknown { .. })
    }

    /// Whether the same command may succeed later without anybody changing anything.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Conflict(_)
                | Self::Unavailable(_)
                | Self::Overloaded { .. }
                | Self::OutcomeUnknown { .. }
                | Self::ShuttingDown
        )
    }

    /// Changes the type of the refusal.
    pub fn map_rejection<F>(self, map: impl FnOnce(E) -> F) -> DispatchError<F> {
        match self {
            Self::Rejected(error) => DispatchError::Rejected(map(error)),
            Self::RejectedBefore { message, version } => {
                DispatchError::RejectedBefore { message, version }
            }
            Self::NotFound { stream } => DispatchError::NotFound { stream },
            Self::AlreadyExists { stream } => DispatchError::AlreadyExists { stream },
            Self::Deleted { stream } => DispatchError::Deleted { stream },
            Self::Conflict(conflict) => DispatchError::Conflict(conflict),
            Self::Unhandled {
                command_id,
                version,
                position,
                source,
            } => DispatchError::Unhandled {
                command_id,
                version,
                position,
                source,
            },
            Self::NotRegistered { category } => DispatchError::NotRegistered { category },
            Self::UnknownCommand { name, known } => DispatchError::UnknownCommand { name, known },
            Self::MalformedCommand { name, source } => {
                DispatchError::MalformedCommand { name, source }
            }
            Self::InvalidId {
                category,
                id,
                source,
            } => DispatchError::InvalidId {
                category,
                id,
                source,
            },
            Self::Invalid(invalid) => DispatchError::Invalid(invalid),
            Self::Halted { by, reason } => DispatchError::Halted { by, reason },
            Self::DeadlinePassed => DispatchError::DeadlinePassed,
            Self::CommandIdReused {
                command_id,
                recorded,
            } => DispatchError::CommandIdReused {
                command_id,
                recorded,
            },
            Self::TooOld { command_id, kept } => DispatchError::TooOld { command_id, kept },
            Self::OutcomeUnknown { command_id, reason } => {
                DispatchError::OutcomeUnknown { command_id, reason }
            }
            Self::Unavailable(error) => DispatchError::Unavailable(error),
            Self::Overloaded { stream, waiting } => DispatchError::Overloaded { stream, waiting },
            Self::Panicked { during, message } => DispatchError::Panicked { during, message },
            Self::Unreadable(error) => DispatchError::Unreadable(error),
            Self::Settled { command_id } => DispatchError::Settled { command_id },
            Self::Unwritable(error) => DispatchError::Unwritable(error),
            Self::ShuttingDown => DispatchError::ShuttingDown,
            Self::Store(error) => DispatchError::Store(error),
        }
    }

    /// Says what a store's error means to a command.
    pub(crate) fn from_store(error: StoreError, command_id: CommandId) -> Self {
        match error {
            StoreError::StreamDeleted { stream, .. } | StoreError::StreamErased { stream } => {
                Self::Deleted { stream }
            }
            StoreError::DeadlinePassed => Self::DeadlinePassed,
            StoreError::Settled { command_id } => Self::Settled { command_id },
            StoreError::OutcomeUnknown { source } => Self::OutcomeUnknown {
                command_id,
                reason: source,
            },
            error if error.is_unavailable() => Self::Unavailable(error),
            error => Self::Store(error),
        }
    }
}
