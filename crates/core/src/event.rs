//! Events: what the user declares, what is appended, what is read back.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use time::OffsetDateTime;

use crate::{
    Aggregate, CausationId, Codec, CodecError, CorrelationId, EventId, GlobalPosition, Metadata,
    StreamId, StreamVersion,
};

/// Something that happened: a type of event, with the name it is stored under.
///
/// Usually derived. The stored name never follows a Rust path, so types may move freely.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "derive it: `#[derive(Serialize, Deserialize, Event)]`"
)]
pub trait Event: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// The name it is stored under.
    const NAME: &'static str;

    /// The version of its stored shape, from 1.
    const VERSION: u32 = 1;

    /// The oldest shape that was ever stored under this name.
    ///
    /// From every version between this and [`VERSION`](Self::VERSION) an upcaster has to lead on.
    const FIRST_VERSION: u32 = 1;

    /// Names it was stored under in the past.
    const ALIASES: &'static [&'static str] = &[];
}

/// An event that the aggregate `A` lists; implemented by `derive(Aggregate)`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event of `{A}`",
    label = "not an event of `{A}`",
    note = "list `{Self}` in `#[aggregate(events(..))]` of `{A}`"
)]
pub trait EventOf<A: Aggregate>: Event + Into<A::Event> {}

/// What a store keeps of an event's type: names and versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventType {
    /// The name it is stored under.
    pub name: &'static str,
    /// The version of its stored shape.
    pub version: u32,
    /// The oldest shape that was ever stored under this name.
    pub first_version: u32,
    /// Names it was stored under in the past.
    pub aliases: &'static [&'static str],
}

impl EventType {
    /// The type of `E`.
    pub const fn of<E: Event>() -> Self {
        Self {
            name: E::NAME,
            version: E::VERSION,
            first_version: E::FIRST_VERSION,
            aliases: E::ALIASES,
        }
    }

    /// Whether events stored under `name` are of this type.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
    }
}

/// A closed choice of event types: an aggregate's events, or those a handler asks for.
///
/// Derived for the enum behind `derive(Aggregate)`, or for an enum of the user's by
/// `derive(EventSet)`.
pub trait EventSet: Sized + Send + Sync + 'static {
    /// The types.
    const TYPES: &'static [EventType];

    /// The type of this event, one of [`TYPES`](Self::TYPES).
    fn event_type(&self) -> &'static EventType;

    /// Writes the payload.
    ///
    /// # Errors
    /// What the codec cannot express.
    fn encode(&self, codec: &Codec) -> Result<Bytes, CodecError>;

    /// Reads an event; `None` if its type is not of this set.
    ///
    /// The raw event has passed all upcasters.
    fn decode(raw: &RawEvent<'_>) -> Option<Result<Self, CodecError>>;

    /// Shows every type of the set, with its payload's Rust type, to `visitor`.
    fn visit<V: EventTypeVisitor>(visitor: &mut V);
}

/// Sees the types of an [`EventSet`], one after the other.
pub trait EventTypeVisitor {
    /// Sees one type, whose payload is read as `P`.
    fn event_type<P: DeserializeOwned>(&mut self, event_type: &'static EventType);
}

/// An event's stored name, schema version and payload, on the way to its Rust type.
#[derive(Debug, Clone, Copy)]
pub struct RawEvent<'a> {
    /// The name of the type.
    pub event_type: &'a str,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// The payload.
    pub data: RawData<'a>,
}

/// A payload, as stored or as an upcaster left it.
#[derive(Debug, Clone, Copy)]
pub enum RawData<'a> {
    /// As stored.
    Stored(&'a [u8], &'a Codec),
    /// As an upcaster left it.
    Json(&'a Value),
}

impl RawEvent<'_> {
    /// Reads the payload.
    ///
    /// # Errors
    /// What is malformed, or of another shape than `T`.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, CodecError> {
        match self.data {
            RawData::Stored(bytes, codec) => codec.decode(bytes),
            RawData::Json(value) => T::deserialize(value).map_err(CodecError::decode),
        }
    }
}

