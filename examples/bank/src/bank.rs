//! The bank: an app with accounts, on the store of one's choice.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use ordain::store::SubscriptionStore;
use ordain::{App, Config, EventStore, MemoryStore, StartError};
use ordain_postgres::PostgresStore;
use ordain_sqlite::SqliteStore;

use crate::domain::Account;
use crate::server_url::ServerUrl;

/// A day may be run again long after; until then the bank remembers what it refused.
const ANSWERS_KEPT: Duration = Duration::from_secs(10 * 365 * 24 * 3_600);

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

/// A running bank. Cheap to clone.
#[derive(Clone)]
pub struct Bank {
    app: App,
    store: Arc<dyn EventStore>,
}

impl Bank {
    /// Opens a bank; its store is made if it is missing.
    ///
    /// # Errors
    /// If the store cannot be used.
    pub async fn open(choice: &StoreChoice) -> Result<Self, OpenError> {
        Self::start(choice, true)
            .await
            .map_err(|problem| OpenError::of(choice, problem))
    }

    /// Opens a bank that exists.
    ///
    /// # Errors
    /// If its store is missing or cannot be used.
    pub async fn open_existing(choice: &StoreChoice) -> Result<Self, OpenError> {
        Self::start(choice, false)
            .await
            .map_err(|problem| OpenError::of(choice, problem))
    }

    async fn start(choice: &StoreChoice, create: bool) -> Result<Self, StartError> {
        match choice {
            StoreChoice::Memory => Self::on(MemoryStore::new()).await,
            StoreChoice::Sqlite(url) => {
                let options = SqliteStore::options().create(create).url(url);
                Self::on(options.open().await?).await
            }
            StoreChoice::Postgres(url) => {
                let options = PostgresStore::options().url(url.as_str());
                Self::on(options.migrate_on_connect(create).connect().await?).await
            }
        }
    }

    async fn on(store: impl SubscriptionStore + Clone) -> Result<Self, StartError> {
        let mut config = Config::new();
        config.outcomes_kept = ANSWERS_KEPT;
        let app = App::builder(store.clone())
            .aggregate::<Account>()
            .config(config)
            .start()
            .await?;
        let store = Arc::new(store);
        Ok(Self { app, store })
    }

    /// The app, to dispatch to and to load from.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// The store, to read all events from.
    pub fn store(&self) -> &dyn EventStore {
        &*self.store
    }

    /// Ends what is under way, and closes the store.
    pub async fn close(&self) {
        // Commands that are cut off here are done when the day is run again.
        let _ = self.app.shutdown().await;
        self.store.close().await;
    }
}

impl fmt::Debug for Bank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bank")
            .field("app", &self.app)
            .finish_non_exhaustive()
    }
}
