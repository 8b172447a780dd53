//! The store.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Arrivals, CommandKey, Deletion, LoadStream, LoadedStream, LogPage, NewLinks,
    NewOutcome, ReadAll, ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage,
    StreamQuery,
};
use ordain::{
    Codec, EventId, EventStore, ExpectedVersion, GlobalPosition, Snapshot, StoreError, StreamId,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::appender::{Answer, Appender, AppenderHandle, Delete, Link, Tools, Work};
use crate::arrivals::{Announcer, Channel, Listener, Notifier};
use crate::connect::{Finder, Pool};
use crate::eraser::Eraser;
use crate::options::PostgresOptions;
use crate::payload::Payload;
use crate::read::{self, Reader};
use crate::schema::Facts;
use crate::session::{Readers, Session};
use crate::settings::Settings;
use crate::statements::Statements;
use crate::stats::{Counters, PostgresStats};
use crate::transaction::PostgresTransaction;

/// A store in a schema of a PostgreSQL database. Cheap to clone; clones share the appender and the pool.
///
/// One task appends: what waits for it is carried out by one call of a function of the server, in one
/// transaction, and answered when that is committed. Other connections read, and neither side waits for
/// the other. Any number of processes may have the store open; their batches take turns.
///
/// The store ends when it is [closed](EventStore::close) or its last clone is dropped. What was queued
/// is then still carried out, as long as the runtime that it was opened on lives.
#[derive(Clone)]
pub struct PostgresStore {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) settings: Arc<Settings>,
    closed: AtomicBool,
    pub(crate) pool: Pool,
    pub(crate) session: Session,
    pub(crate) statements: Arc<Statements>,
    pub(crate) appender: AppenderHandle,
    /// As this process last knew it.
    pub(crate) generation: Arc<AtomicI64>,
    eraser: Eraser,
    pub(crate) announcer: Announcer,
    /// `None` if other processes are not to be told.
    notifier: Option<Notifier>,
    /// `None` if the server can be reached only through a pooler.
    listener: Option<Listener>,
    pub(crate) reader: Reader,
    counters: Arc<Counters>,
    identity: Uuid,
}

impl PostgresStore {
    /// Opens the store that a url names, with default options otherwise.
    ///
    /// # Errors
    /// As [`PostgresOptions::connect`].
    pub async fn connect(url: &str) -> Result<Self, StoreError> {
        Self::options().url(url).connect().await
    }

    /// How to open a store, to be filled in.
    pub fn options() -> PostgresOptions {
        PostgresOptions::new()
    }

    /// Begins a transaction for SQL of the caller's and events beside it.
    ///
    /// # Errors
    /// If there is no connection.
    pub async fn begin(&self) -> Result<PostgresTransaction, StoreError> {
        PostgresTransaction::begin(self.shared()?).await
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        self.inner.settings.schema.as_str()
    }

    /// The store's own id, made with it, which tells it from all others.
    pub fn identity(&self) -> Uuid {
        self.inner.identity
    }

    /// What the appender has done since the store was opened.
    pub fn stats(&self) -> PostgresStats {
        self.inner.counters.read()
    }

    pub(crate) fn start(
        settings: Settings,
        pool: Pool,
        facts: &Facts,
        ear: Option<Finder>,
    ) -> Self {
        let settings = Arc::new(settings);
        let session = Session::new(&settings);
        let statements = Arc::new(Statements::new(&settings.schema));
        let counters = Arc::<Counters>::default();
        let reader = Reader {
            readers: Readers::new(pool.clone(), session.clone()),
            statements: Arc::clone(&statements),
            payload: settings.payload,
        };
        let generation = Arc::new(AtomicI64::new(facts.generation));
        let eraser = Eraser::start(reader.readers.clone(), Arc::clone(&statements));
        let announcer = Announcer::new(settings.payload != Payload::Jsonb);
        let channel = Channel::new(facts.identity);
        let notifier = settings.notify.then(|| {
            Notifier::start(
                announcer.clone(),
                channel.clone(),
                reader.readers.clone(),
                Arc::clone(&statements),
                settings.notify_interval,
            )
        });
        let listener =
            ear.map(|finder| Listener::start(announcer.arrivals.clone(), channel, finder));
        let tools = Tools {
            settings: Arc::clone(&settings),
            pool: pool.clone(),
            session: session.clone(),
            statements: Arc::clone(&statements),
            counters: Arc::clone(&counters),
            generation: Arc::clone(&generation),
            announcer: announcer.clone(),
            erasure_wanted: eraser.wanted(),
        };
        let appender = Appender::start(tools);
        Self {
            inner: Arc::new(Inner {
                settings,
                closed: AtomicBool::new(false),
                pool,
                session,
                statements,
                appender,
                generation,
                eraser,
                announcer,
                notifier,
                listener,
                reader,
                counters,
                identity: facts.identity,
            }),
        }
    }

