//! How statements run on a connection.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ordain::StoreError;
use sqlx::Connection;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;

use crate::backoff::Backoff;
use crate::connect::Pool;
use crate::failure::{self, Kind};
use crate::settings::Settings;

pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How statements run on a connection. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    /// Whether a pooler may hand every transaction to another server process.
    pooled: bool,
    /// Whether transactions by default have another isolation level than is needed.
    isolated: Arc<AtomicBool>,
    /// After this a statement is given up with its connection.
    deadline: Duration,
}

impl Session {
    /// How much later than the server this side gives up, where both watch the time.
    const GRACE: Duration = Duration::from_secs(2);

    pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";

    /// For transactions of one statement: a process that freezes in one would hold its locks for ever.
    const BEGIN_SHORT: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = '5s'";

    pub(crate) fn new(settings: &Settings) -> Self {
        let grace = if settings.client_deadline {
            Duration::ZERO
        } else {
            Self::GRACE
        };
        Self {
            pooled: settings.pooled,
            isolated: Arc::default(),
            deadline: settings.statement_timeout + grace,
        }
    }

    /// Runs a statement in a transaction of its own, and takes its result to the end: only then has it
    /// been committed.
    pub(crate) async fn fetch(
        &self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        if self.opens_transactions() {
            return self.limit(self.fetch_within(connection, statement)).await;
        }
        let result = self.limit(statement.fetch_all(connection)).await;
        if let Err(error) = &result
            && failure::kind(error) == Kind::Isolation
        {
            self.isolated.store(true, Ordering::Relaxed);
        }
        result
    }

    /// Whether a statement of its own runs between BEGIN and COMMIT.
    fn opens_transactions(&self) -> bool {
        self.pooled || self.isolated.load(Ordering::Relaxed)
    }

    /// Runs a statement in the transaction that is open.
    pub(crate) async fn fetch_in_transaction(
        &self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let statement = statement.persistent(!self.pooled);
        self.limit(statement.fetch_all(connection)).await
    }

    /// Gives up after the deadline.
    pub(crate) async fn limit<T>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, sqlx::Error> {
        let result = tokio::time::timeout(self.deadline, work).await;
        result.unwrap_or_else(|_| Err(self.gave_up()))
    }

    /// Runs a statement between BEGIN and COMMIT.
    ///
    /// A statement is parsed and executed by two exchanges, so only a transaction keeps a pooler from
    /// parsing on one server process and executing whatever was parsed last on another.
    async fn fetch_within(
        &self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut transaction = connection.begin_with(Self::BEGIN_SHORT).await?;
        let statement = statement.persistent(!self.pooled);
        let rows = match statement.fetch_all(&mut *transaction).await {
            Ok(rows) => rows,
            Err(error) => {
                // Else the transaction would stay open until the connection's next statement.
                let _ = transaction.rollback().await;
                return Err(error);
            }
        };
        transaction.commit().await?;
        Ok(rows)
    }

    fn gave_up(&self) -> sqlx::Error {
        let message = format!("the server did not answer within {:?}", self.deadline);
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
    }
}

/// Connections for requests that do not take the order lock.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pool: Pool,
    session: Session,
}

/// Closes a connection whose statement is dropped half-way: sqlx does not roll back a BEGIN whose future is dropped,
/// and the connection would go back to the pool with a transaction open.
struct Unfinished<'c> {
    connection: &'c mut PoolConnection<Postgres>,
    is_open: bool,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if self.is_open {
            self.connection.close_on_drop();
        }
    }
}

/// What a statement that writes has led to.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) rows: Vec<PgRow>,
    /// Whether one before it may have been carried out.
    pub(crate) in_doubt: bool,
}

impl Readers {
    /// How often a statement that writes is repeated.
    const REPETITIONS: u32 = 5;

    pub(crate) fn new(pool: Pool, session: Session) -> Self {
        Self { pool, session }
    }

    /// Runs a statement, and runs it once more if the connection turns out to be lost: it has to be one
    /// that may be repeated.
    pub(crate) async fn fetch<'q>(
        &self,
        statement: impl Fn() -> Statement<'q>,
    ) -> Result<Vec<PgRow>, StoreError> {
        match self.attempt(statement()).await? {
            Ok(rows) => Ok(rows),
            Err(error) if failure::loses_connection(&error) => {
                let again = self.attempt(statement()).await?;
                again.map_err(|error| failure::store_error(&error))
            }
            Err(error) => Err(failure::store_error(&error)),
        }
    }

    /// Runs a statement that writes, and runs it again if the connection turns out to be lost, or other
    /// transactions get in its way. It is told whether one before it may have been carried out.
    pub(crate) async fn write<'q>(
        &self,
        statement: impl Fn(bool) -> Statement<'q>,
    ) -> Result<Written, StoreError> {
        let mut backoff = Backoff::default();
        let mut in_doubt = false;
        for repetitions in (0..=Self::REPETITIONS).rev() {
            let error = match self.attempt(statement(in_doubt)).await {
                Ok(Ok(rows)) => return Ok(Written { rows, in_doubt }),
                Ok(Err(error)) => error,
                Err(unreachable) => return Err(unless_stored(unreachable, in_doubt)),
            };
            in_doubt |= failure::is_open(&error);
            if repetitions == 0 || !is_worth_repeating(&error) {
                return Err(unless_stored(failure::store_error(&error), in_doubt));
            }
            tokio::time::sleep(backoff.next()).await;
        }
        Err(StoreError::internal("a statement was never run"))
    }

    /// Runs a statement; the outer error is that there is no connection.
    pub(crate) async fn attempt(
        &self,
        statement: Statement<'_>,
    ) -> Result<Result<Vec<PgRow>, sqlx::Error>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let mut unfinished = Unfinished {
            is_open: self.session.opens_transactions(),
            connection: &mut connection,
        };
        let result = self.session.fetch(unfinished.connection, statement);
        let result = result.await;
        unfinished.is_open = false;
        drop(unfinished);
        if let Err(error) = &result {
            self.pool.note(error, connection);
        }
        Ok(result)
    }
}

/// Whether the statement may succeed when it is run again.
pub(crate) fn is_worth_repeating(error: &sqlx::Error) -> bool {
    failure::loses_connection(error)
        || matches!(failure::kind(error), Kind::Retry | Kind::Isolation)
}

/// An error after which nothing was stored, unless that is in doubt.
pub(crate) fn unless_stored(error: StoreError, in_doubt: bool) -> StoreError {
    match in_doubt {
        true => StoreError::OutcomeUnknown {
            source: error.into(),
        },
        false => error,
    }
}
