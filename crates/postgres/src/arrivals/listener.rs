//! Hears of what other processes commit, on a connection of its own.

use std::time::Duration;

use ordain::StoreError;
use ordain::store::Arrivals;
use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use super::Channel;
use crate::backoff::Backoff;
use crate::connect::{self, Finder};
use crate::failure;

/// After so long a silence the connection is tried.
const SILENCE: Duration = Duration::from_secs(15);

/// How long the server may take to answer then.
const PATIENCE: Duration = Duration::from_secs(5);

/// The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Listener(AbortHandle);

impl Listener {
    /// Starts the task on the current runtime. It is connected only while somebody follows.
    pub(crate) fn start(arrivals: Arrivals, channel: Channel, finder: Finder) -> Self {
        let listening = Listening {
            arrivals,
            channel,
            finder,
        };
        Self(tokio::spawn(listening.run()).abort_handle())
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Listening {
    arrivals: Arrivals,
    channel: Channel,
    finder: Finder,
}

impl Listening {
    async fn run(self) {
        loop {
            self.arrivals.until_followed(true).await;
            tokio::select! {
                () = self.listen() => {}
                () = self.arrivals.until_followed(false) => {}
            }
        }
    }

    /// Listens, also after the connection was lost.
    async fn listen(&self) {
        let mut backoff = Backoff::default();
        loop {
            let error = match self.connect().await {
                Ok(mut listener) => {
                    backoff.reset();
                    // What was called meanwhile went unheard.
                    self.arrivals.announce();
                    self.hear(&mut listener).await
                }
                Err(error) => error,
            };
            tracing::debug!(%error, "what other processes append is not heard of; it is tried again");
            tokio::time::sleep(backoff.next()).await;
        }
    }

    async fn connect(&self) -> Result<PgListener, StoreError> {
        let found = self.finder.find(self.finder.end()).await?;
        connect::close(found.connection).await;
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_lazy_with(found.options);
        let listener = timeout(PATIENCE, self.listen_on(&pool)).await;
        let listener = listener.unwrap_or(Err(sqlx::Error::PoolTimedOut));
        listener.map_err(|error| failure::store_error(&error))
    }

    async fn listen_on(&self, pool: &sqlx::PgPool) -> Result<PgListener, sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        // The primary may be elsewhere afterwards.
        listener.eager_reconnect(false);
        listener.listen(&self.channel.name).await?;
        Ok(listener)
    }

    /// Hears until the connection is lost; says why it is.
    async fn hear(&self, listener: &mut PgListener) -> StoreError {
        loop {
            match timeout(SILENCE, listener.try_recv()).await {
                Ok(Ok(Some(call))) if call.payload() == self.channel.caller => {}
                Ok(Ok(Some(_))) => self.arrivals.announce(),
                Ok(Ok(None)) => return StoreError::unavailable("the connection was lost"),
                Ok(Err(error)) => return failure::store_error(&error),
                Err(_) => {
                    if let Err(error) = probe(listener).await {
                        return error;
                    }
                }
            }
        }
    }
}

/// Whether the server still answers.
async fn probe(listener: &mut PgListener) -> Result<(), StoreError> {
    match timeout(PATIENCE, listener.execute("SELECT 1")).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failure::store_error(&error)),
        Err(_) => Err(StoreError::unavailable("the server does not answer")),
    }
}
