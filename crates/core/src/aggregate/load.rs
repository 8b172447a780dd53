//! An aggregate's state from its snapshot and its events.

use std::fmt::Display;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use time::OffsetDateTime;

use super::instance::panic_message;
use super::{Aggregate, UnlistedEvents};
use crate::app::LoadError;
use crate::store::{EventStore, ReadStream, StreamHead, StreamPage};
use crate::{
    Codec, DecodeError, DecodeProblem, Decoded, EventId, GlobalPosition, RecordedEvent, StoreError,
    StreamId, StreamVersion, Upcasters,
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

/// How far a load goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    Now,
    Version(StreamVersion),
    Time(OffsetDateTime),
}

impl Until {
    fn admits_snapshot(self, version: StreamVersion) -> bool {
        match self {
            Self::Now => true,
            Self::Version(until) => version <= until,
            Self::Time(_) => false,
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
        if let Some(begun) = self.begin_at_snapshot::<A>(stream, until).await? {
            return self.go_on(stream, begun.replayed, begun.page, until).await;
        }
        let replayed = Replayed {
            state: A::new(id),
            basis: Basis::default(),
            snapshot: StreamVersion::NONE,
        };
        match self.read(stream, StreamVersion::FIRST).await {
            Ok(page) => self.go_on(stream, replayed, page, until).await,
            Err(StoreError::StreamNotFound { .. }) => Ok(replayed),
            Err(error) => Err(error.into()),
        }
    }

    /// The state of the snapshot, if there is a usable one, and the page of events after it.
    async fn begin_at_snapshot<A: Aggregate>(
        &self,
        stream: &StreamId,
        until: Until,
    ) -> Result<Option<AtSnapshot<A>>, LoadError> {
        let Some(snapshots) = A::SNAPSHOTS else {
            return Ok(None);
        };
        let snapshot = match self.store.read_snapshot(stream).await {
            Ok(snapshot) => snapshot,
            Err(StoreError::SnapshotNotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let usable = snapshot.schema_version == snapshots.schema_version()
            && until.admits_snapshot(snapshot.version);
        if !usable {
            return Ok(None);
        }
        let state = match snapshots.decode(&snapshot.data, &self.codec) {
            Ok(state) => state,
            Err(error) => {
                self.warn(stream, &error);
                return Ok(None);
            }
        };
        // The event it follows from is read again: only if it still stands there is the state true.
        let mut page = match self.read(stream, snapshot.version).await {
            Ok(page) => page,
            Err(StoreError::StreamNotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(first) = page.events.first() else {
            return Ok(None);
        };
        if (first.version, first.event_id) != (snapshot.version, snapshot.entry) {
            self.warn(stream, &"another event stands where it was taken");
            return Ok(None);
        }
        let basis = basis_of(first);
        page.events.remove(0);
        let replayed = Replayed {
            state,
            basis,
            snapshot: snapshot.version,
        };
        Ok(Some(AtSnapshot { replayed, page }))
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

struct AtSnapshot<A> {
    replayed: Replayed<A>,
    page: StreamPage,
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
