//! What can go wrong when an app starts, loads or stops.

use crate::subscription::SubscriptionError;
use crate::{
    BoxError, CommandId, DecodeError, DispatchError, InvalidStreamId, StoreError, StreamId,
    UpcastersError,
};

/// Why an app did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// An option cannot be as it is.
    #[error("option `{option}` {problem}")]
    Option {
        /// Its name.
        option: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// An aggregate is registered twice.
    #[error(
        "two aggregates have the category `{category}`; register each once, under a category of its own"
    )]
    CategoryTwice {
        /// Their category.
        category: &'static str,
    },
    /// A category cannot name streams.
    #[error("`{category}` cannot be a category: {source}")]
    Category {
        /// The category.
        category: &'static str,
        /// What is wrong with it.
        source: InvalidStreamId,
    },
    /// Two commands have one name.
    #[error(
        "`{first}` and `{second}` both have a command `{name}`; rename one with `#[command(name = \"..\")]`"
    )]
    CommandTwice {
        /// The name.
        name: &'static str,
        /// The category of the one aggregate.
        first: &'static str,
        /// The category of the other.
        second: &'static str,
    },
    /// A command that is handled outside its aggregate has no handler.
    #[error(
        "`{category}` lists `{command}` as handled outside, and it has no handler; add `.command_handler(..)`"
    )]
    HandlerMissing {
        /// The command's name.
        command: &'static str,
        /// The aggregate's category.
        category: &'static str,
    },
    /// A handler is for a command that its aggregate does not list, or that has a handler already.
    #[error("the handler of `{command}` has no place: {problem}")]
    HandlerMisplaced {
        /// The command's name.
        command: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Two handlers, projections or process managers have one name.
    #[error("two handlers are named `{name}`; give each a name of its own")]
    NameTwice {
        /// The name.
        name: &'static str,
    },
    /// A name begins with `$`.
    #[error("`{name}` begins with `$`: such names are the framework's own")]
    ReservedName {
        /// The name.
        name: &'static str,
    },
    /// A projection cannot make its tables.
    #[error("the projection `{projection}` cannot make its tables: {source}")]
    Tables {
        /// Its name.
        projection: &'static str,
        /// What its `setup` said.
        source: BoxError,
    },
    /// A subscription cannot be made as it is wanted.
    #[error(transparent)]
    Subscription(#[from] SubscriptionError),
    /// The upcasters do not fit together.
    #[error(transparent)]
    Upcasters(#[from] UpcastersError),
    /// The store does not work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an aggregate could not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// It has no events.
    #[error("{stream} does not exist")]
    NotFound {
        /// Its stream.
        stream: StreamId,
    },
    /// The app does not know the aggregate.
    #[error(
        "the aggregate `{category}` is not registered; add `.aggregate::<..>()` where the app is built"
    )]
    NotRegistered {
        /// Its category.
        category: &'static str,
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
    /// A stored event cannot be read.
    #[error(transparent)]
    Unreadable(Box<DecodeError>),
    /// The aggregate's code panicked.
    #[error("the aggregate's code panicked while it was loaded: {message}")]
    Panicked {
        /// The panic's message.
        message: String,
    },
    /// The store failed, or the stream is deleted.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DecodeError> for LoadError {
    fn from(error: DecodeError) -> Self {
        Self::Unreadable(Box::new(error))
    }
}

impl LoadError {
    /// Whether the aggregate does not exist, or does not any more.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::NotFound { .. } => true,
            Self::Store(error) => error.is_stream_not_found() || error.is_deleted(),
            _ => false,
        }
    }

    /// Whether the store cannot work at the moment.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Store(error) if error.is_unavailable())
    }

    pub(crate) fn into_dispatch_error<E>(self, command_id: CommandId) -> DispatchError<E> {
        match self {
            Self::NotFound { stream } => DispatchError::NotFound { stream },
            Self::NotRegistered { category } => DispatchError::NotRegistered { category },
            Self::InvalidId {
                category,
                id,
                source,
            } => DispatchError::InvalidId {
                category,
                id,
                source,
            },
            Self::Unreadable(error) => DispatchError::Unreadable(error),
            Self::Panicked { message } => DispatchError::Panicked {
                during: "load",
                message,
            },
            Self::Store(error) => DispatchError::from_store(error, command_id),
        }
    }
}

/// What was left when the time for a shutdown was over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{unfinished} tasks had not ended when the shutdown's time was over, and were cut off; their commands' outcomes are unknown to the callers"
)]
#[non_exhaustive]
pub struct ShutdownError {
    /// How many tasks were cut off.
    pub unfinished: usize,
}