/// An event that is not yet appended.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// Its id; no two events of a store have the same.
    pub event_id: EventId,
    /// The name of its type.
    pub event_type: Cow<'static, str>,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// The payload, as the store's codec writes it.
    pub data: Bytes,
    /// What is known about it; shared by the events of a command.
    pub metadata: Arc<Metadata>,
    /// The piece of business it belongs to.
    pub correlation_id: Option<CorrelationId>,
    /// What caused it.
    pub causation_id: Option<CausationId>,
}

impl NewEvent {
    /// An event with a fresh id and no metadata.
    pub fn new(event_type: impl Into<Cow<'static, str>>, data: impl Into<Bytes>) -> Self {
        Self {
            event_id: EventId::new(),
            event_type: event_type.into(),
            schema_version: 1,
            data: data.into(),
            metadata: Arc::default(),
            correlation_id: None,
            causation_id: None,
        }
    }

    /// The event of a set, with a fresh id and no metadata.
    ///
    /// # Errors
    /// What the codec cannot express.
    pub fn encode(event: &impl EventSet, codec: &Codec) -> Result<Self, CodecError> {
        let event_type = event.event_type();
        let mut encoded = Self::new(event_type.name, event.encode(codec)?);
        encoded.schema_version = event_type.version;
        Ok(encoded)
    }
}

/// An event as it is stored.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct RecordedEvent {
    /// Its place in the log.
    pub position: GlobalPosition,
    /// The stream it was appended to.
    pub stream: StreamId,
    /// Its place in that stream.
    pub version: StreamVersion,
    /// Its id.
    pub event_id: EventId,
    /// The name of its type.
    pub event_type: Cow<'static, str>,
    /// The version of the payload's shape.
    pub schema_version: u32,
    /// The payload, as the store's codec wrote it.
    pub data: Bytes,
    /// What is known about it.
    pub metadata: Arc<Metadata>,
    /// The piece of business it belongs to.
    pub correlation_id: Option<CorrelationId>,
    /// What caused it.
    pub causation_id: Option<CausationId>,
    /// When it was recorded, to the microsecond, by the store's clock; never runs backwards.
    pub recorded_at: OffsetDateTime,
    /// The link through which it was read, if it was not read from its own place.
    pub link: Option<LinkPlace>,
}

/// Where a link to an event stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPlace {
    /// The stream that holds the link.
    pub stream: StreamId,
    /// The link's place in that stream.
    pub version: StreamVersion,
    /// The link's place in the log.
    pub position: GlobalPosition,
}

impl RecordedEvent {
    /// A new event, stored at this place.
    pub fn record(
        event: NewEvent,
        stream: StreamId,
        version: StreamVersion,
        position: GlobalPosition,
        recorded_at: OffsetDateTime,
    ) -> Self {
        Self {
            position,
            stream,
            version,
            event_id: event.event_id,
            event_type: event.event_type,
            schema_version: event.schema_version,
            data: event.data,
            metadata: event.metadata,
            correlation_id: event.correlation_id,
            causation_id: event.causation_id,
            recorded_at,
            link: None,
        }
    }

    /// The version in the stream it was read from: the link's, where there is one.
    pub fn read_version(&self) -> StreamVersion {
        self.link.as_ref().map_or(self.version, |link| link.version)
    }

    /// The position in the log it was read from: the link's, where there is one.
    pub fn read_position(&self) -> GlobalPosition {
        self.link
            .as_ref()
            .map_or(self.position, |link| link.position)
    }

    /// The event as it is stored, for [`EventSet::decode`].
    pub fn raw<'a>(&'a self, codec: &'a Codec) -> RawEvent<'a> {
        RawEvent {
            event_type: &self.event_type,
            schema_version: self.schema_version,
            data: RawData::Stored(&self.data, codec),
        }
    }
}
