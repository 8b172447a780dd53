//! What to do when an event cannot be handled.

use std::time::Duration;

use super::EventContext;
use crate::store::SubscriptionKey;
use crate::subscription::SubscriptionOptions;
use crate::{BoxError, DecodeError, RecordedEvent};

/// What to do when an event cannot be handled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureAction {
    /// Try again after the pause that the options say.
    Retry,
    /// Try again after this pause.
    RetryAfter(Duration),
    /// Go on as if it were handled.
    Skip,
    /// Put it aside with all later events of its ordering key, and go on with the others.
    DeadLetter,
    /// Stop the subscription until somebody resumes it.
    Stop,
}

/// An event that could not be handled.
#[derive(Debug)]
#[non_exhaustive]
pub struct Failure {
    /// The subscription.
    pub subscription: SubscriptionKey,
    /// The event.
    pub event: RecordedEvent,
    /// Its ordering key.
    pub key: String,
    /// How often it was tried, this time included.
    pub attempts: u32,
    /// How often the options would have it tried.
    pub attempts_max: u32,
    /// What went wrong.
    pub cause: FailureCause,
}

/// What went wrong with an event.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FailureCause {
    /// The handler said so.
    #[error("{0}")]
    Error(BoxError),
    /// The handler panicked.
    #[error("the handler panicked: {0}")]
    Panic(String),
    /// The handler took too long.
    #[error("the handler took longer than {0:?}")]
    TimedOut(Duration),
    /// The event cannot be read.
    #[error(transparent)]
    Undecodable(DecodeError),
}

impl Failure {
    /// The failure of an event that is handled outside a subscription, for tests: ordered by stream, and
    /// tried as often as the default options say.
    pub fn outside(context: &EventContext, cause: FailureCause) -> Self {
        Self {
            subscription: context.subscription().clone(),
            event: context.recorded().clone(),
            key: context.stream().to_string(),
            attempts: context.attempt(),
            attempts_max: SubscriptionOptions::default().attempts,
            cause,
        }
    }

    /// What is done unless the handler says otherwise: an event that cannot be read is dead-lettered at
    /// once, any other is tried as often as the options say first.
    pub fn default_action(&self) -> FailureAction {
        match self.cause {
            FailureCause::Undecodable(_) => FailureAction::DeadLetter,
            _ if self.attempts < self.attempts_max => FailureAction::Retry,
            _ => FailureAction::DeadLetter,
        }
    }

    /// The handler's error, if it is of this type.
    pub fn error<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match &self.cause {
            FailureCause::Error(error) => error.downcast_ref(),
            _ => None,
        }
    }
}
