//! Connections to the file.

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor};

use crate::options::SqliteOptions;

/// How many rows may be on their way from a connection's thread.
const ROWS_AHEAD: usize = 1_024;

/// Statements kept prepared: all there are, with some to spare.
const STATEMENTS: usize = 128;

pub(crate) fn connect_options(options: &SqliteOptions) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(&options.path)
        .busy_timeout(options.busy_timeout)
        .foreign_keys(true)
        .row_buffer_size(ROWS_AHEAD)
        .statement_cache_capacity(STATEMENTS)
        .disable_statement_logging()
}

/// A connection that may write; it makes the file if it is to be made.
pub(crate) async fn connect_writer(
    options: &SqliteOptions,
    create: bool,
) -> Result<SqliteConnection, sqlx::Error> {
    let connection = connect_options(options)
        .create_if_missing(create)
        .pragma("synchronous", "FULL")
        .connect()
        .await?;
    Ok(connection)
}

/// A connection that only reads.
pub(crate) async fn connect_reader(
    options: &SqliteConnectOptions,
) -> Result<SqliteConnection, sqlx::Error> {
    options.clone().pragma("query_only", "ON").connect().await
}

/// Makes the file a write-ahead log, and bounds what is left of it after checkpoints.
///
/// Asked for when the file is known to be a store's own.
pub(crate) async fn use_wal(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    connection.execute("PRAGMA journal_mode = WAL").await?;
    connection
        .execute("PRAGMA journal_size_limit = 67108864")
        .await?;
    Ok(())
}

pub(crate) async fn close(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::warn!(%error, "a connection to the store's file could not be closed in order");
    }
}
