//! What streams and the log are made of.

use std::collections::HashSet;
use std::sync::Arc;

use time::OffsetDateTime;

use super::super::{Deletion, StoreError, StreamHead, StreamInfo};
use crate::{EventId, GlobalPosition, RecordedEvent, StreamId, StreamVersion};

/// One entry of a stream, and of the log.
#[derive(Debug)]
pub(super) enum Entry {
    Event(RecordedEvent),
    Link {
        place: Place,
        target: GlobalPosition,
    },
    Tombstone(Place),
    Erased {
        recorded_at: OffsetDateTime,
    },
}

/// Where an entry without an event stands.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) id: EventId,
    pub(super) stream: StreamId,
    pub(super) version: StreamVersion,
    pub(super) position: GlobalPosition,
    pub(super) recorded_at: OffsetDateTime,
}

impl Place {
    /// A place whose position and time the log still has to fill in.
    pub(super) fn new(stream: StreamId, version: StreamVersion) -> Self {
        Self {
            id: EventId::new(),
            stream,
            version,
            position: GlobalPosition::ORIGIN,
            recorded_at: OffsetDateTime::UNIX_EPOCH,
        }
    }
}

impl Entry {
    pub(super) fn id(&self) -> Option<EventId> {
        match self {
            Self::Event(event) => Some(event.event_id),
            Self::Link { place, .. } | Self::Tombstone(place) => Some(place.id),
            Self::Erased { .. } => None,
        }
    }

    pub(super) fn position(&self) -> GlobalPosition {
        match self {
            Self::Event(event) => event.position,
            Self::Link { place, .. } | Self::Tombstone(place) => place.position,
            Self::Erased { .. } => GlobalPosition::ORIGIN,
        }
    }

    pub(super) fn recorded_at(&self) -> OffsetDateTime {
        match self {
            Self::Event(event) => event.recorded_at,
            Self::Link { place, .. } | Self::Tombstone(place) => place.recorded_at,
            Self::Erased { recorded_at } => *recorded_at,
        }
    }

    /// Fills in what the log decides.
    pub(super) fn place(&mut self, position: GlobalPosition, recorded_at: OffsetDateTime) {
        match self {
            Self::Event(event) => (event.position, event.recorded_at) = (position, recorded_at),
            Self::Link { place, .. } | Self::Tombstone(place) => {
                (place.position, place.recorded_at) = (position, recorded_at);
            }
            Self::Erased { .. } => {}
        }
    }
}

/// A stream: the entry of version n is at index n - 1.
#[derive(Debug, Default)]
pub(super) struct StreamState {
    pub(super) entries: Vec<Arc<Entry>>,
    pub(super) deleted: Option<Deletion>,
    /// What the stream links to, if it holds links.
    pub(super) links: Option<HashSet<EventId>>,
    pub(super) created_at: Option<OffsetDateTime>,
    /// How many entries were erased from the front.
    pub(super) erased: u64,
}

impl StreamState {
    pub(super) fn version(&self) -> StreamVersion {
        StreamVersion::new(self.erased + self.entries.len() as u64)
    }

    pub(super) fn head(&self) -> StreamHead {
        let last = self.entries.last();
        StreamHead {
            version: self.version(),
            entry: last.and_then(|entry| entry.id()),
            position: last.map_or(GlobalPosition::ORIGIN, |entry| entry.position()),
            deleted: self.deleted.is_some(),
        }
    }

    /// Whether the stream has entries and may be read and written.
    pub(super) fn check_open(&self, stream: &StreamId) -> Result<(), StoreError> {
        let stream = stream.clone();
        match self.deleted {
            None => Ok(()),
            Some(Deletion::Soft) => Err(StoreError::StreamDeleted {
                stream,
                version: self.version(),
            }),
            Some(Deletion::Hard) => Err(StoreError::StreamErased { stream }),
        }
    }

    pub(super) fn extend(&mut self, entries: &[Arc<Entry>]) {
        if self.created_at.is_none() {
            self.created_at = entries.first().map(|entry| entry.recorded_at());
        }
        self.entries.extend_from_slice(entries);
    }

    pub(super) fn info(&self, stream: &StreamId) -> Option<StreamInfo> {
        let changed_at = self.entries.last()?.recorded_at();
        let created_at = self.created_at.unwrap_or(changed_at);
        let (stream, version) = (stream.clone(), self.version());
        Some(StreamInfo::new(
            stream,
            version,
            created_at,
            changed_at,
            self.deleted,
        ))
    }
}
