//! An aggregate's state, kept to save reading.

use bytes::Bytes;
use time::OffsetDateTime;

use crate::{EventId, StreamId, StreamVersion};

/// The state of an aggregate after one of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The aggregate's stream.
    pub stream: StreamId,
    /// The version of the stream that the state follows from.
    pub version: StreamVersion,
    /// The id of the event at that version.
    pub entry: EventId,
    /// The version of the state's shape.
    pub schema_version: u32,
    /// The state, as the store's codec writes it.
    pub data: Bytes,
    /// When it was taken.
    pub taken_at: OffsetDateTime,
}
