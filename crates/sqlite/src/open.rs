//! Opening a store.

use std::path::Path;
use std::time::Duration;

use ordain::StoreError;
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use crate::failure::{self, Kind};
use crate::options::SqliteOptions;
use crate::{SqliteStore, connection, schema, sql};

pub(crate) async fn open(options: SqliteOptions) -> Result<SqliteStore, StoreError> {
    check(&options)?;
    let mut writer = connection::connect_writer(&options, options.create)
        .await
        .map_err(|error| schema::unusable(&error, &options.path))?;
    match prepare(&mut writer, &options).await {
        Ok(()) => Ok(SqliteStore::start(options, writer)),
        Err(error) => {
            connection::close(writer).await;
            Err(error)
        }
    }
}

async fn prepare(writer: &mut SqliteConnection, options: &SqliteOptions) -> Result<(), StoreError> {
    let found = schema::inspect(writer, &options.path).await?;
    switch_to_wal(writer, options).await?;
    if schema::is_current(found) {
        check_writable(writer, &options.path).await?;
    } else {
        let now = options.clock.now();
        schema::migrate(writer, &options.path, &options.codec, now).await?;
    }
    schema::check_codec(writer, &options.path, &options.codec).await
}

/// SQLite opens a file that it may only read without a word, and fails at the first write, but not at
/// `BEGIN IMMEDIATE`.
///
/// The file itself must not be opened to find out: closing it again would drop the locks that SQLite
/// holds on it, which belong to the process.
async fn check_writable(writer: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let touched = touch(writer).await;
    let ended = writer.execute(sql::ROLLBACK).await;
    match touched {
        Ok(()) => ended
            .map(drop)
            .map_err(|error| schema::unusable(&error, path)),
        // Who waits for others to write may write.
        Err(error) if failure::kind(&error) == Kind::Busy => Ok(()),
        Err(error) => Err(schema::unusable(&error, path)),
    }
}

async fn touch(writer: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    writer.execute(sql::BEGIN).await?;
    writer.execute(sql::TOUCH).await?;
    Ok(())
}

/// SQLite does not wait for the lock that this takes, so it is tried until the time is up.
async fn switch_to_wal(
    writer: &mut SqliteConnection,
    options: &SqliteOptions,
) -> Result<(), StoreError> {
    const PAUSE: Duration = Duration::from_millis(5);
    let end = tokio::time::Instant::now() + options.busy_timeout;
    loop {
        match connection::use_wal(writer).await {
            Ok(()) => return Ok(()),
            Err(error)
                if failure::kind(&error) == Kind::Busy && tokio::time::Instant::now() < end =>
            {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(schema::unusable(&error, &options.path)),
        }
    }
}

fn check(options: &SqliteOptions) -> Result<(), StoreError> {
    if let Some(problem) = &options.problem {
        return Err(refused(problem, "see the documentation of `SqliteOptions`"));
    }
    let path = &options.path;
    if path.as_os_str().is_empty() {
        return Err(refused("no database file is named", "name one"));
    }
    if is_memory(path) {
        let advice = "use `ordain::MemoryStore` for a store in memory";
        return Err(refused("an SQLite store needs a file", advice));
    }
    check_place(path)
}

fn check_place(path: &Path) -> Result<(), StoreError> {
    if path.is_dir() {
        let problem = format!("{} is a directory", path.display());
        return Err(refused(&problem, "name a file in it"));
    }
    let directory = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match directory {
        Some(directory) if !directory.is_dir() => {
            let problem = format!("there is no directory {}", directory.display());
            Err(refused(&problem, "make it first"))
        }
        _ => Ok(()),
    }
}

/// Whether SQLite would take the name for a database in memory, or for a url of its own.
fn is_memory(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|path| path.starts_with(":memory:") || path.starts_with("file:"))
}

fn refused(problem: &str, advice: &str) -> StoreError {
    StoreError::Incompatible {
        problem: problem.into(),
        advice: advice.into(),
    }
}
