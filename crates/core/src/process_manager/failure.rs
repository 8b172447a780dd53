//! What to do when a command of a process instance fails.

use std::fmt;
use std::time::Duration;

use super::{IssuedCommand, Reaction};
use crate::store::SubscriptionKey;
use crate::{CommandId, DispatchError, Rejection};

/// What to do when a command of a process instance fails.
#[must_use]
pub enum CommandAction<P> {
    /// Dispatch it again after the pause that the options say.
    Retry,
    /// Dispatch it again after this pause.
    RetryAfter(Duration),
    /// Leave it out, and go on with those behind it.
    Skip,
    /// Leave it out with all those behind it.
    SkipRest,
    /// Leave it out with all those behind it, and do this instead.
    Replace(Reaction<P>),
    /// Put the instance aside, with its commands and all later events, until somebody says what to do.
    DeadLetter,
    /// Stop the process manager until somebody resumes it.
    Stop,
}

impl<P> fmt::Debug for CommandAction<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry => f.write_str("Retry"),
            Self::RetryAfter(pause) => f.debug_tuple("RetryAfter").field(pause).finish(),
            Self::Skip => f.write_str("Skip"),
            Self::SkipRest => f.write_str("SkipRest"),
            Self::Replace(reaction) => f.debug_tuple("Replace").field(reaction).finish(),
            Self::DeadLetter => f.write_str("DeadLetter"),
            Self::Stop => f.write_str("Stop"),
        }
    }
}

/// A command of a process instance that failed, rejections by its aggregate included.
///
/// What the store, or the load, keeps from being carried out is not among it: that is tried again without
/// end.
#[derive(Debug)]
#[non_exhaustive]
pub struct CommandFailure {
    /// The subscription of the process manager.
    pub subscription: SubscriptionKey,
    /// The instance.
    pub instance: String,
    /// The command.
    pub command: IssuedCommand,
    /// Its id.
    pub command_id: CommandId,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// How often the options would have it tried.
    pub attempts_max: u32,
    /// What went wrong.
    pub error: DispatchError<Rejection>,
}

impl CommandFailure {
    /// What is done unless the process manager says otherwise: it is tried as often as the options say, and
    /// then the instance is put aside.
    pub fn default_action<P>(&self) -> CommandAction<P> {
        match self.attempts < self.attempts_max {
            true => CommandAction::Retry,
            false => CommandAction::DeadLetter,
        }
    }

    /// The aggregate's refusal, if it is one and of this type.
    pub fn rejection<E: std::error::Error + 'static>(&self) -> Option<&E> {
        self.error.rejection()?.downcast_ref()
    }
}
