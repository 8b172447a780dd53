//! The store.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Arrivals, CommandKey, Deletion, LogPage, NewLinks, NewOutcome, ReadAll,
    ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
};
use ordain::{Codec, EventStore, ExpectedVersion, GlobalPosition, Snapshot, StoreError, StreamId};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use crate::lookout::Lookout;
use crate::options::SqliteOptions;
use crate::readers::Readers;
use crate::stats::{Counters, SqliteStats};
use crate::writer::{Answer, Loan, SubscriptionWork, Work, Writer, WriterHandle};
use crate::{read, url};

/// A store in an SQLite file. Cheap to clone; clones share the writer and the connections.
///
/// One task writes: what waits for it is carried out in one transaction and answered when that is on the
/// disk (`synchronous = FULL`). Other connections read, and neither side waits for the other. Several
/// processes of one machine may have the file open; their transactions take turns.
///
/// The store ends when it is [closed](EventStore::close) or its last clone is dropped. What was queued
/// is then still carried out, as long as the runtime that it was opened on lives.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    options: SqliteOptions,
    closed: AtomicBool,
    writer: WriterHandle,
    readers: Readers,
    counters: Arc<Counters>,
    arrivals: Arrivals,
    lookout: Lookout,
}

impl SqliteStore {
    /// Opens the store in a file, or by a `sqlite:` url, with default options otherwise.
    ///
    /// # Errors
    /// As [`SqliteOptions::open`].
    pub async fn open(location: impl AsRef<Path>) -> Result<Self, StoreError> {
        let location = location.as_ref();
        let options = match location.to_str() {
            Some(text) if text.starts_with(url::SCHEME) => Self::options().url(text),
            _ => Self::options().path(location),
        };
        options.open().await
    }

    /// How to open a store, to be filled in.
    pub fn options() -> SqliteOptions {
        SqliteOptions::new()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.options.path
    }

    /// What the writer has done since the store was opened.
    pub fn stats(&self) -> SqliteStats {
        self.inner.counters.read()
    }

    pub(crate) fn start(options: SqliteOptions, connection: SqliteConnection) -> Self {
        let counters = Arc::<Counters>::default();
        let arrivals = Arrivals::new();
        let writer = Writer::start(
            &options,
            connection,
            Arc::clone(&counters),
            arrivals.clone(),
        );
        let readers = Readers::new(&options);
        let lookout = Lookout::start(&options, arrivals.clone());
        Self {
            inner: Arc::new(Inner {
                options,
                closed: AtomicBool::new(false),
                writer,
                readers,
                counters,
                arrivals,
                lookout,
            }),
        }
    }

    fn inner(&self) -> Result<&Inner, StoreError> {
        if self.inner.closed.load(Ordering::Acquire) {
            Err(StoreError::Closed)
        } else {
            Ok(&self.inner)
        }
    }

    pub(crate) fn readers(&self) -> Result<&Readers, StoreError> {
        Ok(&self.inner()?.readers)
    }

    async fn write(&self, work: Work) -> Result<Answer, StoreError> {
        let writer = &self.inner()?.writer;
        if writer.would_deadlock() {
            work.break_chain();
            return Err(StoreError::WouldDeadlock);
        }
        writer.carry_out(work).await
    }

    /// Writes what the read side has to remember. Its tasks may serve several partitions, so one that has
    /// a transaction open need not be waiting for this.
    pub(crate) async fn change<T>(&self, work: SubscriptionWork) -> Result<T, StoreError>
    where
        T: TryFrom<Answer, Error = StoreError>,
    {
        let work = Work::Subscription(work);
        self.inner()?.writer.carry_out(work).await?.try_into()
    }

    pub(crate) async fn borrow(&self) -> Result<Loan, StoreError> {
        self.inner()?.writer.borrow().await
    }

    pub(crate) fn would_deadlock(&self) -> bool {
        self.inner.writer.would_deadlock()
    }

    pub(crate) fn announce(&self) {
        self.inner.arrivals.announce();
    }

    pub(crate) fn settings(&self) -> &SqliteOptions {
        &self.inner.options
    }

    pub(crate) fn now(&self) -> OffsetDateTime {
        self.inner.options.clock.now()
    }
}

impl fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStore")
            .field("path", &self.inner.options.path)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    fn codec(&self) -> &Codec {
        &self.inner.options.codec
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        Some(&self.inner.arrivals)
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let options = &self.inner()?.options;
        if let Err(refused) = options.limits.check(&append, &options.codec) {
            append.break_chain();
            return Err(refused);
        }
        self.write(Work::Append(append)).await?.try_into()
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        self.write(Work::Outcome(outcome)).await?.try_into()
    }

    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError> {
        read::find_repeat(self.readers()?, command).await
    }

    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        self.write(Work::ForgetOutcomes(before)).await?.try_into()
    }

    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        self.inner()?.options.limits.check_links(&links)?;
        self.write(Work::Link(links)).await?.try_into()
    }

    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        if deletion == Deletion::Hard && !self.inner()?.options.hard_deletes {
            return Err(StoreError::HardDeletesDisabled);
        }
        let stream = stream.clone();
        let work = Work::Delete {
            stream,
            expected,
            deletion,
        };
        self.write(work).await?.try_into()
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.write(Work::Undelete(stream.clone())).await?.try_into()
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        read::read_stream(self.readers()?, &read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<LogPage, StoreError> {
        read::read_all(self.readers()?, &read).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        read::stream_head(self.readers()?, stream).await
    }

    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        read::stream_info(self.readers()?, stream).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError> {
        read::list_streams(self.readers()?, &query).await
    }

    async fn head(&self) -> Result<GlobalPosition, StoreError> {
        read::head(self.readers()?).await
    }

    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError> {
        read::position_at(self.readers()?, time).await
    }

    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.write(Work::RecordSnapshot(snapshot)).await?.try_into()
    }

    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError> {
        read::read_snapshot(self.readers()?, stream).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.write(Work::DeleteSnapshot(stream.clone()))
            .await?
            .try_into()
    }

    async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.lookout.close().await;
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }
}
