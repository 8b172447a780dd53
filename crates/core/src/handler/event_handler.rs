//! The traits of event handlers, and how each handles what is delivered.

use std::future::Future;

use super::{Decoder, EventContext, Failure, FailureAction, FailureCause};
use crate::store::Filter;
use crate::subscription::{Consumer, Incoming, SubscriptionOptions, Unit, UnitFailure, Written};
use crate::{BoxError, Event, EventSet, RecordedEvent};

/// Reacts to one type of event: sends a mail, calls another system.
///
/// A type that has one of these per event derives [`EventHandler`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not handle `{E}`",
    label = "missing `impl Handle<{E}> for {Self}`",
    note = "write `impl Handle<{E}> for {Self}`, or take `{E}` out of `events(..)`"
)]
pub trait Handle<E: Event>: Send + Sync + 'static {
    /// Reacts to the event. It may come more than once; its id and part stay the same.
    ///
    /// # Errors
    /// Whatever keeps it from being handled.
    fn handle(
        &self,
        event: &E,
        context: &EventContext,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// How the events of a subscription are ordered: those of one key are handled one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ordering {
    /// By stream.
    Stream,
    /// By this key.
    Key(String),
}

/// Reacts to events, at least once each.
///
/// Usually derived, with one [`Handle`] per event. Events of one ordering key are handled one after
/// the other, in order. The checkpoint follows after the handling, so that after a crash some events
/// come again.
pub trait EventHandler: Send + Sync + 'static {
    /// The name under which it is remembered how far it has come.
    const NAME: &'static str;

    /// The version of what it does, from 1. A higher one takes over from a lower one and begins anew;
    /// what the lower had handled is a replay then.
    const VERSION: u32 = 1;

    /// Whether it wants replays too. Unless it does, it is not shown what it has handled before a reset.
    const REPLAYS: bool = false;

    /// Whether events are ordered by stream, whatever [`ordering`](Self::ordering) says: then none is decoded only to
    /// find that out. The derive says so unless it is given an `ordering`.
    const ORDERED_BY_STREAM: bool = false;

    /// The events it wants.
    type Events: EventSet;

    /// Reacts to an event. It may come more than once; its id and part stay the same.
    ///
    /// Dropped when the partition is lost or the time limit has passed.
    ///
    /// # Errors
    /// Whatever keeps it from being handled.
    fn handle(
        &self,
        event: &Self::Events,
        context: &EventContext,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// How the subscription works.
    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::default()
    }

    /// What the event is ordered by. It must follow from the event alone.
    fn ordering(&self, event: &Self::Events, context: &EventContext) -> Ordering {
        let _ = (event, context);
        Ordering::Stream
    }

    /// What to do when an event could not be handled.
    fn on_failure(&self, failure: &Failure) -> FailureAction {
        failure.default_action()
    }
}

/// Reacts to many events at once, at least once each.
///
/// A batch that fails is split until the event that fails is found.
pub trait BatchHandler: Send + Sync + 'static {
    /// The name under which it is remembered how far it has come.
    const NAME: &'static str;

    /// As [`EventHandler::VERSION`].
    const VERSION: u32 = 1;

    /// As [`EventHandler::REPLAYS`].
    const REPLAYS: bool = false;

    /// As [`EventHandler::ORDERED_BY_STREAM`].
    const ORDERED_BY_STREAM: bool = false;

    /// The events it wants.
    type Events: EventSet;

    /// Reacts to events, all or none: at most [`batch_max`](SubscriptionOptions#structfield.batch_max).
    ///
    /// # Errors
    /// Whatever keeps one of them from being handled.
    fn handle_batch(
        &self,
        events: &[Handled<Self::Events>],
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// How the subscription works.
    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::default()
    }

    /// As [`EventHandler::ordering`].
    fn ordering(&self, event: &Self::Events, context: &EventContext) -> Ordering {
        let _ = (event, context);
        Ordering::Stream
    }

    /// What to do when an event could not be handled.
    fn on_failure(&self, failure: &Failure) -> FailureAction {
        failure.default_action()
    }
}

/// An event of a batch.
#[derive(Debug, Clone)]
pub struct Handled<E> {
    /// The event.
    pub event: E,
    /// What is known about it.
    pub context: EventContext,
}

