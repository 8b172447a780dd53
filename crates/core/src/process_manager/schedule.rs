//! Commands that are dispatched later: a process manager without events, which every app runs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use uuid::Uuid;

use super::reaction::{Due, IssuedCommand, Reaction};
use super::route::Route;
use super::stored::{Origin, StoredTimer, write};
use super::{ProcessContext, ProcessManager, TimerContext};
use crate::app::App;
use crate::store::{SubscriptionKey, SubscriptionStore, TimerRecord};
use crate::subscription::bucket_of;
use crate::{
    Codec, CodecError, CorrelationId, EventContext, EventSet, EventType, EventTypeVisitor,
    InvalidStreamId, RawEvent, StoreError, to_micros,
};

/// The name of the process manager behind [`App::schedule`](crate::App::schedule).
pub(crate) const SCHEDULE: &str = "$schedule";

/// The one timer of a scheduled command.
const TIMER: &str = "due";

/// Dispatches what was scheduled. It has no instances: every command is a timer.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Scheduled {}

/// No events.
#[derive(Debug)]
pub(crate) enum Never {}

impl ProcessManager for Scheduled {
    const NAME: &'static str = SCHEDULE;
    const STATELESS: bool = true;
    type Id = String;
    type Events = Never;
    type Timer = IssuedCommand;

    fn route(event: &Never, _: &EventContext) -> Route<String> {
        match *event {}
    }

    fn handle(&self, event: &Never, _: &ProcessContext) -> Reaction<Self> {
        match *event {}
    }

    fn apply(&mut self, event: &Never) {
        match *event {}
    }

    fn on_timer(&self, command: &IssuedCommand, _: &TimerContext) -> Reaction<Self> {
        Reaction::issue(command.clone())
    }
}

impl EventSet for Never {
    const TYPES: &'static [EventType] = &[];

    fn event_type(&self) -> &'static EventType {
        match *self {}
    }

    fn encode(&self, _: &Codec) -> Result<Bytes, CodecError> {
        match *self {}
    }

    fn decode(_: &RawEvent<'_>) -> Option<Result<Self, CodecError>> {
        None
    }

    fn visit<V: EventTypeVisitor>(_: &mut V) {}
}

/// Which scheduled command; its text form reads back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ScheduledId(Uuid);

impl fmt::Display for ScheduledId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for ScheduledId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Why a command cannot be scheduled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// The command cannot be written.
    #[error("the command cannot be written: {0}")]
    Unwritable(#[source] CodecError),
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
    /// The store cannot work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A command to be dispatched later: [`App::schedule`](crate::App::schedule). Nothing happens before it is
/// told when.
#[must_use = "say when: `at(..)` or `after(..)`"]
pub struct Schedule {
    app: App,
    command: Result<IssuedCommand, ScheduleError>,
    origin: Origin,
}

impl Schedule {
    pub(crate) fn new(app: App, command: Result<IssuedCommand, ScheduleError>) -> Self {
        Self {
            app,
            command,
            origin: Origin::default(),
        }
    }

    /// Who gives the command.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.origin.actor = Some(actor.into());
        self
    }

    /// On whose behalf, in a system with many tenants.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.origin.tenant = Some(tenant.into());
        self
    }

    /// The piece of business it belongs to; the command's own id unless told.
    pub fn correlation_id(mut self, id: impl Into<CorrelationId>) -> Self {
        self.origin.correlation_id = Some(id.into());
        self
    }

    /// Has it dispatched at this time, or at once if that has passed, by whichever process runs then. It takes
    /// effect once; one that fails again and again becomes a dead letter of `$schedule`.
    ///
    /// # Errors
    /// If the app does not know the aggregate, its id cannot be one, the command cannot be written, or the store
    /// cannot work.
    pub async fn at(self, time: OffsetDateTime) -> Result<ScheduledId, ScheduleError> {
        let payload = serde_json::to_value(self.command?);
        let payload =
            payload.map_err(|error| ScheduleError::Unwritable(CodecError::encode(error)))?;
        let stored = StoredTimer {
            payload,
            replay: false,
            origin: self.origin,
        };
        let id = ScheduledId(Uuid::now_v7());
        let instance = id.to_string();
        let timer = TimerRecord {
            bucket: bucket_of(&instance),
            instance,
            key: TIMER.to_owned(),
            generation: 1,
            due_at: to_micros(time.to_offset(time::UtcOffset::UTC)),
            data: write(&stored).map_err(ScheduleError::Unwritable)?,
        };
        self.app
            .begin_schedule()
            .await
            .map_err(StoreError::unavailable)?;
        let hub = self.app.hub();
        hub.store.set_timer(&key(), timer).await?;
        hub.scheduled.send_replace(());
        Ok(id)
    }

    /// As [`at`](Self::at), so long from now.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub async fn after(self, duration: Duration) -> Result<ScheduledId, ScheduleError> {
        let time = Due::After(duration).at(self.app.shared().clock.now());
        self.at(time).await
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schedule")
            .field("command", &self.command)
            .finish_non_exhaustive()
    }
}

/// Takes a scheduled command back; `false` if it is not waiting any more.
pub(crate) async fn cancel(
    store: &dyn SubscriptionStore,
    id: ScheduledId,
) -> Result<bool, StoreError> {
    store.cancel_timer(&key(), &id.to_string(), TIMER).await
}

fn key() -> SubscriptionKey {
    SubscriptionKey::new(SCHEDULE, Scheduled::VERSION)
}
