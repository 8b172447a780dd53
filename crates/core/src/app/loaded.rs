//! Aggregates and their events as they are read.

use std::ops::Deref;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use time::OffsetDateTime;

use super::{App, LoadError};
use crate::aggregate::load::Until;
use crate::store::ReadStream;
use crate::{
    Aggregate, DecodeError, Decoded, EventSet, GlobalPosition, RecordedEvent, StoreError, StreamId,
    StreamVersion,
};

/// An aggregate's state, and what it rests on.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Loaded<A> {
    /// The state.
    pub state: A,
    /// The aggregate's stream.
    pub stream: StreamId,
    /// The version of the stream that the state follows from.
    pub version: StreamVersion,
    /// The position of the entry at that version.
    pub position: GlobalPosition,
}

impl<A> Deref for Loaded<A> {
    type Target = A;

    fn deref(&self) -> &A {
        &self.state
    }
}

/// A point in an aggregate's past.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// After the entry with this version.
    Version(StreamVersion),
    /// After the last event recorded at or before this time.
    Time(OffsetDateTime),
}

impl From<StreamVersion> for Moment {
    fn from(version: StreamVersion) -> Self {
        Self::Version(version)
    }
}

impl From<u64> for Moment {
    fn from(version: u64) -> Self {
        Self::Version(version.into())
    }
}

impl From<OffsetDateTime> for Moment {
    fn from(time: OffsetDateTime) -> Self {
        Self::Time(time)
    }
}

/// An aggregate's event, and how it is stored.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct HistoryEvent<E> {
    /// The event, brought up to date.
    pub event: E,
    /// The stored event; several events that an upcaster made of one share it.
    pub recorded: RecordedEvent,
}

impl App {
    /// The current state of an aggregate.
    ///
    /// It holds everything that was stored when the call was made, also by other processes.
    ///
    /// # Errors
    /// [`LoadError::NotFound`] if it has no events; an event that cannot be read; what the store says.
    pub async fn load<A: Aggregate>(&self, id: &A::Id) -> Result<Loaded<A>, LoadError> {
        let runtime = self.aggregate::<A>().ok_or(not_registered::<A>())?;
        let stream = stream_of::<A>(id)?;
        if let Some((state, basis)) = runtime.find(id).and_then(|live| live.idle_state()) {
            let head = self.shared().store.stream_head(&stream).await?;
            if basis.version > StreamVersion::NONE && basis.is_at(&head) && !head.deleted {
                let (version, position) = (basis.version, head.position);
                return Ok(Loaded {
                    state,
                    stream,
                    version,
                    position,
                });
            }
        }
        self.replay(id, stream, Until::Now).await
    }

    /// The state of an aggregate at a point in its past: a version, or a time.
    ///
    /// # Errors
    /// [`LoadError::NotFound`] if it had no events then; an event that cannot be read; what the
    /// store says.
    pub async fn load_at<A: Aggregate>(
        &self,
        id: &A::Id,
        moment: impl Into<Moment>,
    ) -> Result<Loaded<A>, LoadError> {
        self.aggregate::<A>().ok_or(not_registered::<A>())?;
        let until = match moment.into() {
            Moment::Version(version) => Until::Version(version),
            Moment::Time(time) => Until::Time(time),
        };
        self.replay(id, stream_of::<A>(id)?, until).await
    }

    async fn replay<A: Aggregate>(
        &self,
        id: &A::Id,
        stream: StreamId,
        until: Until,
    ) -> Result<Loaded<A>, LoadError> {
        let replayed = self.shared().loader.load::<A>(id, &stream, until).await?;
        let (version, position) = (replayed.basis.version, replayed.basis.position);
        if version == StreamVersion::NONE {
            return Err(LoadError::NotFound { stream });
        }
        Ok(Loaded {
            state: replayed.state,
            stream,
            version,
            position,
        })
    }

    /// All events of an aggregate, brought up to date, from the first on.
    ///
    /// # Errors
    /// As items: [`LoadError::NotFound`] if there are none, an event that cannot be read, what the
    /// store says.
    pub fn history<A: Aggregate>(
        &self,
        id: &A::Id,
    ) -> impl Stream<Item = Result<HistoryEvent<A::Event>, LoadError>> + Send + Unpin + use<A> {
        let app = self.clone();
        let stream = stream_of::<A>(id);
        let events = stream::once(async move {
            let read = ReadStream::forward(stream?).limit(app.shared().config.page);
            Ok::<_, LoadError>(app.recorded(read))
        });
        let app = self.clone();
        let decoded = events.try_flatten().map(move |recorded| {
            let recorded = recorded?;
            let events = app.shared().loader.decode::<A>(&recorded)?;
            let items = events.into_iter().map(move |event| {
                Ok(HistoryEvent {
                    event,
                    recorded: recorded.clone(),
                })
            });
            Ok::<_, LoadError>(stream::iter(items))
        });
        Box::pin(decoded.try_flatten())
    }

    fn recorded(
        &self,
        read: ReadStream,
    ) -> impl Stream<Item = Result<RecordedEvent, LoadError>> + Send + use<> {
        let app = self.clone();
        let pages = stream::try_unfold(Some(read), move |read| {
            let app = app.clone();
            async move {
                let Some(mut read) = read else {
                    return Ok::<_, LoadError>(None);
                };
                let page = app.shared().store.read_stream(read.clone()).await;
                let page = page.map_err(not_found)?;
                let next = page.next.map(|next| {
                    read.from = next;
                    read
                });
                Ok(Some((stream::iter(page.events.into_iter().map(Ok)), next)))
            }
        });
        pages.try_flatten()
    }

    /// Reads a stored event as one of a set, after this app's upcasters.
    ///
    /// # Errors
    /// An event that cannot be read.
    pub fn decode<S: EventSet>(&self, event: &RecordedEvent) -> Result<Decoded<S>, DecodeError> {
        let loader = &self.shared().loader;
        loader.upcasters.decode(event, &loader.codec)
    }
}

fn stream_of<A: Aggregate>(id: &A::Id) -> Result<StreamId, LoadError> {
    let id = id.to_string();
    StreamId::new(A::CATEGORY, &id).map_err(|source| LoadError::InvalidId {
        category: A::CATEGORY,
        id: id.chars().take(100).collect(),
        source,
    })
}

fn not_found(error: StoreError) -> LoadError {
    match error {
        StoreError::StreamNotFound { stream } => LoadError::NotFound { stream },
        error => error.into(),
    }
}

fn not_registered<A: Aggregate>() -> LoadError {
    LoadError::NotRegistered {
        category: A::CATEGORY,
    }
}
