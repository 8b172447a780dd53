//! How a store is opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ordain::store::Limits;
use ordain::{Clock, Codec, StoreError, SystemClock};

use crate::SqliteStore;
use crate::url;

/// How a [`SqliteStore`] is opened. Begun by [`SqliteStore::options`].
#[derive(Debug, Clone)]
#[must_use = "options do nothing until the store is opened"]
pub struct SqliteOptions {
    pub(crate) path: PathBuf,
    pub(crate) create: bool,
    pub(crate) codec: Codec,
    pub(crate) hard_deletes: bool,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) busy_timeout: Duration,
    pub(crate) readers: u32,
    pub(crate) batch_requests_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) queue_len: usize,
    pub(crate) transaction_timeout: Duration,
    pub(crate) poll_interval: Duration,
    pub(crate) problem: Option<String>,
}

impl SqliteOptions {
    pub(crate) fn new() -> Self {
        Self {
            path: PathBuf::new(),
            create: true,
            codec: Codec::Json,
            hard_deletes: false,
            limits: Limits::default(),
            clock: SystemClock::shared(),
            busy_timeout: Duration::from_secs(10),
            readers: 4,
            batch_requests_max: 512,
            batch_bytes_max: 8 << 20,
            queue_len: 4_096,
            transaction_timeout: Duration::from_secs(5),
            poll_interval: Duration::from_millis(20),
            problem: None,
        }
    }

    /// The database file. Its directory has to exist, on a file system of this machine: over a network
    /// SQLite's locks cannot be relied on.
    pub fn path(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        if !self.path.as_os_str().is_empty() && self.path != path {
            let named = [self.path.display().to_string(), path.display().to_string()];
            self.refuse(format!(
                "two files are named, {} and {}",
                named[0], named[1]
            ));
        }
        self.path = path.to_owned();
        self
    }

    /// The file and options as `sqlite:path?option=value&...`.
    ///
    /// Options are `create`, `hard_deletes` (`true` or `false`), `busy_timeout_ms`, `readers`,
    /// `batch_requests`, `batch_bytes`, `queue_len`, `transaction_timeout_ms` and `poll_interval_ms`. An
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

    /// Whether a missing file is made; it is unless told.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }

    /// How payloads become bytes; JSON unless told. Recorded in a new file, and compared with what is
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

    /// Where `recorded_at` comes from; the machine's clock unless told.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// How long to wait for a lock that another connection holds, before a request fails with
    /// [`StoreError::Unavailable`]; 10 seconds unless told. It should be longer than another process's
    /// [transaction](Self::transaction_timeout) may take.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// How many connections read at the same time, opened when needed; 4 unless told, at least 1.
    pub fn readers(mut self, connections: u32) -> Self {
        self.readers = connections;
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

    /// How long a transaction of the user's, or of a projection, may be open before it is rolled back; 5
    /// seconds unless told. Nothing else is written meanwhile, the renewal of leases included, so keep
    /// it well below the time that they are given for.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// How often to look for what other processes have appended, while somebody follows the log; 20
    /// milliseconds unless told. While the log grows, it is done ten times as often.
    pub fn poll_interval(mut self, interval: Duration) -> Self {
        self.poll_interval = interval;
        self
    }

    /// Opens the store, in a tokio runtime, on which its writer then runs.
    ///
    /// A missing file is made, and the schema of an older file brought up to date.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if the options, or the file, cannot be used, with what to do;
    /// [`StoreError::Unavailable`] if the file cannot be reached at the moment.
    pub async fn open(self) -> Result<SqliteStore, StoreError> {
        crate::open::open(self).await
    }

    fn apply(mut self, url: url::Url) -> Self {
        self = self.path(&url.path);
        if let Some(create) = url.create {
            self.create = create;
        }
        if let Some(hard_deletes) = url.hard_deletes {
            self.hard_deletes = hard_deletes;
        }
        let time = |value: Option<u32>, unless| {
            value.map_or(unless, |ms| Duration::from_millis(ms.into()))
        };
        self.busy_timeout = time(url.busy_timeout_ms, self.busy_timeout);
        self.transaction_timeout = time(url.transaction_timeout_ms, self.transaction_timeout);
        self.poll_interval = time(url.poll_interval_ms, self.poll_interval);
        self.readers = url.readers.unwrap_or(self.readers);
        let size = |value: Option<u32>, unless: usize| value.map_or(unless, |value| value as usize);
        self.batch_requests_max = size(url.batch_requests, self.batch_requests_max);
        self.batch_bytes_max = size(url.batch_bytes, self.batch_bytes_max);
        self.queue_len = size(url.queue_len, self.queue_len);
        self
    }

    fn refuse(&mut self, problem: String) {
        self.problem.get_or_insert(problem);
    }
}
