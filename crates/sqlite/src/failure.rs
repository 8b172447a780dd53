//! What SQLite's result codes mean to a store.

use ordain::{BoxError, StoreError};
use sqlx::Error;

/// The result codes that matter, without their extensions.
mod code {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const NOMEM: i32 = 7;
    pub(super) const READONLY: i32 = 8;
    pub(super) const INTERRUPT: i32 = 9;
    pub(super) const IOERR: i32 = 10;
    pub(super) const CORRUPT: i32 = 11;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    pub(super) const TOOBIG: i32 = 18;
    pub(super) const CONSTRAINT: i32 = 19;
    pub(super) const MISMATCH: i32 = 20;
    pub(super) const NOTADB: i32 = 26;
}

/// What kind of trouble an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Another connection holds a lock.
    Busy,
    /// There is no room on the disk.
    Full,
    /// The machine does not do what was asked; it may later.
    Machine,
    /// The file cannot be opened or written.
    Access,
    /// The file is no database.
    NotADatabase,
    /// The database is damaged.
    Damaged,
    /// Something that was to be written does not fit.
    Data,
    /// Anything else: a defect.
    Other,
}

/// The kind of an error, by its result code.
pub(crate) fn kind(error: &Error) -> Kind {
    match primary_code(error) {
        Some(code::BUSY | code::LOCKED | code::PROTOCOL) => Kind::Busy,
        Some(code::FULL) => Kind::Full,
        Some(code::NOMEM | code::INTERRUPT | code::IOERR) => Kind::Machine,
        Some(code::READONLY | code::CANTOPEN) => Kind::Access,
        Some(code::NOTADB) => Kind::NotADatabase,
        Some(code::CORRUPT) => Kind::Damaged,
        Some(code::CONSTRAINT | code::TOOBIG | code::MISMATCH) => Kind::Data,
        Some(_) => Kind::Other,
        None => match error {
            Error::Io(_) | Error::WorkerCrashed => Kind::Machine,
            _ => Kind::Other,
        },
    }
}

/// Whether a statement may well succeed when it is sent again. One that took too long is not among them, nor one that
/// came too late in its transaction.
pub(crate) fn is_transient(error: &Error) -> bool {
    primary_code(error) != Some(code::INTERRUPT)
        && !is_refused(error)
        && matches!(kind(error), Kind::Busy | Kind::Full | Kind::Machine)
}

/// Whether a lent connection said it, which had been taken back.
fn is_refused(error: &Error) -> bool {
    let Error::Io(error) = error else {
        return false;
    };
    let said = error.get_ref().and_then(|error| error.downcast_ref());
    said.is_some_and(StoreError::is_refused)
}

/// The first error of the database among an error and its causes.
pub(crate) fn in_chain(error: &BoxError) -> Option<&Error> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&**error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        cause = error.source();
    }
    None
}

/// What the port says about an error that stored nothing.
pub(crate) fn store_error(error: &Error) -> StoreError {
    match kind(error) {
        Kind::Busy => StoreError::unavailable(format!(
            "another connection holds the lock of the database file: {error}"
        )),
        Kind::Full | Kind::Machine | Kind::Access => StoreError::unavailable(error.to_string()),
        Kind::NotADatabase | Kind::Damaged | Kind::Data | Kind::Other => {
            StoreError::internal(error.to_string())
        }
    }
}

/// What is stored cannot be understood.
pub(crate) fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::internal(format!("the database holds what no store wrote: {what}"))
}

fn primary_code(error: &Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|code| code & 0xff)
}
