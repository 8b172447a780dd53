//! Recorded events without a store.

use std::collections::HashMap;

use ordain::{
    CausationId, Codec, CorrelationId, EventSet, GlobalPosition, Metadata, NewEvent, RecordedEvent,
    StreamId, StreamVersion,
};
use time::OffsetDateTime;
use time::macros::datetime;

/// Makes recorded events: each comes after the one before, in its stream and in the log.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) stream: StreamId,
    pub(crate) metadata: Metadata,
    pub(crate) correlation_id: Option<CorrelationId>,
    pub(crate) causation_id: Option<CausationId>,
    pub(crate) recorded_at: OffsetDateTime,
    versions: HashMap<StreamId, StreamVersion>,
    position: GlobalPosition,
}

impl Recorder {
    /// Nothing is recorded yet.
    pub(crate) fn new() -> Self {
        Self {
            stream: stream_id("test-1"),
            metadata: Metadata::new(),
            correlation_id: None,
            causation_id: None,
            recorded_at: datetime!(2030-01-01 12:00 UTC),
            versions: HashMap::new(),
            position: GlobalPosition::ORIGIN,
        }
    }

    /// The next event of the stream has this version.
    pub(crate) fn version(&mut self, version: StreamVersion) {
        let before = StreamVersion::new(version.get().saturating_sub(1));
        self.versions.insert(self.stream.clone(), before);
    }

    /// The next event has this position.
    pub(crate) fn position(&mut self, position: GlobalPosition) {
        self.position = GlobalPosition::new(position.get().saturating_sub(1));
    }

    /// The event as it would be stored.
    #[track_caller]
    pub(crate) fn record(&mut self, event: &impl EventSet, codec: &Codec) -> RecordedEvent {
        let name = event.event_type().name;
        let mut new = match NewEvent::encode(event, codec) {
            Ok(new) => new,
            Err(error) => panic!("the event `{name}` cannot be stored: {error}"),
        };
        new.metadata = self.metadata.clone().into();
        (new.correlation_id, new.causation_id) = (self.correlation_id, self.causation_id);
        let version = self.versions.entry(self.stream.clone()).or_default();
        *version = version.next();
        self.position = self.position.next();
        RecordedEvent::record(
            new,
            self.stream.clone(),
            *version,
            self.position,
            self.recorded_at,
        )
    }
}

/// The stream of this name.
#[track_caller]
pub(crate) fn stream_id(name: &str) -> StreamId {
    match name.parse() {
        Ok(stream) => stream,
        Err(error) => panic!("`{name}` is not a stream: {error}"),
    }
}

/// What may be said of the events that follow, by way of a recorder.
macro_rules! event_setters {
    ($($recorder:ident).+) => {
        /// The stream of the events that follow, as `category-id`; `test-1` unless told.
        ///
        /// # Panics
        /// If it is not the name of a stream.
        #[track_caller]
        pub fn stream(mut self, stream: &str) -> Self {
            self.$($recorder).+.stream = $crate::recorder::stream_id(stream);
            self
        }

        /// The version of the next event of the stream; those after it count on.
        pub fn version(mut self, version: impl Into<ordain::StreamVersion>) -> Self {
            self.$($recorder).+.version(version.into());
            self
        }

        /// The position of the next event; those after it count on.
        pub fn position(mut self, position: impl Into<ordain::GlobalPosition>) -> Self {
            self.$($recorder).+.position(position.into());
            self
        }

        /// When the events that follow were recorded; noon of 1 January 2030, UTC, unless told.
        pub fn recorded_at(mut self, time: time::OffsetDateTime) -> Self {
            self.$($recorder).+.recorded_at = time;
            self
        }

        /// Who caused the events that follow.
        pub fn actor(mut self, actor: impl Into<String>) -> Self {
            self.$($recorder).+.metadata.actor = Some(actor.into());
            self
        }

        /// On whose behalf the events that follow were caused.
        pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
            self.$($recorder).+.metadata.tenant = Some(tenant.into());
            self
        }

        /// A custom entry of the metadata of the events that follow.
        pub fn metadata(
            mut self,
            key: impl Into<String>,
            value: impl Into<serde_json::Value>,
        ) -> Self {
            self.$($recorder).+.metadata.custom.insert(key.into(), value.into());
            self
        }

        /// The piece of business that the events that follow belong to.
        pub fn correlation_id(mut self, id: ordain::CorrelationId) -> Self {
            self.$($recorder).+.correlation_id = Some(id);
            self
        }

        /// What caused the events that follow.
        pub fn causation_id(mut self, id: ordain::CausationId) -> Self {
            self.$($recorder).+.causation_id = Some(id);
            self
        }
    };
}

pub(crate) use event_setters;
