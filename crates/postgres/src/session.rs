//! How statements run on a connection.

use std::io;
use std::time::Duration;

use ordain::StoreError;
use sqlx::Connection;
use sqlx::postgres::{PgArguments, PgConnection, PgRow, Postgres};
use sqlx::query::Query;

use crate::connect::Pool;
use crate::failure;
use crate::settings::Settings;

pub(crate) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// How statements run on a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Session {
    /// Whether a pooler may hand every transaction to another server process.
    pooled: bool,
    /// After this a statement is given up with its connection.
    deadline: Duration,
}

impl Session {
    /// How much later than the server this side gives up, where both watch the time.
    const GRACE: Duration = Duration::from_secs(2);

    pub(crate) fn new(settings: &Settings) -> Self {
        let grace = if settings.client_deadline {
            Duration::ZERO
        } else {
            Self::GRACE
        };
        Self {
            pooled: settings.pooled,
            deadline: settings.statement_timeout + grace,
        }
    }

    /// Runs a statement, and takes its result to the end: only then has it been committed.
    pub(crate) async fn fetch(
        self,
        connection: &mut PgConnection,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let fetch = async {
            if self.pooled {
                fetch_pooled(connection, statement).await
            } else {
                statement.fetch_all(connection).await
            }
        };
        let result = tokio::time::timeout(self.deadline, fetch).await;
        result.unwrap_or_else(|_| Err(self.gave_up()))
    }

    fn gave_up(self) -> sqlx::Error {
        let message = format!("the server did not answer within {:?}", self.deadline);
        sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, message))
    }
}

/// A statement is parsed and executed by two exchanges, so only a transaction keeps a pooler from parsing
/// on one server process and executing whatever was parsed last on another.
async fn fetch_pooled(
    connection: &mut PgConnection,
    statement: Statement<'_>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let rows = statement
        .persistent(false)
        .fetch_all(&mut *transaction)
        .await?;
    transaction.commit().await?;
    Ok(rows)
}

/// Connections for requests that do not take the order lock.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    pool: Pool,
    session: Session,
}

impl Readers {
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

    /// Runs a statement; the outer error is that there is no connection.
    async fn attempt(
        &self,
        statement: Statement<'_>,
    ) -> Result<Result<Vec<PgRow>, sqlx::Error>, StoreError> {
        let mut connection = self.pool.acquire().await?;
        let result = self.session.fetch(&mut connection, statement).await;
        if let Err(error) = &result {
            self.pool.note(error, connection);
        }
        Ok(result)
    }
}
