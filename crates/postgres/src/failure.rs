//! What the errors of PostgreSQL mean to a store, by SQLSTATE and the name of a constraint.

use ordain::{BoxError, StoreError};
use sqlx::Error;

/// The SQLSTATEs that are told apart.
pub(crate) mod state {
    /// Raised by the functions of the store: the transaction is not READ COMMITTED.
    pub(crate) const ISOLATION: &str = "OR001";
    /// Likewise: a partition has another owner, or stands elsewhere.
    pub(crate) const LEASE_LOST: &str = "OR004";
    /// Likewise: something that a progress requires is not there.
    pub(crate) const GONE: &str = "OR005";

    pub(crate) const NO_SUCH_DATABASE: &str = "3D000";
    pub(crate) const DATABASE_EXISTS: &str = "42P04";
    pub(crate) const UNIQUE: &str = "23505";
    pub(crate) const DEPENDED_ON: &str = "2BP01";
    /// A relation, a function, a type or a constraint of the name is there already.
    pub(crate) const EXISTS: [&str; 3] = ["42P07", "42723", "42710"];
    pub(super) const STILL_STARTING: &str = "57P03";
    pub(super) const TOO_MANY_CONNECTIONS: &str = "53300";
    pub(super) const NO_TRANSACTION: &str = "25P01";
    pub(super) const ABORTED: &str = "25P02";
    pub(super) const CANCELLED: &str = "57014";
    /// The transaction waited too long for its program, or was open for too long.
    pub(super) const EXPIRED: [&str; 2] = ["25P03", "25P04"];
    pub(super) const LOCK_TIMEOUT: &str = "55P03";
    pub(super) const OBJECT_IN_USE: &str = "55006";
    pub(super) const FORBIDDEN: &str = "42501";
    /// The session was ended, which may have happened while a commit waited for a standby.
    pub(super) const ENDED: [&str; 3] = ["57P01", "57P02", "57P03"];
    /// After them the connection is of no more use: the server shuts down, crashed, starts, or dropped the
    /// session; it has become a standby; its prepared statements are gone, or rest on tables that changed.
    pub(super) const LOST: [&str; 10] = [
        "57P01", "57P02", "57P03", "57P05", "25006", "25P03", "25P04", "26000", "42P05", "0A000",
    ];
}

/// What kind of trouble an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind<'a> {
    /// What one request brought does not fit.
    Data,
    /// A value is there already.
    Unique {
        /// The constraint that it would violate.
        constraint: &'a str,
    },
    /// The transaction is not READ COMMITTED.
    Isolation,
    /// Another session holds a lock.
    Busy,
    /// The transaction got into the way of another one.
    Retry,
    /// The server cannot be reached, or cannot work at the moment.
    Unavailable,
    /// The role lacks a privilege.
    Forbidden,
    /// The pool is closed.
    Closed,
    /// Anything else: a defect.
    Other,
}

/// The kind of an error.
pub(crate) fn kind(error: &Error) -> Kind<'_> {
    match error {
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            kind_of_state(&code, database.constraint().unwrap_or_default())
        }
        Error::PoolClosed => Kind::Closed,
        Error::Io(_)
        | Error::Tls(_)
        | Error::Protocol(_)
        | Error::PoolTimedOut
        | Error::WorkerCrashed
        | Error::BeginFailed => Kind::Unavailable,
        _ => Kind::Other,
    }
}

fn kind_of_state<'a>(code: &str, constraint: &'a str) -> Kind<'a> {
    match code {
        state::UNIQUE => Kind::Unique { constraint },
        state::ISOLATION => Kind::Isolation,
        state::LOCK_TIMEOUT | state::OBJECT_IN_USE => Kind::Busy,
        state::FORBIDDEN => Kind::Forbidden,
        _ => match code.get(..2).unwrap_or_default() {
            "22" | "23" | "54" => Kind::Data,
            "40" => Kind::Retry,
            "08" | "25" | "28" | "53" | "57" | "58" => Kind::Unavailable,
            _ => Kind::Other,
        },
    }
}

/// Whether a statement may well succeed when it is sent again. One that took too long is not among them, nor one whose
/// program did.
pub(crate) fn is_transient(error: &Error) -> bool {
    let is_passing = matches!(
        kind(error),
        Kind::Busy | Kind::Retry | Kind::Unavailable | Kind::Closed
    );
    is_passing && !has_code(error, state::CANCELLED) && !has_expired(error)
}