    pub(crate) fn inner(&self) -> Result<&Inner, StoreError> {
        if self.inner.closed.load(Ordering::Acquire) {
            Err(StoreError::Closed)
        } else {
            Ok(&self.inner)
        }
    }

    pub(crate) fn shared(&self) -> Result<Arc<Inner>, StoreError> {
        self.inner()?;
        Ok(Arc::clone(&self.inner))
    }

    pub(crate) fn reader(&self) -> Result<&Reader, StoreError> {
        Ok(&self.inner()?.reader)
    }

    async fn write(&self, work: Work) -> Result<Answer, StoreError> {
        self.inner()?.appender.carry_out(work).await
    }
}

impl Inner {
    pub(crate) fn readers(&self) -> &Readers {
        &self.reader.readers
    }
}

impl fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStore")
            .field("schema", &self.schema())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    fn codec(&self) -> &Codec {
        &self.inner.settings.codec
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        Some(&self.inner.announcer.arrivals)
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let settings = &self.inner()?.settings;
        if let Err(refused) = settings.limits.check(&append, &settings.codec) {
            append.break_chain();
            return Err(refused);
        }
        self.write(Work::Append(append)).await?.try_into()
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        self.write(Work::Outcome(outcome)).await?.try_into()
    }

    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError> {
        read::find_repeat(self.reader()?, command).await
    }

    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        read::forget_outcomes(self.reader()?, before).await
    }

    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        self.inner()?.settings.limits.check_links(&links)?;
        self.write(Work::Link(Link::new(links))).await?.try_into()
    }

    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        if deletion == Deletion::Hard && !self.inner()?.settings.hard_deletes {
            return Err(StoreError::HardDeletesDisabled);
        }
        let delete = Delete {
            stream: stream.clone(),
            expected,
            deletion,
            tombstone: EventId::new(),
        };
        let deleted: StreamHead = self.write(Work::Delete(delete)).await?.try_into()?;
        if deletion == Deletion::Hard {
            let inner = self.inner()?;
            inner.eraser.finish(inner.settings.outage_timeout).await?;
        }
        Ok(deleted)
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.write(Work::Undelete(stream.clone())).await?.try_into()
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        read::read_stream(self.reader()?, &read).await
    }

    async fn load_stream(&self, load: LoadStream) -> Result<LoadedStream, StoreError> {
        read::load_stream(self.reader()?, &load).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<LogPage, StoreError> {
        read::read_all(self.reader()?, &read).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        read::stream_head(self.reader()?, stream).await
    }

    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        read::stream_info(self.reader()?, stream).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError> {
        read::list_streams(self.reader()?, &query).await
    }

    async fn head(&self) -> Result<GlobalPosition, StoreError> {
        read::head(self.reader()?).await
    }

    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError> {
        read::position_at(self.reader()?, time).await
    }

    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        read::record_snapshot(self.reader()?, &snapshot).await
    }

    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError> {
        read::read_snapshot(self.reader()?, stream).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        read::delete_snapshot(self.reader()?, stream).await
    }

    async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        self.inner.eraser.stop();
        self.inner.listener.iter().for_each(Listener::stop);
        self.inner.appender.close().await;
        self.inner.notifier.iter().for_each(Notifier::stop);
        self.inner.pool.close().await;
    }
}
