//! The pool of connections.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordain::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::time::{Instant, timeout_at};

use super::finder::{Finder, is_standby};
use crate::failure;
use crate::settings::Settings;

/// How often a growing pool asks where the primary is, at the most.
const SEARCH_EVERY: Duration = Duration::from_secs(1);

/// Connections to the primary. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Pool {
    pool: PgPool,
    /// None for a pool of the caller's.
    own: Option<Arc<Own>>,
}

/// What is known about a pool of our own.
#[derive(Debug)]
struct Own {
    finder: Finder,
    lost: Lost,
    /// When the primary was last searched for.
    searched: Mutex<Instant>,
    /// Held while it is searched for.
    search: tokio::sync::Mutex<()>,
}

/// When the server was last lost.
#[derive(Debug, Clone, Default)]
struct Lost(Arc<Mutex<Option<Instant>>>);

impl Pool {
    /// A pool of the caller's.
    pub(crate) fn of_caller(pool: PgPool) -> Self {
        Self { pool, own: None }
    }

    /// A pool of our own.
    pub(crate) async fn open(
        finder: Finder,
        server: PgConnectOptions,
        settings: &Settings,
    ) -> Result<Self, StoreError> {
        let lost = Lost::default();
        let options = pool_options(settings, finder.moves(), lost.clone());
        let pool = options.connect_with(server).await;
        let own = Own {
            finder,
            lost,
            searched: Mutex::new(Instant::now()),
            search: tokio::sync::Mutex::default(),
        };
        Ok(Self {
            pool: pool.map_err(|error| failure::store_error(&error))?,
            own: Some(Arc::new(own)),
        })
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// If there is none within the acquire timeout. Nothing was sent.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let own = self.own.as_ref().filter(|own| own.finder.moves());
        let Some(own) = own else {
            let acquired = self.pool.acquire().await;
            return acquired.map_err(|error| self.failed(&error));
        };
        let end = own.finder.end();
        own.search_if_due(&self.pool, end).await?;
        let error = match self.acquire_until(end).await {
            Ok(connection) => return Ok(connection),
            Err(error) => error,
        };
        // A password that does not last may have ended, or the primary moved unnoticed.
        own.lost.note();
        if matches!(error, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed) {
            return Err(self.failed(&error));
        }
        own.search_if_due(&self.pool, end).await?;
        let acquired = self.acquire_until(end).await;
        acquired.map_err(|error| self.failed(&error))
    }

    async fn acquire_until(&self, end: Instant) -> Result<PoolConnection<Postgres>, sqlx::Error> {
        let acquired = timeout_at(end, self.pool.acquire()).await;
        acquired.unwrap_or(Err(sqlx::Error::PoolTimedOut))
    }

    /// Takes note of an error; drops the connection if it is of no more use after it.
    pub(crate) fn note(&self, error: &sqlx::Error, connection: PoolConnection<Postgres>) {
        if !failure::loses_connection(error) {
            return;
        }
        drop(connection.detach());
        if let Some(own) = &self.own {
            own.lost.note();
        }
    }

    /// Whether nobody else uses it.
    pub(crate) fn is_own(&self) -> bool {
        self.own.is_some()
    }

    /// Closes the pool, unless it is the caller's.
    pub(crate) async fn close(&self) {
        if self.own.is_some() {
            self.pool.close().await;
        }
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::PoolTimedOut => {
                let options = self.pool.options();
                StoreError::unavailable(format!(
                    "no connection could be had within {:?}, {} of {} are open; the server is out of reach, or the pool too small",
                    options.get_acquire_timeout(),
                    self.pool.size(),
                    options.get_max_connections(),
                ))
            }
            _ => failure::store_error(error),
        }
    }
}

impl Own {
    /// Finds out where the primary is, if connections were lost since that was last known, or one is about
    /// to be made. Whoever comes meanwhile, and needs to know it, too, waits.
    async fn search_if_due(&self, pool: &PgPool, end: Instant) -> Result<(), StoreError> {
        if !self.is_due(pool) {
            return Ok(());
        }
        let _search = self.search.lock().await;
        // Another one may have searched meanwhile.
        if !self.is_due(pool) {
            return Ok(());
        }
        let started = Instant::now();
        let found = self.finder.find(end).await?;
        pool.set_connect_options(found.options);
        *lock(&self.searched) = started;
        super::close(found.connection).await;
        Ok(())
    }

    fn is_due(&self, pool: &PgPool) -> bool {
        let searched = *lock(&self.searched);
        let grows = pool.num_idle() == 0 && pool.size() < pool.options().get_max_connections();
        self.lost.is_after(searched) || (grows && searched.elapsed() >= SEARCH_EVERY)
    }
}

impl Lost {
    fn note(&self) {
        *lock(&self.0) = Some(Instant::now());
    }

    fn is_after(&self, time: Instant) -> bool {
        lock(&self.0).is_some_and(|lost| lost >= time)
    }

    /// Whether the server was lost during the time before now.
    fn is_within(&self, time: Duration) -> bool {
        lock(&self.0).is_some_and(|lost| lost.elapsed() <= time)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pool_options(settings: &Settings, moves: bool, lost: Lost) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(settings.pool_size.saturating_add(1))
        .min_connections(settings.idle_min)
        .acquire_timeout(settings.acquire_timeout)
        .test_before_acquire(false)
        .before_acquire(move |connection, meta| {
            // What lay idle when the server was lost may be dead, too.
            let suspect = lost.is_within(meta.idle_for);
            Box::pin(async move {
                if suspect {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .after_connect(move |connection, _| {
            Box::pin(async move {
                if moves && is_standby(connection).await? {
                    return Err(sqlx::Error::Protocol("the server is a standby".into()));
                }
                Ok(())
            })
        })
}

#[cfg(test)]
mod tests;
