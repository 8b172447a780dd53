//! The connections that read.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use ordain::StoreError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteRow};
use tokio::sync::Semaphore;

use crate::options::SqliteOptions;
use crate::sql::Statement;
use crate::{connection, failure};

/// A bounded number of connections, opened when needed.
pub(crate) struct Readers {
    options: SqliteConnectOptions,
    permits: Semaphore,
    count: u32,
    idle: Mutex<Vec<SqliteConnection>>,
}

impl Readers {
    pub(crate) fn new(options: &SqliteOptions) -> Self {
        let count = options.readers.max(1);
        Self {
            options: connection::connect_options(options),
            permits: Semaphore::new(count as usize),
            count,
            idle: Mutex::default(),
        }
    }

    /// The rows of a statement, all of one state of the database.
    ///
    /// A dropped future drops its connection with what is under way on it.
    pub(crate) async fn fetch(
        &self,
        statement: Statement<'_>,
    ) -> Result<Vec<SqliteRow>, StoreError> {
        let _permit = self
            .permits
            .acquire()
            .await
            .map_err(|_| StoreError::Closed)?;
        let mut connection = self
            .connect()
            .await
            .map_err(|error| failure::store_error(&error))?;
        let rows = statement
            .fetch_all(&mut connection)
            .await
            .map_err(|error| failure::store_error(&error))?;
        self.idle().push(connection);
        Ok(rows)
    }

    /// Waits for the reads under way and closes the connections.
    pub(crate) async fn close(&self) {
        let all = self.permits.acquire_many(self.count).await;
        self.permits.close();
        drop(all);
        let idle = std::mem::take(&mut *self.idle());
        for connection in idle {
            connection::close(connection).await;
        }
    }

    async fn connect(&self) -> Result<SqliteConnection, sqlx::Error> {
        let idle = self.idle().pop();
        match idle {
            Some(connection) => Ok(connection),
            None => connection::connect_reader(&self.options).await,
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<SqliteConnection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}
