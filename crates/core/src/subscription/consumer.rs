//! What a subscription's runner delivers to.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use super::hub::Hub;
use crate::app::WeakApp;
use crate::handler::{Delivery, EventContext, Failure, FailureAction, FailureCause, Ordering};
use crate::store::{Progress, SubscriptionChange, SubscriptionKey};
use crate::{DecodeError, DecodeProblem, RecordedEvent, StoreError};

/// Handles what a subscription delivers.
pub(crate) trait Consumer: Send + Sync + 'static {
    /// How many events it handles at once.
    fn unit(&self) -> Unit;

    /// Whether it wants events that were handled before.
    fn wants_replays(&self) -> bool;

    /// What an event is ordered by.
    fn ordering(&self, incoming: &Incoming) -> Ordering;

    /// What to do when an event could not be handled.
    fn on_failure(&self, failure: &Failure) -> FailureAction;

    /// Handles events, all or none, and makes the progress if it can do both at once. Dropped when the
    /// partition is lost or it takes too long.
    fn handle(
        &self,
        unit: &[Incoming],
        attempt: u32,
        progress: Progress,
    ) -> impl Future<Output = Result<Written, UnitFailure>> + Send;

    /// Empties what it has made, together with this change.
    fn reset(
        &self,
        hub: &Hub,
        change: SubscriptionChange,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        hub.store.change_subscriptions(vec![change])
    }

    /// Puts what it has made in the place of the older version's, together with these changes.
    fn take_over(
        &self,
        hub: &Hub,
        changes: Vec<SubscriptionChange>,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send {
        hub.store.change_subscriptions(changes)
    }
}

/// How many events a consumer handles at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    One,
    Many,
}

/// Whether a consumer has made the progress itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// The progress is still to be made.
    Not,
    /// It was made with what was handled.
    Together,
    /// It could not be made, and nothing was handled: the partition has another owner.
    Lost,
}

/// Why events could not be handled.
#[derive(Debug)]
pub(crate) enum UnitFailure {
    /// For a reason of their own.
    Event(FailureCause),
    /// The store cannot work at the moment; that is no attempt.
    Store(StoreError),
    /// One of them was written by a newer program, which should handle it.
    Newer(DecodeError),
}

impl From<FailureCause> for UnitFailure {
    fn from(cause: FailureCause) -> Self {
        Self::Event(cause)
    }
}

impl From<DecodeError> for UnitFailure {
    fn from(error: DecodeError) -> Self {
        match error.problem {
            DecodeProblem::Newer { .. } => Self::Newer(error),
            _ => Self::Event(FailureCause::Undecodable(error)),
        }
    }
}

/// An event on its way to a consumer.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) event: Arc<RecordedEvent>,
    /// The key that it is ordered by, once that is known.
    pub(crate) key: OnceLock<String>,
    pub(crate) delivery: Delivery,
    pub(crate) subscription: SubscriptionKey,
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
    pub(crate) app: Option<WeakApp>,
}

impl Incoming {
    /// An event that nobody is to handle, to ask what it is ordered by.
    pub(crate) fn outside(event: &RecordedEvent) -> Self {
        Self {
            event: Arc::new(event.clone()),
            key: OnceLock::new(),
            delivery: Delivery::Live,
            subscription: SubscriptionKey::new("", 0),
            partition: 0,
            epoch: 0,
            app: None,
        }
    }

    /// What a handler is told about a part of it.
    pub(crate) fn context(&self, part: u16, attempt: u32) -> EventContext {
        EventContext {
            event: Arc::clone(&self.event),
            part,
            delivery: self.delivery,
            subscription: self.subscription.clone(),
            partition: self.partition,
            epoch: self.epoch,
            attempt,
            app: self.app.clone(),
            dispatched: Arc::default(),
        }
    }
}
