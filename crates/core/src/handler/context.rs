//! What a handler knows about the event before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use uuid::Uuid;

use crate::app::WeakApp;
use crate::dispatch::{Dispatch, DispatchError};
use crate::store::SubscriptionKey;
use crate::{
    Aggregate, CausationId, CommandId, CommandOf, CorrelationId, EventId, GlobalPosition, Metadata,
    RecordedEvent, StreamId, StreamVersion,
};

/// Whether an event was handled before under this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It lies within what this name had handled before it was reset, or before this version of it.
    ///
    /// An event that comes again because its handling was interrupted is not a replay.
    Replay,
    /// Everything else, also while catching up.
    Live,
}

/// What a handler knows about the event before it.
#[derive(Debug, Clone)]
pub struct EventContext {
    pub(crate) event: Arc<RecordedEvent>,
    pub(crate) part: u16,
    pub(crate) delivery: Delivery,
    pub(crate) subscription: SubscriptionKey,
    pub(crate) partition: u32,
    pub(crate) epoch: u64,
    pub(crate) attempt: u32,
    pub(crate) app: Option<WeakApp>,
    /// How many commands were dispatched because of the event.
    pub(crate) dispatched: Arc<AtomicU32>,
}

impl EventContext {
    /// The context of an event that is handled outside a subscription, for tests: live, first attempt.
    pub fn outside(event: RecordedEvent) -> Self {
        Self::of(Arc::new(event))
    }

    pub(crate) fn of(event: Arc<RecordedEvent>) -> Self {
        Self {
            event,
            part: 0,
            delivery: Delivery::Live,
            subscription: SubscriptionKey::new("", 0),
            partition: 0,
            epoch: 0,
            attempt: 1,
            app: None,
            dispatched: Arc::default(),
        }
    }

    /// The same, handled as this kind of delivery.
    #[must_use]
    pub fn delivered(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Dispatches a command because of the event.
    ///
    /// It belongs to the event's piece of business, and names the event as its cause. Its id follows from the
    /// subscription, the event and which dispatch of this context it is: when the event is handled again, a
    /// command that was carried out before is not carried out again. All of this can be said otherwise.
    ///
    /// Within the command's own transaction, or in a test without an app, it fails with
    /// [`ShuttingDown`](crate::DispatchError::ShuttingDown).
    pub fn dispatch<A: Aggregate, C: CommandOf<A>>(&self, command: C) -> Dispatch<A> {
        let Some(app) = self.app.as_ref().and_then(WeakApp::upgrade) else {
            return Dispatch::refused(DispatchError::ShuttingDown);
        };
        let dispatch = app
            .dispatch(command)
            .command_id(self.next_command_id())
            .causation_id(self.event.event_id);
        match self.event.correlation_id {
            Some(id) => dispatch.correlation_id(id),
            None => dispatch,
        }
    }

    fn next_command_id(&self) -> CommandId {
        /// Keeps these ids apart from others.
        const NAMESPACE: Uuid = Uuid::from_u128(0x6f72_6461_696e_4861_8e64_6c65_7273_0001);
        let number = self.dispatched.fetch_add(1, Ordering::Relaxed);
        let (name, event) = (&self.subscription.name, self.event.event_id);
        let key = format!("{name}/{event}/{}/{number}", self.part);
        CommandId::from_key(NAMESPACE, &key)
    }

    /// The same, as this attempt.
    #[must_use]
    pub fn attempted(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// The same, delivered by this subscription.
    #[must_use]
    pub fn delivered_by(mut self, subscription: SubscriptionKey) -> Self {
        self.subscription = subscription;
        self
    }

    /// The event as it is stored.
    pub fn recorded(&self) -> &RecordedEvent {
        &self.event
    }

    /// Its id. With [`part`](Self::part), what makes handling it twice recognisable.
    pub fn event_id(&self) -> EventId {
        self.event.event_id
    }

    /// Which part of the stored event it is, from 0: upcasters may make several of one.
    pub fn part(&self) -> u16 {
        self.part
    }

    /// The stream it was appended to.
    pub fn stream(&self) -> &StreamId {
        &self.event.stream
    }

    /// The id of the aggregate, as text.
    pub fn id(&self) -> &str {
        self.event.stream.id()
    }

    /// Its place in its stream.
    pub fn version(&self) -> StreamVersion {
        self.event.version
    }

    /// Its place in the log; within the command's own transaction it is not known, and 0.
    pub fn position(&self) -> GlobalPosition {
        self.event.position
    }

    /// When it was recorded; within the command's own transaction that is not known yet, and this is about then, by
    /// the app's clock.
    pub fn recorded_at(&self) -> time::OffsetDateTime {
        self.event.recorded_at
    }

    /// What is known about it.
    pub fn metadata(&self) -> &Metadata {
        &self.event.metadata
    }

    /// The piece of business it belongs to.
    pub fn correlation_id(&self) -> Option<CorrelationId> {
        self.event.correlation_id
    }

    /// What caused it.
    pub fn causation_id(&self) -> Option<CausationId> {
        self.event.causation_id
    }

    /// Whether it was handled before under this name.
    pub fn delivery(&self) -> Delivery {
        self.delivery
    }

    /// Whether it was handled before under this name.
    pub fn is_replay(&self) -> bool {
        self.delivery == Delivery::Replay
    }

    /// The subscription that delivers it.
    pub fn subscription(&self) -> &SubscriptionKey {
        &self.subscription
    }

    /// The partition that delivers it.
    pub fn partition(&self) -> u32 {
        self.partition
    }

    /// The fencing number: of two owners of the partition, the later has the higher one.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Which attempt this is, from 1; it begins anew when another process takes over.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}
