//! The bank: an app with accounts, on the store of one's choice.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordain::store::ProjectionStore;
use ordain::subscription::WaitError;
use ordain::{App, Config, EventStore, MemoryStore, ShutdownError, StartError, StoreError};
use ordain_postgres::PostgresStore;
use ordain_sqlite::SqliteStore;

use crate::domain::{Account, Transfer};
use crate::process::TransferProcess;
use crate::receipts::Receipts;
use crate::server_url::ServerUrl;
use crate::views::{Balances, DailyStatement, Place, Shelf, Tables};

/// A day may be run again long after; until then the bank remembers what it refused.
const ANSWERS_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

/// What follows the events is that much behind at the most when it is waited for.
const SETTLED_WITHIN: Duration = Duration::from_secs(120);

/// Where the events are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreChoice {
    /// In memory, until the program ends.
    Memory,
    /// In an SQLite file, as a `sqlite:` url.
    Sqlite(String),
    /// In a PostgreSQL database, as a `postgres:` url.
    Postgres(ServerUrl),
}

/// The text names no store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no store; there are `memory`, `sqlite:PATH` and `postgres://..`")]
pub struct UnknownStore(String);

impl FromStr for StoreChoice {
    type Err = UnknownStore;

    fn from_str(text: &str) -> Result<Self, UnknownStore> {
        if let Some(url) = ServerUrl::parse(text) {
            return Ok(Self::Postgres(url));
        }
        match text {
            "memory" => Ok(Self::Memory),
            url if url.starts_with("sqlite:") => Ok(Self::Sqlite(url.to_owned())),
            other => Err(UnknownStore(other.to_owned())),
        }
    }
}

impl fmt::Display for StoreChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Sqlite(url) => f.write_str(url),
            Self::Postgres(url) => url.fmt(f),
        }
    }
}

/// Why a bank did not open.
#[derive(Debug, thiserror::Error)]
#[error("the store {choice} cannot be used: {problem}")]
pub struct OpenError {
    choice: StoreChoice,
    problem: StartError,
}

impl OpenError {
    fn of(choice: &StoreChoice, problem: StartError) -> Self {
        let choice = choice.clone();
        Self { choice, problem }
    }
}

/// Why what follows the events has not come to their end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SettleError {
    /// It did not come there.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How a bank works.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BankOptions {
    /// The directory that receipts of transfers are written to, if they are.
    pub receipts: Option<PathBuf>,
    /// How long this process's hold on a part of the work lasts without a sign of life, if not as usual.
    pub lease: Option<Duration>,
    /// Whether it is the next release of the bank, with a second version of the balances.
    pub next: bool,
}

/// A running bank. Cheap to clone.
#[derive(Clone)]
pub struct Bank {
    app: App,
    store: Arc<dyn EventStore>,
    shelf: Shelf,
    /// What follows the events.
    followers: Vec<&'static str>,
}

/// What a bank needs of a store that is open.
struct Opened<S> {
    store: S,
    shelf: Shelf,
    place: Place,
}

impl Bank {
    /// Opens a bank that works: its store is made if it is missing, read models follow the events, and
    /// transfers go on.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn open(choice: &StoreChoice, options: &BankOptions) -> Result<Self, OpenError> {
        let opened = Self::open_store(choice, Some(options)).await;
        opened.map_err(|problem| OpenError::of(choice, problem))
    }

    /// Opens a bank that exists, to look at it.
    ///
    /// # Errors
    /// If its store is missing or cannot be used.
    pub async fn open_existing(choice: &StoreChoice) -> Result<Self, OpenError> {
        let opened = Self::open_store(choice, None).await;
        opened.map_err(|problem| OpenError::of(choice, problem))
    }

    async fn open_store(
        choice: &StoreChoice,
        options: Option<&BankOptions>,
    ) -> Result<Self, StartError> {
        match choice {
            StoreChoice::Memory => Self::start(in_memory(), options).await,
            StoreChoice::Sqlite(url) => Self::start(in_file(url, options).await?, options).await,
            StoreChoice::Postgres(url) => {
                Self::start(on_server(url, options).await?, options).await
            }
        }
    }

    async fn start<S>(opened: Opened<S>, options: Option<&BankOptions>) -> Result<Self, StartError>
    where
        S: ProjectionStore,
        S::Connection: Tables,
    {
        let mut builder = App::builder(opened.store.clone())
            .aggregate::<Account>()
            .aggregate::<Transfer>()
            .config(config(options));
        let mut followers = Vec::new();
        if let Some(options) = options {
            let place = opened.place;
            builder = match options.next {
                false => builder.projection(Balances::<1>::at(place.clone())),
                true => builder.projection(Balances::<2>::at(place.clone())),
            };
            builder = builder
                .projection(DailyStatement::at(place))
                .process_manager::<TransferProcess>();
            followers.extend([
                <Balances>::NAME,
                DailyStatement::NAME,
                TransferProcess::NAME,
            ]);
            if let Some(directory) = &options.receipts {
                builder = builder.event_handler(Receipts::to(directory.clone()));
                followers.push(Receipts::NAME);
            }
        }
        Ok(Self {
            app: builder.start().await?,
            store: Arc::new(opened.store),
            shelf: opened.shelf,
            followers,
        })
    }

    /// The app, to dispatch to and to load from.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The store, to read all events from.
    pub fn store(&self) -> &dyn EventStore {
        &*self.store
    }

    /// The read models.
    pub fn shelf(&self) -> &Shelf {
        &self.shelf
    }

    /// Waits until everything that follows the events has come to their end, and no more come from it.
    ///
    /// # Errors
    /// If that takes too long, or something has stopped.
    pub async fn settle(&self) -> Result<(), SettleError> {
        let deadline = Instant::now() + SETTLED_WITHIN;
        loop {
            let head = self.store.head().await?;
            for name in &self.followers {
                self.app.wait_until(name, head, deadline).await?;
            }
            if self.store.head().await? == head {
                return Ok(());
            }
        }
    }

    /// Ends what is under way, and closes the store.
    ///
    /// # Errors
    /// If something had to be cut off. It is taken up again when the bank opens the next time.
    pub async fn close(&self) -> Result<(), ShutdownError> {
        let ended = self.app.shutdown().await;
        self.shelf.close().await;
        self.store.close().await;
        ended
    }
}

fn config(options: Option<&BankOptions>) -> Config {
    let mut config = Config::new();
    config.outcomes_kept = ANSWERS_KEPT;
    if let Some(lease) = options.and_then(|options| options.lease) {
        config.lease = lease;
    }
    config
}

fn in_memory() -> Opened<MemoryStore> {
    let store = MemoryStore::new();
    Opened {
        shelf: Shelf::Memory(store.clone()),
        store,
        place: Place::default(),
    }
}

async fn in_file(
    url: &str,
    options: Option<&BankOptions>,
) -> Result<Opened<SqliteStore>, StartError> {
    let create = options.is_some();
    let store = SqliteStore::options().create(create).url(url).open();
    let store = store.await?;
    Ok(Opened {
        shelf: Shelf::in_file(store.path()),
        store,
        place: Place::default(),
    })
}

async fn on_server(
    url: &ServerUrl,
    options: Option<&BankOptions>,
) -> Result<Opened<PostgresStore>, StartError> {
    let migrate = options.is_some();
    let store = PostgresStore::options().url(url.as_str());
    let store = store.migrate_on_connect(migrate).connect().await?;
    Ok(Opened {
        shelf: Shelf::on_server(url).map_err(StoreError::unavailable)?,
        store,
        place: Place::beside(url),
    })
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}