/// Whether the server ended the transaction because it took too long.
pub(crate) fn has_expired(error: &Error) -> bool {
    state::EXPIRED.contains(&&*code(error))
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

/// Whether the connection is of no more use.
pub(crate) fn loses_connection(error: &Error) -> bool {
    match error {
        Error::Io(_) | Error::Tls(_) | Error::Protocol(_) | Error::WorkerCrashed => true,
        _ => {
            let code = code(error);
            code.starts_with("08") || state::LOST.contains(&&*code)
        }
    }
}

/// Whether there is no transaction where there should be one.
pub(crate) fn is_ended(error: &Error) -> bool {
    has_code(error, state::NO_TRANSACTION)
}

/// Whether a statement before has failed, so that the transaction takes no other.
pub(crate) fn is_aborted(error: &Error) -> bool {
    has_code(error, state::ABORTED)
}

/// Whether the time for a statement was over, on the server's side or on this one.
pub(crate) fn is_timeout(error: &Error) -> bool {
    match error {
        Error::Io(error) => error.kind() == std::io::ErrorKind::TimedOut,
        _ => has_code(error, state::CANCELLED),
    }
}

/// Whether what was sent may still be, or become, committed.
pub(crate) fn is_open(error: &Error) -> bool {
    match error {
        Error::Database(_) => {
            let code = code(error);
            code.starts_with("08") || state::ENDED.contains(&&*code)
        }
        _ => true,
    }
}

/// Whether connecting may succeed a moment later: the server starts, or has no place at the moment.
pub(crate) fn is_passing(error: &Error) -> bool {
    use std::io::ErrorKind;
    match error {
        Error::Io(error) => matches!(
            error.kind(),
            ErrorKind::ConnectionRefused
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::UnexpectedEof
        ),
        _ => has_code(error, state::STILL_STARTING) || has_code(error, state::TOO_MANY_CONNECTIONS),
    }
}

/// What the port says about an error that stored nothing.
pub(crate) fn store_error(error: &Error) -> StoreError {
    let said = said(error);
    match kind(error) {
        Kind::Closed => StoreError::Closed,
        Kind::Busy => StoreError::unavailable(format!("another session holds a lock: {said}")),
        Kind::Retry | Kind::Unavailable => StoreError::unavailable(said),
        Kind::Forbidden => StoreError::Incompatible {
            problem: format!("the role lacks a privilege: {said}"),
            advice: "grant it, or connect with another role".into(),
        },
        Kind::Isolation => StoreError::Incompatible {
            problem: format!("the transaction is not READ COMMITTED: {said}"),
            advice: "begin it with that isolation level".into(),
        },
        Kind::Data | Kind::Unique { .. } | Kind::Other => StoreError::internal(said),
    }
}

/// What the server said, with its code; sqlx adds the line of the server's own source.
pub(crate) fn said(error: &Error) -> String {
    match error {
        Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            format!("{} (SQLSTATE {code})", database.message())
        }
        other => other.to_string(),
    }
}

/// What is stored cannot be understood.
pub(crate) fn damaged(what: impl std::fmt::Display) -> StoreError {
    StoreError::internal(format!("the database holds what no store wrote: {what}"))
}

/// Whether the server answered with this SQLSTATE.
pub(crate) fn has_code(error: &Error, wanted: &str) -> bool {
    code(error) == wanted
}

/// The SQLSTATE, or nothing.
pub(crate) fn code(error: &Error) -> std::borrow::Cow<'_, str> {
    let database = error.as_database_error();
    database.and_then(|error| error.code()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_follow_from_the_sqlstate() {
        let kind = |code| kind_of_state(code, "c");
        assert_eq!(kind("23505"), Kind::Unique { constraint: "c" });
        assert_eq!(kind("23514"), Kind::Data);
        assert_eq!(kind("22P02"), Kind::Data);
        assert_eq!(kind("54000"), Kind::Data);
        assert_eq!(kind("OR001"), Kind::Isolation);
        assert_eq!(kind("55P03"), Kind::Busy);
        assert_eq!(kind("40P01"), Kind::Retry);
        assert_eq!(kind("57014"), Kind::Unavailable);
        assert_eq!(kind("25006"), Kind::Unavailable);
        assert_eq!(kind("42501"), Kind::Forbidden);
        assert_eq!(kind("42601"), Kind::Other);
        assert_eq!(kind(""), Kind::Other);
    }

    #[test]
    fn errors_of_the_network_lose_the_connection() {
        let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
        assert!(loses_connection(&Error::Io(reset)));
        assert!(loses_connection(&Error::Protocol("out of step".into())));
        assert!(!loses_connection(&Error::RowNotFound));
        assert!(!loses_connection(&Error::PoolTimedOut));
    }
}
