//! An aggregate's state from its snapshot and its events.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;

use super::instance::panic_message;
use super::{Aggregate, UnlistedEvents};
use crate::app::LoadError;
use crate::store::{EventStore, LoadStream, LoadedStream, ReadStream, StreamHead, StreamPage};
use crate::{
    Codec, DecodeError, DecodeProblem, Decoded, EventId, GlobalPosition, RecordedEvent, Snapshot,
    StoreError, StreamId, StreamVersion, Upcasters,
};

/// What a state rests on: the end of its stream when it was read or written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Basis {
    pub(crate) version: StreamVersion,
    pub(crate) entry: Option<EventId>,
    pub(crate) position: GlobalPosition,
}

impl Basis {
    pub(crate) fn is_at(&self, head: &StreamHead) -> bool {
        (self.version, self.entry) == (head.version, head.entry)
    }
}

impl From<StreamHead> for Basis {
    fn from(head: StreamHead) -> Self {
        Self {
            version: head.version,
            entry: head.entry,
            position: head.position,
        }
    }
}

/// A state that was read from the store.
#[derive(Debug)]
pub(crate) struct Replayed<A> {
    pub(crate) state: A,
    pub(crate) basis: Basis,
    /// The version of the snapshot it began with.
    pub(crate) snapshot: StreamVersion,
}

impl<A: Aggregate> Replayed<A> {
    /// The state before the first event.
    fn nothing(id: &A::Id) -> Self {
        Self {
            state: A::new(id),
            basis: Basis::default(),
            snapshot: StreamVersion::NONE,
        }
    }
}

/// How far a load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Now,
    Version(StreamVersion),
    Time(OffsetDateTime),
}

impl Until {
    /// The highest version it can reach.
    fn version(self) -> StreamVersion {
        match self {
            Self::Version(until) => until,
            Self::Now | Self::Time(_) => StreamVersion::new(u64::MAX),
        }
    }

    fn admits(self, event: &RecordedEvent) -> bool {
        match self {
            Self::Now => true,
            Self::Version(until) => event.version <= until,
            Self::Time(until) => event.recorded_at <= until,
        }
    }
}

/// Reads the states and events of an aggregate.
#[derive(Clone)]
pub(crate) struct Loader {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) codec: Codec,
    pub(crate) upcasters: Arc<Upcasters>,
    pub(crate) page: u32,
    /// Whether somebody was told of a snapshot that cannot be used; there may be many more.
    pub(crate) warned: Arc<AtomicBool>,
}

impl Loader {
    /// The state of an aggregate. A stream that does not exist is the state before the first event.
    pub(crate) async fn load<A: Aggregate>(
        &self,
        id: &A::Id,
        stream: &StreamId,
        until: Until,
    ) -> Result<Replayed<A>, LoadError> {
        if let Some(schema) = snapshots_admitted::<A>(until) {
            let load = LoadStream::new(stream.clone(), schema)
                .until(until.version())
                .limit(self.page);
            return match self.store.load_stream(load).await {
                Ok(loaded) => self.begin(id, stream, loaded, until).await,
                Err(StoreError::StreamNotFound { .. }) => Ok(Replayed::nothing(id)),
                Err(error) => Err(error.into()),
            };
        }
        self.replay(id, stream, until).await
    }

    /// Goes on from the snapshot, or from the first event if there is none to go on from.
    async fn begin<A: Aggregate>(
        &self,
        id: &A::Id,
        stream: &StreamId,
        loaded: LoadedStream,
        until: Until,
    ) -> Result<Replayed<A>, LoadError> {
        let LoadedStream { snapshot, mut page } = loaded;
        let Some(snapshot) = snapshot else {
            return self.go_on(stream, Replayed::nothing(id), page, until).await;
        };
        let Some(state) = self.state_of(&snapshot, page.events.first()) else {
            return self.replay(id, stream, until).await;
        };
        let basis = basis_of(&page.events.remove(0));
        let replayed = Replayed {
            state,
            basis,
            snapshot: snapshot.version,
        };
        self.go_on(stream, replayed, page, until).await
    }

