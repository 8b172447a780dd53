//! What is asked of a store when something is read.

use time::OffsetDateTime;

use super::Deletion;
use crate::{EventId, GlobalPosition, RecordedEvent, Snapshot, StreamId, StreamVersion};

/// Which way to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// Towards newer events.
    Forward,
    /// Towards older events.
    Backward,
}

/// One page of a stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadStream {
    /// The stream.
    pub stream: StreamId,
    /// The first version wanted, itself included; going backward, everything above the end
    /// means the end.
    pub from: StreamVersion,
    /// Which way.
    pub direction: Direction,
    /// How many entries at the most; 0 counts as 1.
    pub limit: u32,
}

impl ReadStream {
    /// How many entries a page has unless told.
    pub const LIMIT_DEFAULT: u32 = 1_000;

    /// From the first event on.
    pub fn forward(stream: StreamId) -> Self {
        let (from, limit) = (StreamVersion::FIRST, Self::LIMIT_DEFAULT);
        Self {
            stream,
            from,
            direction: Direction::Forward,
            limit,
        }
    }

    /// From the last event back.
    pub fn backward(stream: StreamId) -> Self {
        let (from, limit) = (StreamVersion::new(u64::MAX), Self::LIMIT_DEFAULT);
        Self {
            stream,
            from,
            direction: Direction::Backward,
            limit,
        }
    }

    /// Begins at this version, itself included.
    #[must_use]
    pub fn from(mut self, version: impl Into<StreamVersion>) -> Self {
        self.from = version.into();
        self
    }

    /// At most this many entries.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A stream from its snapshot on.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LoadStream {
    /// The stream.
    pub stream: StreamId,
    /// The schema version that the snapshot must have.
    pub snapshot_schema: u32,
    /// The highest version that the snapshot may have.
    pub until: StreamVersion,
    /// How many entries at the most; 0 counts as 1.
    pub limit: u32,
}

impl LoadStream {
    /// From the latest snapshot of this schema version on.
    pub fn new(stream: StreamId, snapshot_schema: u32) -> Self {
        Self {
            stream,
            snapshot_schema,
            until: StreamVersion::new(u64::MAX),
            limit: ReadStream::LIMIT_DEFAULT,
        }
    }

    /// From a snapshot at this version or below.
    #[must_use]
    pub fn until(mut self, version: impl Into<StreamVersion>) -> Self {
        self.until = version.into();
        self
    }

    /// At most this many entries.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }
}

/// A stream from its snapshot on.
#[derive(Debug, Clone)]
pub struct LoadedStream {
    /// The snapshot, if there is one as asked for.
    pub snapshot: Option<Snapshot>,
    /// The events from the snapshot's version on, itself included, or from the first.
    pub page: StreamPage,
}

/// A page of a stream.
#[derive(Debug, Clone)]
pub struct StreamPage {
    /// The events, in the order asked for. Tombstones and links to erased events are left out.
    pub events: Vec<RecordedEvent>,
    /// Where the next page begins; `None` at the end.
    pub next: Option<StreamVersion>,
    /// The end of the stream when the page was read.
    pub head: StreamHead,
}

/// The end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StreamHead {
    /// The version; 0 for a stream that does not exist.
    pub version: StreamVersion,
    /// The id of the last entry.
    pub entry: Option<EventId>,
    /// The position of the last entry.
    pub position: GlobalPosition,
    /// Whether the stream is deleted.
    pub deleted: bool,
}

/// One page of the log of all events.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ReadAll {
    /// Where to begin, itself *not* included.
    pub after: GlobalPosition,
    /// Which way: forward from `after`, or backward from it.
    pub direction: Direction,
    /// How many positions are examined at the most; 0 counts as 1.
    pub limit: u32,
    /// Which events are wanted.
    pub filter: Filter,
}

impl ReadAll {
    /// How many positions a page examines unless told.
    pub const LIMIT_DEFAULT: u32 = 1_000;

    /// From the first event on.
    pub fn forward() -> Self {
        Self {
            after: GlobalPosition::ORIGIN,
            direction: Direction::Forward,
            limit: Self::LIMIT_DEFAULT,
            filter: Filter::default(),
        }
    }

    /// From the last event back.
    pub fn backward() -> Self {
        Self {
            after: GlobalPosition::END,
            direction: Direction::Backward,
            ..Self::forward()
        }
    }

    /// Begins after this position (going backward: before it).
    #[must_use]
    pub fn after(mut self, position: impl Into<GlobalPosition>) -> Self {
        self.after = position.into();
        self
    }

    /// Examines at most this many positions.
    #[must_use]
    pub fn limit(mut self, limit: u32) -> Self {
        self.limit = limit;
        self
    }

    /// Wants only these events.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }
}

/// Which events of the log are wanted: all that match one entry of every list that is not empty.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Names of event types.
    pub types: Vec<String>,
    /// Categories of streams.
    pub categories: Vec<String>,
    /// Streams.
    pub streams: Vec<StreamId>,
    /// Whether links are wanted too.
    pub links: bool,
}

