//! Connections to the file.

use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions, Connection, Executor, Row};

use crate::options::SqliteOptions;
use crate::sql;

/// How many rows may be on their way from a connection's thread.
const ROWS_AHEAD: usize = 1_024;

/// Statements kept prepared: all there are, with some to spare for the user's.
const STATEMENTS: usize = 256;

/// How long the write-ahead log grows before it is carried over: 16 MiB. Longer ones append no faster.
const CHECKPOINT_PAGES: &str = "4000";

/// How long a checkpoint waits for readers.
const CHECKPOINT_WAIT: Duration = Duration::from_millis(100);

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
        .pragma("wal_autocheckpoint", CHECKPOINT_PAGES)
        .pragma(
            "secure_delete",
            if options.hard_deletes { "ON" } else { "OFF" },
        )
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

/// Carries the write-ahead log over into the database and empties it, if no reader is in the way.
pub(crate) async fn checkpoint(options: &SqliteOptions) {
    match try_checkpoint(options).await {
        Ok(true) => {}
        Ok(false) => tracing::debug!("readers kept the write-ahead log from being emptied"),
        Err(error) => tracing::warn!(%error, "the write-ahead log could not be emptied"),
    }
}

async fn try_checkpoint(options: &SqliteOptions) -> Result<bool, sqlx::Error> {
    let wait = options.busy_timeout.min(CHECKPOINT_WAIT);
    let mut connection = connect_options(options)
        .busy_timeout(wait)
        .connect()
        .await?;
    let row = connection.fetch_one(sql::CHECKPOINT).await?;
    let busy: i64 = row.try_get(0)?;
    close(connection).await;
    Ok(busy == 0)
}