/// Reacts to events as they are stored, of all types, or those it filters.
pub trait RawHandler: Send + Sync + 'static {
    /// The name under which it is remembered how far it has come.
    const NAME: &'static str;

    /// As [`EventHandler::VERSION`].
    const VERSION: u32 = 1;

    /// As [`EventHandler::REPLAYS`].
    const REPLAYS: bool = false;

    /// Which events it wants; all unless told.
    fn filter(&self) -> Filter {
        Filter::all()
    }

    /// Reacts to an event. It may come more than once; its id stays the same.
    ///
    /// # Errors
    /// Whatever keeps it from being handled.
    fn handle(
        &self,
        event: &RecordedEvent,
        context: &EventContext,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// How the subscription works.
    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::default()
    }

    /// What to do when an event could not be handled.
    fn on_failure(&self, failure: &Failure) -> FailureAction {
        failure.default_action()
    }
}

/// Handles events one by one.
pub(crate) struct Single<H> {
    pub(crate) handler: H,
    pub(crate) decoder: Decoder,
}

/// Handles events many at once.
pub(crate) struct Batched<H> {
    pub(crate) handler: H,
    pub(crate) decoder: Decoder,
}

/// Handles events as they are stored.
pub(crate) struct Raw<H> {
    pub(crate) handler: H,
}

/// The ordering key of a stored event: that of its first part.
pub(crate) fn key_of<E: EventSet>(
    decoder: &Decoder,
    incoming: &Incoming,
    ordering: impl FnOnce(&E, &EventContext) -> Ordering,
) -> Ordering {
    // What cannot be read is ordered by its stream, and fails when it is handled.
    let Ok(parts) = decoder.parts::<E>(&incoming.event) else {
        return Ordering::Stream;
    };
    match parts.first() {
        Some(part) => ordering(&part.event, &incoming.context(part.index, 1)),
        None => Ordering::Stream,
    }
}

impl<H: EventHandler> Consumer for Single<H> {
    fn unit(&self) -> Unit {
        Unit::One
    }

    fn wants_replays(&self) -> bool {
        H::REPLAYS
    }

    fn ordering(&self, incoming: &Incoming) -> Ordering {
        if H::ORDERED_BY_STREAM {
            return Ordering::Stream;
        }
        key_of(&self.decoder, incoming, |event, context| {
            self.handler.ordering(event, context)
        })
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        self.handler.on_failure(failure)
    }

    async fn handle(
        &self,
        unit: &[Incoming],
        attempt: u32,
        _: crate::store::Progress,
    ) -> Result<Written, UnitFailure> {
        for incoming in unit {
            let parts = self.decoder.parts::<H::Events>(&incoming.event)?;
            for part in parts {
                let context = incoming.context(part.index, attempt);
                self.handler
                    .handle(&part.event, &context)
                    .await
                    .map_err(FailureCause::Error)?;
            }
        }
        Ok(Written::Not)
    }
}

impl<H: BatchHandler> Consumer for Batched<H> {
    fn unit(&self) -> Unit {
        Unit::Many
    }

    fn wants_replays(&self) -> bool {
        H::REPLAYS
    }

    fn ordering(&self, incoming: &Incoming) -> Ordering {
        if H::ORDERED_BY_STREAM {
            return Ordering::Stream;
        }
        key_of(&self.decoder, incoming, |event, context| {
            self.handler.ordering(event, context)
        })
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        self.handler.on_failure(failure)
    }

    async fn handle(
        &self,
        unit: &[Incoming],
        attempt: u32,
        _: crate::store::Progress,
    ) -> Result<Written, UnitFailure> {
        let mut events = Vec::with_capacity(unit.len());
        for incoming in unit {
            let parts = self.decoder.parts::<H::Events>(&incoming.event)?;
            events.extend(parts.into_iter().map(|part| Handled {
                event: part.event,
                context: incoming.context(part.index, attempt),
            }));
        }
        if !events.is_empty() {
            self.handler
                .handle_batch(&events)
                .await
                .map_err(FailureCause::Error)?;
        }
        Ok(Written::Not)
    }
}

impl<H: RawHandler> Consumer for Raw<H> {
    fn unit(&self) -> Unit {
        Unit::One
    }

    fn wants_replays(&self) -> bool {
        H::REPLAYS
    }

    fn ordering(&self, _: &Incoming) -> Ordering {
        Ordering::Stream
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        self.handler.on_failure(failure)
    }

    async fn handle(
        &self,
        unit: &[Incoming],
        attempt: u32,
        _: crate::store::Progress,
    ) -> Result<Written, UnitFailure> {
        for incoming in unit {
            self.handler
                .handle(&incoming.event, &incoming.context(0, attempt))
                .await
                .map_err(FailureCause::Error)?;
        }
        Ok(Written::Not)
    }
}