    /// The state of a snapshot, if it can be used. The event it follows from was read again: only if it
    /// still stands there is the state true.
    fn state_of<A: Aggregate>(
        &self,
        snapshot: &Snapshot,
        first: Option<&RecordedEvent>,
    ) -> Option<A> {
        let first = first?;
        if (first.version, first.event_id) != (snapshot.version, snapshot.entry) {
            self.warn(&snapshot.stream, &"another event stands where it was taken");
            return None;
        }
        let decoded = A::SNAPSHOTS?.decode(&snapshot.data, &self.codec);
        decoded
            .map_err(|error| self.warn(&snapshot.stream, &error))
            .ok()
    }

    /// The state that follows from all events.
    async fn replay<A: Aggregate>(
        &self,
        id: &A::Id,
        stream: &StreamId,
        until: Until,
    ) -> Result<Replayed<A>, LoadError> {
        match self.read(stream, StreamVersion::FIRST).await {
            Ok(page) => self.go_on(stream, Replayed::nothing(id), page, until).await,
            Err(StoreError::StreamNotFound { .. }) => Ok(Replayed::nothing(id)),
            Err(error) => Err(error.into()),
        }
    }

    fn warn(&self, stream: &StreamId, problem: &dyn Display) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(%stream, %problem, "a snapshot cannot be used; all events are replayed, here and in like cases");
        }
    }

    async fn go_on<A: Aggregate>(
        &self,
        stream: &StreamId,
        mut replayed: Replayed<A>,
        mut page: StreamPage,
        until: Until,
    ) -> Result<Replayed<A>, LoadError> {
        loop {
            for event in &page.events {
                if !until.admits(event) {
                    return Ok(replayed);
                }
                self.apply(&mut replayed.state, event)?;
                replayed.basis = basis_of(event);
            }
            let Some(next) = page.next else { break };
            page = self.read(stream, next).await?;
        }
        if until == Until::Now {
            replayed.basis = page.head.into();
        }
        Ok(replayed)
    }

    fn apply<A: Aggregate>(&self, state: &mut A, event: &RecordedEvent) -> Result<(), LoadError> {
        // A state that was left half changed is never looked at again.
        let apply = AssertUnwindSafe(|| {
            let decoded = self.decode::<A>(event)?;
            fold(state, &decoded);
            Ok::<_, DecodeError>(())
        });
        match std::panic::catch_unwind(apply) {
            Ok(applied) => Ok(applied?),
            Err(panic) => Err(LoadError::Panicked {
                message: panic_message(&*panic),
            }),
        }
    }

    /// What a stored event is to the aggregate, after the upcasters: mostly one event.
    pub(crate) fn decode<A: Aggregate>(
        &self,
        event: &RecordedEvent,
    ) -> Result<Vec<A::Event>, DecodeError> {
        match self.upcasters.decode(event, &self.codec)? {
            Decoded::One(event) => Ok(vec![event]),
            Decoded::Many(events) => Ok(events),
            Decoded::Unlisted if A::UNLISTED_EVENTS == UnlistedEvents::Ignore => Ok(Vec::new()),
            Decoded::Unlisted => {
                let category = A::CATEGORY;
                Err(DecodeError::at(event, DecodeProblem::Unlisted { category }))
            }
        }
    }

    async fn read(&self, stream: &StreamId, from: StreamVersion) -> Result<StreamPage, StoreError> {
        let read = ReadStream::forward(stream.clone())
            .from(from)
            .limit(self.page);
        self.store.read_stream(read).await
    }
}

/// The schema version of the snapshots that a load may begin with.
fn snapshots_admitted<A: Aggregate>(until: Until) -> Option<u32> {
    let snapshots = A::SNAPSHOTS?;
    (!matches!(until, Until::Time(_))).then(|| snapshots.schema_version())
}

fn basis_of(event: &RecordedEvent) -> Basis {
    Basis {
        version: event.version,
        entry: Some(event.event_id),
        position: event.position,
    }
}

/// Takes events into a state.
pub(crate) fn fold<A: Aggregate>(state: &mut A, events: &[A::Event]) {
    for event in events {
        Aggregate::apply(state, event);
    }
}
