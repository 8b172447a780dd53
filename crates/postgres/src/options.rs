//! How a store is opened.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use ordain::store::Limits;
use ordain::{BoxError, Codec, StoreError};
use sqlx::postgres::{PgConnectOptions, PgPool};

use crate::connect::{Hook, Source};
use crate::payload::Payload;
use crate::{PostgresAdmin, PostgresStore, url};

/// How a [`PostgresStore`] is opened. Begun by [`PostgresStore::options`].
///
/// Where the server is, is told once: by [`url`](Self::url), [`from_env`](Self::from_env),
/// [`servers`](Self::servers), [`connect_hook`](Self::connect_hook) or [`pool`](Self::pool). What cannot be
/// used is told when the store is opened. Neither that nor `Debug` tells a password.
#[derive(Clone)]
#[must_use = "options do nothing until the store is opened"]
pub struct PostgresOptions {
    pub(crate) source: Option<Source>,
    pub(crate) schema: String,
    pub(crate) payload: Payload,
    pub(crate) codec: Codec,
    pub(crate) hard_deletes: bool,
    pub(crate) limits: Limits,
    pub(crate) pool_size: Option<u32>,
    pub(crate) idle_min: Option<u32>,
    pub(crate) acquire_timeout: Option<Duration>,
    pub(crate) statement_timeout: Duration,
    pub(crate) order_lock_timeout: Duration,
    pub(crate) outage_timeout: Duration,
    pub(crate) migration_timeout: Duration,
    pub(crate) pooled: bool,
    pub(crate) migrate_on_connect: bool,
    pub(crate) allow_fsync_off: bool,
    pub(crate) allow_synchronous_commit_off: bool,
    pub(crate) batch_requests_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) queue_len: usize,
    pub(crate) streams_cached: usize,
    pub(crate) work_idle_timeout: Duration,
    pub(crate) notify: bool,
    pub(crate) notify_interval: Duration,
    pub(crate) listen_url: Option<String>,
    pub(crate) problem: Option<String>,
}

impl PostgresOptions {
    pub(crate) fn new() -> Self {
        Self {
            source: None,
            schema: "ordain".into(),
            payload: Payload::Json,
            codec: Codec::Json,
            hard_deletes: false,
            limits: Limits::default(),
            pool_size: None,
            idle_min: None,
            acquire_timeout: None,
            statement_timeout: Duration::from_secs(15),
            order_lock_timeout: Duration::from_secs(5),
            outage_timeout: Duration::from_secs(30),
            migration_timeout: Duration::from_secs(60),
            pooled: false,
            migrate_on_connect: false,
            allow_fsync_off: false,
            allow_synchronous_commit_off: false,
            batch_requests_max: 512,
            batch_bytes_max: 8 << 20,
            queue_len: 4_096,
            streams_cached: 100_000,
            work_idle_timeout: Duration::from_secs(5),
            notify: true,
            notify_interval: Duration::from_millis(10),
            listen_url: None,
            problem: None,
        }
    }

    /// The server, the database and options as
    /// `postgres://user:password@host:port/database?option=value&...`.
    ///
    /// Several hosts, `host1:5432,host2:5433`, are asked which of them is the primary, when the store is
    /// opened and when connections are lost.
    ///
    /// Options of the store are `schema`, `payload` (`json`, `jsonb` or `bytea`), `pool_size`, `idle_min`,
    /// `acquire_timeout_ms`, `statement_timeout_ms`, `order_lock_timeout_ms`, `outage_timeout_ms`, `migration_timeout_ms`,
    /// `batch_requests`, `batch_bytes`, `queue_len`, `streams_cached`, `work_idle_timeout_ms`, `notify_interval_ms`,
    /// `listen_url` (escaped), and, each `true` or `false`, `notify`, `hard_deletes`, `pooled`, `migrate_on_connect`, `allow_fsync_off` and `allow_synchronous_commit_off`.
    /// Options of the connection are `sslmode`, `sslrootcert`, `sslcert`, `sslkey`, `application_name`,
    /// `statement-cache-capacity`, `options`, `host`, `hostaddr`, `port`, `dbname`, `user` and `password`. An
    /// unknown option, or one that is named twice, is an error when the store is opened. `%` begins two
    /// hexadecimal digits of a byte.
    pub fn url(mut self, text: &str) -> Self {
        match url::parse(text) {
            Ok(url) => self.apply(url),
            Err(problem) => {
                self.refuse(problem);
                self
            }
        }
    }

    /// The [url](Self::url) in the environment's variable `DATABASE_URL`.
    pub fn from_env(mut self) -> Self {
        match std::env::var("DATABASE_URL") {
            Ok(text) => self.url(&text),
            Err(_) => {
                self.refuse("the environment has no `DATABASE_URL`".into());
                self
            }
        }
    }

    /// The servers, one of which is the primary. They are asked which one when the store is opened and
    /// when connections are lost.
    pub fn servers(self, servers: impl IntoIterator<Item = PgConnectOptions>) -> Self {
        self.source(Source::Servers(servers.into_iter().collect()))
    }