impl Filter {
    /// Every event.
    pub fn all() -> Self {
        Self::default()
    }

    /// Events of these types.
    #[must_use]
    pub fn types<T: Into<String>>(mut self, types: impl IntoIterator<Item = T>) -> Self {
        self.types = types.into_iter().map(Into::into).collect();
        self
    }

    /// Events of streams of these categories.
    #[must_use]
    pub fn categories<T: Into<String>>(mut self, categories: impl IntoIterator<Item = T>) -> Self {
        self.categories = categories.into_iter().map(Into::into).collect();
        self
    }

    /// Events of these streams.
    #[must_use]
    pub fn streams(mut self, streams: impl IntoIterator<Item = StreamId>) -> Self {
        self.streams = streams.into_iter().collect();
        self
    }

    /// Links too.
    #[must_use]
    pub fn with_links(mut self) -> Self {
        self.links = true;
        self
    }

    /// Whether the event is wanted. A link counts by the stream that holds it and the type of its
    /// target.
    pub fn accepts(&self, event: &RecordedEvent) -> bool {
        let stream = event
            .link
            .as_ref()
            .map_or(&event.stream, |link| &link.stream);
        (self.links || event.link.is_none())
            && accepts(&self.types, |wanted| *wanted == event.event_type)
            && accepts(&self.categories, |wanted| wanted == stream.category())
            && accepts(&self.streams, |wanted| wanted == stream)
    }
}

fn accepts<T>(wanted: &[T], is: impl FnMut(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(is)
}

/// A page of the log.
#[derive(Debug, Clone)]
pub struct LogPage {
    /// The wanted events among the positions examined, in the order asked for.
    pub events: Vec<RecordedEvent>,
    /// The last position examined: the next page begins after it.
    ///
    /// Every position up to it is in this page, unwanted, or erased.
    pub examined: GlobalPosition,
    /// Whether there was nothing beyond when the page was read.
    pub at_end: bool,
}

/// What is known about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamInfo {
    /// Its name.
    pub stream: StreamId,
    /// Its version.
    pub version: StreamVersion,
    /// When its first entry was recorded.
    pub created_at: OffsetDateTime,
    /// When its last entry was recorded.
    pub changed_at: OffsetDateTime,
    /// Whether and how it is deleted.
    pub deleted: Option<Deletion>,
}

impl StreamInfo {
    /// What is known about a stream.
    pub fn new(
        stream: StreamId,
        version: StreamVersion,
        created_at: OffsetDateTime,
        changed_at: OffsetDateTime,
        deleted: Option<Deletion>,
    ) -> Self {
        Self {
            stream,
            version,
            created_at,
            changed_at,
            deleted,
        }
    }

    /// Its category.
    pub fn category(&self) -> &str {
        self.stream.category()
    }
}

/// Which streams are wanted, in which order, and which page of them.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamQuery {
    /// Only streams whose name contains this; letter case counts.
    pub search: Option<String>,
    /// Only streams of this category.
    pub category: Option<String>,
    /// What they are sorted by; equal ones by name, in the same direction.
    pub sort: StreamSort,
    /// Whether the largest comes first.
    pub descending: bool,
    /// Which page, from 1; 0 counts as 1.
    pub page: u32,
    /// How many streams a page has; 0 counts as 1.
    pub page_size: u32,
}

impl Default for StreamQuery {
    fn default() -> Self {
        Self {
            search: None,
            category: None,
            sort: StreamSort::Name,
            descending: false,
            page: 1,
            page_size: 50,
        }
    }
}

impl StreamQuery {
    /// All streams, by name, 50 a page.
    pub fn all() -> Self {
        Self::default()
    }

    /// Only streams whose name contains this.
    #[must_use]
    pub fn search(mut self, text: impl Into<String>) -> Self {
        self.search = Some(text.into());
        self
    }

    /// Only streams of this category.
    #[must_use]
    pub fn category(mut self, category: impl Into<String>) -> Self {
        self.category = Some(category.into());
        self
    }

    /// Sorted by this.
    #[must_use]
    pub fn sort(mut self, sort: StreamSort) -> Self {
        self.sort = sort;
        self
    }

    /// The largest first.
    #[must_use]
    pub fn descending(mut self) -> Self {
        self.descending = true;
        self
    }

    /// This page, from 1, of this size.
    #[must_use]
    pub fn page(mut self, page: u32, page_size: u32) -> Self {
        (self.page, self.page_size) = (page, page_size);
        self
    }

    /// How many streams come before the page.
    pub fn offset(&self) -> u64 {
        u64::from(self.page.max(1) - 1) * u64::from(self.page_size.max(1))
    }
}

/// What streams are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StreamSort {
    /// The name, by bytes.
    Name,
    /// When the first entry was recorded.
    Created,
    /// When the last entry was recorded.
    Changed,
    /// The version.
    Version,
}

/// A page of streams.
#[derive(Debug, Clone)]
pub struct StreamList {
    /// The streams. Soft-deleted ones are among them, erased ones not.
    pub streams: Vec<StreamInfo>,
    /// How many there are on all pages.
    pub total: u64,
}
