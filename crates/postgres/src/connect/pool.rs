//! The pool of connections.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use ordain::StoreError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{Connection, Postgres};
use tokio::time::Instant;

use super::finder::{Finder, is_standby};
use crate::failure::{self, Kind};
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
    /// When the primary was last searched for. Held while it is.
    searched: tokio::sync::Mutex<Instant>,
}

/// When the server was last lost.
#[derive(Debug, Clone, Default)]
struct Lost(Arc<Mutex<Option<Instant>>>);

impl Pool {
    /// A pool of the caller's.
    pub(crate) fn of_caller(pool: PgPool) -> Self {
        Self { pool, own: None }
    }

    /// A pool of our own, which opens connections when they are needed.
    pub(crate) fn open(finder: Finder, server: PgConnectOptions, settings: &Settings) -> Self {
        let lost = Lost::default();
        let pool = pool_options(settings, finder.moves(), lost.clone()).connect_lazy_with(server);
        let own = Own {
            finder,
            lost,
            searched: tokio::sync::Mutex::new(Instant::now()),
        };
        Self {
            pool,
            own: Some(Arc::new(own)),
        }
    }

    /// Takes a connection.
    ///
    /// # Errors
    /// If there is none within the acquire timeout. Nothing was sent.
    pub(crate) async fn acquire(&self) -> Result<PoolConnection<Postgres>, StoreError> {
        let Some(own) = self.own.as_ref().filter(|own| own.finder.moves()) else {
            return self
                .pool
                .acquire()
                .await
                .map_err(|error| self.failed(&error));
        };
        self.search_if_due(own).await?;
        match self.pool.acquire().await {
            Ok(connection) => Ok(connection),
            Err(error) if failure::kind(&error) == Kind::Closed => Err(StoreError::Closed),
            // A password that does not last may have ended, or the primary moved unnoticed.
            Err(error) => {
                own.lost.note();
                if matches!(error, sqlx::Error::PoolTimedOut) {
                    return Err(self.failed(&error));
                }
                self.search_if_due(own).await?;
                self.pool
                    .acquire()
                    .await
                    .map_err(|error| self.failed(&error))
            }
        }
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

    async fn search_if_due(&self, own: &Own) -> Result<(), StoreError> {
        if !own.is_due(*own.searched.lock().await, &self.pool) {
            return Ok(());
        }
        let mut searched = own.searched.lock().await;
        // Another may have searched meanwhile.
        if !own.is_due(*searched, &self.pool) {
            return Ok(());
        }
        let started = Instant::now();
        let found = own.finder.find().await?;
        self.pool.set_connect_options(found.options);
        *searched = started;
        super::close(found.connection).await;
        Ok(())
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        match error {
            sqlx::Error::PoolTimedOut => {
                let options = self.pool.options();
                StoreError::unavailable(format!(
                    "there was no free connection within {:?}, and no new one: {} of {} are open",
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
    /// Whether the primary is to be searched for: connections were lost since, or one is about to be made.
    fn is_due(&self, searched: Instant, pool: &PgPool) -> bool {
        let grows = pool.num_idle() == 0 && pool.size() < pool.options().get_max_connections();
        self.lost.is_after(searched) || (grows && searched.elapsed() >= SEARCH_EVERY)
    }
}

impl Lost {
    fn note(&self) {
        *self.lock() = Some(Instant::now());
    }

    fn is_after(&self, time: Instant) -> bool {
        self.lock().is_some_and(|lost| lost >= time)
    }

    /// Whether the server was lost during the time before now.
    fn is_within(&self, time: Duration) -> bool {
        self.lock().is_some_and(|lost| lost.elapsed() <= time)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
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