    /// A closure that says where the primary is, and how to log in.
    ///
    /// It is called when the store is opened, when connections are lost or refused, and when the pool
    /// grows, then at most once a second. So it may ask a directory, or bring a password that does not
    /// last. It has the time of the [acquire timeout](Self::acquire_timeout). If it fails, its error
    /// becomes part of the store's, without what looks like a password.
    pub fn connect_hook<F, R>(self, hook: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<PgConnectOptions, BoxError>> + Send + 'static,
    {
        self.source(Source::Hook(Hook::new(hook)))
    }

    /// A pool of the caller's, which may be shared with others and is not closed with the store.
    ///
    /// Each store keeps one connection for appending, so it needs at least two. Nothing is set on its
    /// sessions: statements time out on this side. The size and the timeout of acquiring are the pool's.
    pub fn pool(self, pool: PgPool) -> Self {
        self.source(Source::Pool(pool))
    }

    /// The schema that the store has in the database; `ordain` unless told.
    ///
    /// At most 63 bytes, without quotes, `$`, `\` and control characters; not `information_schema`, nor what
    /// begins with `pg_`.
    pub fn schema(mut self, name: impl Into<String>) -> Self {
        self.schema = name.into();
        self
    }

    /// The type of the payload column; `json` unless told. Recorded in a new store, and compared with what
    /// is recorded in an existing one. `json` and `jsonb` need [`Codec::Json`].
    pub fn payload(mut self, payload: Payload) -> Self {
        self.payload = payload;
        self
    }

    /// How payloads become bytes; JSON unless told. Recorded in a new store, and compared with what is
    /// recorded in an existing one.
    pub fn codec(mut self, codec: Codec) -> Self {
        self.codec = codec;
        self
    }

    /// Whether streams can be erased; not unless told.
    pub fn hard_deletes(mut self, enabled: bool) -> Self {
        self.hard_deletes = enabled;
        self
    }

    /// The bounds of a request.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// How many connections the store opens at the most, beside the one for appending; 10 unless told, at
    /// least 1.
    pub fn pool_size(mut self, connections: u32) -> Self {
        self.pool_size = Some(connections);
        self
    }

    /// How many connections are kept open when there is nothing to do; 0 unless told.
    pub fn idle_min(mut self, connections: u32) -> Self {
        self.idle_min = Some(connections);
        self
    }

    /// How long to wait for a connection, at opening and later; 10 seconds unless told.
    pub fn acquire_timeout(mut self, timeout: Duration) -> Self {
        self.acquire_timeout = Some(timeout);
        self
    }

    /// How long a statement may take; 15 seconds unless told. Migrations, and making and dropping a
    /// database, take as long as they take.
    ///
    /// The server keeps it (`statement_timeout`). In [pooled mode](Self::pooled) and with a
    /// [pool](Self::pool) of the caller's this side does, and drops the connection.
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// How long a request that writes is tried again while the database cannot carry it out, before it
    /// fails; 30 seconds unless told. A request's own deadline may end it earlier.
    pub fn outage_timeout(mut self, timeout: Duration) -> Self {
        self.outage_timeout = timeout;
        self
    }

    /// How long an append waits for others that write to the same store; 5 seconds unless told. Less than
    /// the [statement timeout](Self::statement_timeout).
    pub fn order_lock_timeout(mut self, timeout: Duration) -> Self {
        self.order_lock_timeout = timeout;
        self
    }

    /// How long making, migrating, resetting or dropping a store waits for somebody who does so at the
    /// same time, or uses its tables; 60 seconds unless told.
    pub fn migration_timeout(mut self, timeout: Duration) -> Self {
        self.migration_timeout = timeout;
        self
    }

    /// Whether connections go through a pooler that hands sessions from transaction to transaction, such as
    /// PgBouncer in transaction mode; not unless told.
    ///
    /// Nothing is then prepared or set on sessions.
    pub fn pooled(mut self, pooled: bool) -> Self {
        self.pooled = pooled;
        self
    }

    /// Whether opening makes a missing store, and brings an old one up to date; not unless told.
    pub fn migrate_on_connect(mut self, migrate: bool) -> Self {
        self.migrate_on_connect = migrate;
        self
    }

    /// Whether a server with `fsync = off` will do, which may lose or spoil the whole database in a crash;
    /// not unless told.
    pub fn allow_fsync_off(mut self, allow: bool) -> Self {
        self.allow_fsync_off = allow;
        self
    }

    /// Whether `synchronous_commit = off` will do, with which a crash loses appends that were reported as
    /// stored; not unless told.
    pub fn allow_synchronous_commit_off(mut self, allow: bool) -> Self {
        self.allow_synchronous_commit_off = allow;
        self
    }

    /// How many requests one transaction carries out at the most; 512 unless told, at least 1.
    pub fn batch_requests(mut self, max: usize) -> Self {
        self.batch_requests_max = max;
        self
    }

    /// How many bytes of payloads one transaction takes before it takes no further request; 8 MiB
    /// unless told.
    pub fn batch_bytes(mut self, max: usize) -> Self {
        self.batch_bytes_max = max;
        self
    }

    /// How many writing requests wait at the most; 4096 unless told, at least 1. Further ones wait for
    /// a place, in the order they came.
    pub fn queue_len(mut self, len: usize) -> Self {
        self.queue_len = len;
        self
    }

    /// How many streams' numbers and versions the store remembers at the most; 100,000 unless told.
    pub fn streams_cached(mut self, max: usize) -> Self {
        self.streams_cached = max;
        self
    }

    /// How long the transaction of a read model may wait for its program before the server ends it; 5 seconds
    /// unless told. Less than the time that a lease holds.
    pub fn work_idle_timeout(mut self, timeout: Duration) -> Self {
        self.work_idle_timeout = timeout;
        self
    }

    /// Whether other processes are told by `NOTIFY` that the log has grown; they are unless told otherwise.
    /// Without that they find out when they next ask.
    pub fn notify(mut self, notify: bool) -> Self {
        self.notify = notify;
        self
    }

    /// How often other processes are told while much is appended; every 10 milliseconds unless told.
    ///
    /// Where little is, they are told sooner: after a single append, a tenth of this passes until the next is told of.
    pub fn notify_interval(mut self, interval: Duration) -> Self {
        self.notify_interval = interval;
        self
    }

    /// Where the server itself is reached, if [connections](Self::pooled) go through a pooler: by this url the store
    /// listens to what other processes append. It has options of the connection only.
    ///
    /// Without it, a store behind a pooler listens to nothing, and finds out when it next asks.
    pub fn listen_url(mut self, text: &str) -> Self {
        self.listen_url = Some(text.into());
        self
    }

    /// Opens the store, in a tokio runtime, on which its appender then runs.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if the options, the server or the store in it cannot be used, with what
    /// to do; [`StoreError::Unavailable`] if the server cannot be reached within the
    /// [acquire timeout](Self::acquire_timeout).
    pub async fn connect(self) -> Result<PostgresStore, StoreError> {
        crate::open::open(self).await
    }

    /// What makes, migrates and removes the store that these options describe.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if the options cannot be used, with what to do.
    pub fn admin(self) -> Result<PostgresAdmin, StoreError> {
        PostgresAdmin::new(self)
    }

    fn source(mut self, source: Source) -> Self {
        if self.source.is_some() {
            self.refuse("the options name a server twice".into());
        }
        self.source = Some(source);
        self
    }

    fn apply(mut self, url: url::Url) -> Self {
        self = self.source(Source::Servers(url.servers));
        let own = url.own;
        let millis = |value: Option<u32>| value.map(|millis| Duration::from_millis(millis.into()));
        let size = |value: Option<u32>| value.map(|value| value as usize);
        put(&mut self.schema, own.schema);
        put(&mut self.payload, own.payload);
        put(&mut self.hard_deletes, own.hard_deletes);
        self.pool_size = own.pool_size.or(self.pool_size);
        self.idle_min = own.idle_min.or(self.idle_min);
        self.acquire_timeout = millis(own.acquire_timeout_ms).or(self.acquire_timeout);
        put(
            &mut self.statement_timeout,
            millis(own.statement_timeout_ms),
        );
        put(
            &mut self.order_lock_timeout,
            millis(own.order_lock_timeout_ms),
        );
        put(&mut self.outage_timeout, millis(own.outage_timeout_ms));
        put(
            &mut self.migration_timeout,
            millis(own.migration_timeout_ms),
        );
        put(&mut self.pooled, own.pooled);
        put(&mut self.migrate_on_connect, own.migrate_on_connect);
        put(&mut self.allow_fsync_off, own.allow_fsync_off);
        let allowed = own.allow_synchronous_commit_off;
        put(&mut self.allow_synchronous_commit_off, allowed);
        put(&mut self.batch_requests_max, size(own.batch_requests));
        put(&mut self.batch_bytes_max, size(own.batch_bytes));
        put(&mut self.queue_len, size(own.queue_len));
        put(&mut self.streams_cached, size(own.streams_cached));
        put(
            &mut self.work_idle_timeout,
            millis(own.work_idle_timeout_ms),
        );
        put(&mut self.notify, own.notify);
        put(&mut self.notify_interval, millis(own.notify_interval_ms));
        self.listen_url = own.listen_url.or(self.listen_url);
        self
    }

    fn refuse(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}

fn put<T>(option: &mut T, told: Option<T>) {
    if let Some(value) = told {
        *option = value;
    }
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions")
            .field("source", &self.source)
            .field("schema", &self.schema)
            .field("payload", &self.payload)
            .field("codec", &self.codec)
            .field("pooled", &self.pooled)
            .finish_non_exhaustive()
    }
}
