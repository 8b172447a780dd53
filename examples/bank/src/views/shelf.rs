//! Where the read models are read.

use std::path::Path;
use std::time::Duration;

use ordain::MemoryStore;
use sqlx::postgres::{PgPool, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::{Balance, Place, StatementDay, memory, postgres, sqlite};
use crate::server_url::ServerUrl;

/// How long a reader waits for a connection.
const WAIT_MAX: Duration = Duration::from_secs(5);
const CONNECTIONS: u32 = 4;

/// Where the read models are read, on connections of its own. Cheap to clone.
#[derive(Debug, Clone)]
pub enum Shelf {
    /// In memory.
    Memory(MemoryStore),
    /// In an SQLite file.
    Sqlite(SqlitePool),
    /// In a PostgreSQL database, in transactions: a statement is parsed and carried out by two exchanges, which
    /// a pooler may lead to two sessions otherwise.
    Postgres(PgPool, Place),
}

/// Why a read model cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the read models cannot be read: {0}")]
pub struct ViewError(#[from] sqlx::Error);

impl Shelf {
    /// The read models in an SQLite file.
    pub fn in_file(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path);
        let pool = SqlitePoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(WAIT_MAX);
        Self::Sqlite(pool.connect_lazy_with(options.read_only(true)))
    }

    /// The read models in a PostgreSQL database.
    ///
    /// # Errors
    /// If the url is none.
    pub fn on_server(url: &ServerUrl) -> Result<Self, ViewError> {
        let options = url.for_connections().parse()?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(WAIT_MAX);
        Ok(Self::Postgres(
            pool.connect_lazy_with(options),
            Place::beside(url),
        ))
    }

    /// An account as it stands.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn balance(&self, account: &str) -> Result<Option<Balance>, ViewError> {
        Ok(match self {
            Self::Memory(store) => memory::balance(store.read_models(), account),
            Self::Sqlite(pool) => sqlite::balance(pool, account).await?,
            Self::Postgres(pool, place) => {
                let mut transaction = pool.begin().await?;
                postgres::balance(&mut *transaction, place, account).await?
            }
        })
    }

    /// All accounts as they stand, by name.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn balances(&self) -> Result<Vec<Balance>, ViewError> {
        Ok(match self {
            Self::Memory(store) => memory::balances(store.read_models()),
            Self::Sqlite(pool) => sqlite::balances(pool).await?,
            Self::Postgres(pool, place) => {
                let mut transaction = pool.begin().await?;
                postgres::balances(&mut *transaction, place).await?
            }
        })
    }

    /// The last day up to this one on which money moved in an account.
    ///
    /// # Errors
    /// If it cannot be read.
    pub async fn last_day(
        &self,
        account: &str,
        until: &str,
    ) -> Result<Option<StatementDay>, ViewError> {
        Ok(match self {
            Self::Memory(store) => memory::last_day(store.read_models(), account, until),
            Self::Sqlite(pool) => sqlite::last_day(pool, account, until).await?,
            Self::Postgres(pool, place) => {
                let mut transaction = pool.begin().await?;
                postgres::last_day(&mut *transaction, place, account, until).await?
            }
        })
    }

    /// All days of all accounts, by account and day.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn days(&self) -> Result<Vec<StatementDay>, ViewError> {
        Ok(match self {
            Self::Memory(store) => memory::days(store.read_models()),
            Self::Sqlite(pool) => sqlite::days(pool).await?,
            Self::Postgres(pool, place) => {
                let mut transaction = pool.begin().await?;
                postgres::days(&mut *transaction, place).await?
            }
        })
    }

    /// Closes the connections.
    pub async fn close(&self) {
        match self {
            Self::Memory(_) => {}
            Self::Sqlite(pool) => pool.close().await,
            Self::Postgres(pool, _) => pool.close().await,
        }
    }
}
