//! The store in memory: the reference for what all stores do.
//!
//! A stream is locked while it is written; the log is locked only for handing out positions and
//! taking in entries that are already built. So writers of different streams hardly meet.

mod delete;
mod entry;
mod log;
mod read;
mod read_models;
mod read_side;
mod work;
mod write;

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use dashmap::DashMap;
use time::OffsetDateTime;

use self::entry::{Entry, StreamState};
use self::log::Log;
pub use self::read_models::ReadModels;
use self::read_side::ReadSide;
pub use self::work::MemoryWork;
use super::{
    Append, Appended, Arrivals, CommandKey, Deletion, EventStore, Limits, LogPage, NewLinks,
    NewOutcome, ReadAll, ReadStream, Repeat, StoreError, StreamHead, StreamInfo, StreamList,
    StreamPage, StreamQuery,
};
use crate::clock::{Clock, SystemClock};
use crate::{Codec, CommandId, EventId, ExpectedVersion, GlobalPosition, Snapshot, StreamId};

/// A store that keeps everything in memory, for tests and trials. Cheap to clone; clones share
/// what is stored.
///
/// One [transaction](super::ProjectionStore::begin_work) is open at a time; who begins another waits for its
/// end.
#[derive(Clone)]
pub struct MemoryStore {
    inner: Arc<Inner>,
}

/// How a [`MemoryStore`] behaves.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MemoryOptions {
    /// How payloads become bytes; JSON unless told.
    pub codec: Codec,
    /// Whether streams can be erased; not unless told.
    pub hard_deletes: bool,
    /// The bounds of a request.
    pub limits: Limits,
    /// Where `recorded_at` comes from; the machine's clock unless told.
    pub clock: Arc<dyn Clock>,
}

impl Default for MemoryOptions {
    fn default() -> Self {
        Self {
            codec: Codec::Json,
            hard_deletes: false,
            limits: Limits::default(),
            clock: SystemClock::shared(),
        }
    }
}

impl MemoryOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes payloads this way.
    #[must_use]
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Allows streams to be erased.
    #[must_use]
    pub fn hard_deletes(mut self, enabled: bool) -> Self {
        self.hard_deletes = enabled;
        self
    }

    /// Bounds requests this way.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }
}

struct Inner {
    options: MemoryOptions,
    closed: AtomicBool,
    log: Log,
    streams: DashMap<StreamId, Arc<Mutex<StreamState>>>,
    /// `None` while the append that brings the id is under way.
    event_ids: DashMap<EventId, Option<Arc<Entry>>>,
    outcomes: DashMap<(StreamId, CommandId), Outcome>,
    snapshots: DashMap<StreamId, Snapshot>,
    /// Locked after streams, never before.
    read_side: Mutex<ReadSide>,
    read_models: ReadModels,
    /// Held by the one transaction that is open.
    turn: Arc<tokio::sync::Mutex<()>>,
}

struct Outcome {
    data: Bytes,
    recorded_at: OffsetDateTime,
}

impl MemoryStore {
    /// An empty store.
    #[expect(
        clippy::new_without_default,
        reason = "a new store is a new place, not a value"
    )]
    pub fn new() -> Self {
        Self::with_options(MemoryOptions::default())
    }

    /// An empty store that behaves like this.
    pub fn with_options(options: MemoryOptions) -> Self {
        Self {
            inner: Arc::new(Inner {
                options,
                closed: AtomicBool::new(false),
                log: Log::default(),
                streams: DashMap::new(),
                event_ids: DashMap::new(),
                outcomes: DashMap::new(),
                snapshots: DashMap::new(),
                read_side: Mutex::default(),
                read_models: ReadModels::default(),
                turn: Arc::default(),
            }),
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("head", &self.inner.log.head())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn open(&self) -> Result<&Self, StoreError> {
        if self.closed.load(Ordering::Acquire) {
            Err(StoreError::Closed)
        } else {
            Ok(self)
        }
    }

    fn find_stream(&self, stream: &StreamId) -> Option<Arc<Mutex<StreamState>>> {
        self.streams.get(stream).map(|state| Arc::clone(&state))
    }

    fn find_or_make_stream(&self, stream: &StreamId) -> Arc<Mutex<StreamState>> {
        if let Some(state) = self.find_stream(stream) {
            return state;
        }
        Arc::clone(&self.streams.entry(stream.clone()).or_default())
    }
}

/// A panic under the lock is a defect of this module; the state it left is still whole entries.
fn lock(state: &Mutex<StreamState>) -> MutexGuard<'_, StreamState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait]
impl EventStore for MemoryStore {
    fn codec(&self) -> &Codec {
        &self.inner.options.codec
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        Some(self.inner.log.arrivals())
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.inner.open()?.append(append, None)
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        self.inner.open()?.record_outcome(outcome)
    }

    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError> {
        Ok(self.inner.open()?.find_repeat(command))
    }

    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        Ok(self.inner.open()?.forget_outcomes(before))
    }

    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        self.inner.open()?.link(links)
    }

    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        self.inner.open()?.delete_stream(stream, expected, deletion)
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.inner.open()?.undelete_stream(stream)
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.inner.open()?.read_stream(&read)
    }

    async fn read_all(&self, read: ReadAll) -> Result<LogPage, StoreError> {
        Ok(self.inner.open()?.log.read(&read))
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        Ok(self.inner.open()?.stream_head(stream))
    }

    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        self.inner.open()?.stream_info(stream)
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError> {
        Ok(self.inner.open()?.list_streams(&query))
    }

    async fn head(&self) -> Result<GlobalPosition, StoreError> {
        Ok(self.inner.open()?.log.head())
    }

    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError> {
        Ok(self.inner.open()?.log.position_at(time))
    }

    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.open()?.record_snapshot(snapshot);
        Ok(())
    }

    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError> {
        let snapshot = self
            .inner
            .open()?
            .snapshots
            .get(stream)
            .map(|kept| kept.clone());
        snapshot.ok_or_else(|| StoreError::SnapshotNotFound {
            stream: stream.clone(),
        })
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        match self.inner.open()?.snapshots.remove(stream) {
            Some(_) => Ok(()),
            None => Err(StoreError::SnapshotNotFound {
                stream: stream.clone(),
            }),
        }
    }

    async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
    }
}
