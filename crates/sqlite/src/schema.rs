//! The schema, and whether a file has it.

use std::path::Path;

use ordain::{Codec, StoreError};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use sqlx::{Executor, Row};

use crate::failure::{self, Kind};
use crate::{micros, sql};

/// The steps that lead to the schema; the first makes an empty file version 1.
const MIGRATIONS: &[&str] = &[
    include_str!("../migrations/0001_initial.sql"),
    include_str!("../migrations/0002_subscriptions.sql"),
];

/// The schema that this program works with.
const VERSION: i64 = MIGRATIONS.len() as i64;

/// The oldest schema that the migrations can start from.
const VERSION_OLDEST: i64 = 1;

/// What a store's file is marked with, `ordn`.
const APPLICATION_ID: i64 = 0x6f72_646e;

/// What a file turned out to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing is in it yet.
    Empty,
    /// A store with this schema version.
    Store(i64),
}

/// Finds out what the file is.
///
/// # Errors
/// [`StoreError::Incompatible`] if this program cannot use it.
pub(crate) async fn inspect(
    connection: &mut SqliteConnection,
    path: &Path,
) -> Result<Found, StoreError> {
    let row = sql::statement(sql::IDENTITY)
        .fetch_one(&mut *connection)
        .await
        .map_err(|error| unusable(&error, path))?;
    classify(&row, path)
}

fn classify(row: &SqliteRow, path: &Path) -> Result<Found, StoreError> {
    let number = |index| row.try_get::<i64, _>(index).map_err(failure::damaged);
    let (application, version, filled) = (number(0)?, number(1)?, number(2)? != 0);
    let path = path.display();
    match (application, version) {
        (0, 0) if !filled => Ok(Found::Empty),
        (APPLICATION_ID, VERSION_OLDEST..=VERSION) => Ok(Found::Store(version)),
        (APPLICATION_ID, newer) if newer > VERSION => Err(StoreError::Incompatible {
            problem: format!(
                "the store in {path} has schema version {newer}, and this program knows versions up to {VERSION}"
            ),
            advice: "update the program".into(),
        }),
        (APPLICATION_ID, older) => Err(StoreError::Incompatible {
            problem: format!(
                "the store in {path} has schema version {older}, and this program starts from version {VERSION_OLDEST}"
            ),
            advice: "open it with an older release first, which brings it up to date".into(),
        }),
        _ => Err(StoreError::Incompatible {
            problem: format!("{path} is the database of another program"),
            advice: "name a file of its own for the store".into(),
        }),
    }
}

/// Brings the schema up to date, in one transaction, and records the codec in a new store.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    path: &Path,
    codec: &Codec,
    now: time::OffsetDateTime,
) -> Result<(), StoreError> {
    connection
        .execute(sql::BEGIN)
        .await
        .map_err(|error| unusable(&error, path))?;
    let migrated = migrate_in_transaction(connection, path, codec, now).await;
    let end = if migrated.is_ok() {
        sql::COMMIT
    } else {
        sql::ROLLBACK
    };
    let ended = connection.execute(end).await;
    migrated?;
    ended.map_err(|error| unusable(&error, path))?;
    Ok(())
}

async fn migrate_in_transaction(
    connection: &mut SqliteConnection,
    path: &Path,
    codec: &Codec,
    now: time::OffsetDateTime,
) -> Result<(), StoreError> {
    // Another process may have been faster, so the file is looked at again under the lock.
    let found = inspect(connection, path).await?;
    let done = match found {
        Found::Empty => 0,
        Found::Store(version) => version as usize,
    };
    for migration in &MIGRATIONS[done..] {
        sqlx::raw_sql(*migration)
            .execute(&mut *connection)
            .await
            .map_err(|error| unusable(&error, path))?;
    }
    if found == Found::Empty {
        let created_by = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
        sql::statement(sql::INSERT_STORE_INFO)
            .bind(codec.name())
            .bind(created_by)
            .bind(micros::floor(now))
            .execute(&mut *connection)
            .await
            .map_err(|error| unusable(&error, path))?;
    }
    Ok(())
}

/// Whether the schema is the newest.
pub(crate) fn is_current(found: Found) -> bool {
    found == Found::Store(VERSION)
}

/// Compares the codec with the one that the store was made with.
pub(crate) async fn check_codec(
    connection: &mut SqliteConnection,
    path: &Path,
    codec: &Codec,
) -> Result<(), StoreError> {
    let row = sql::statement(sql::STORE_INFO)
        .fetch_one(connection)
        .await
        .map_err(|error| unusable(&error, path))?;
    let recorded: String = row.try_get(0).map_err(failure::damaged)?;
    if recorded == codec.name() {
        return Ok(());
    }
    let path = path.display();
    Err(StoreError::Incompatible {
        problem: format!(
            "the store in {path} keeps its payloads as `{recorded}`, and it was opened with the codec `{}`",
            codec.name()
        ),
        advice: format!("open it with the codec `{recorded}`"),
    })
}

/// What an error at opening means.
pub(crate) fn unusable(error: &sqlx::Error, path: &Path) -> StoreError {
    match failure::kind(error) {
        Kind::Access => unwritable(error, path),
        Kind::NotADatabase => StoreError::Incompatible {
            problem: format!("{} is not an SQLite database", path.display()),
            advice: "name another file, or a new one".into(),
        },
        Kind::Busy => StoreError::unavailable(format!(
            "{} is locked by another connection ({error}); try again when that has finished",
            path.display()
        )),
        _ => failure::store_error(error),
    }
}

pub(crate) fn unwritable(error: &dyn std::fmt::Display, path: &Path) -> StoreError {
    StoreError::unavailable(format!(
        "{} cannot be opened for writing ({error}); make the file and its directory writable for this process, or name another file",
        path.display()
    ))
}
