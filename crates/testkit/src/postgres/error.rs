//! What can go wrong with a server.

use std::process::{Command, Output};
use std::{error, fmt, io};

use super::NotFound;

/// What went wrong with a server or a database.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// There is no PostgreSQL; displayed, it says what to install.
    NotFound(NotFound),
    /// A server, or a program that belongs to it, did not do what it should.
    Server(String),
    /// The server refused a statement, or could not be reached.
    Sql {
        /// What the server or the connection said.
        message: String,
        /// The SQLSTATE, if the server said it.
        state: Option<String>,
    },
}

impl Error {
    /// The SQLSTATE, if the server refused.
    pub fn sql_state(&self) -> Option<&str> {
        match self {
            Self::Sql { state, .. } => state.as_deref(),
            _ => None,
        }
    }

    pub(super) fn io(what: impl fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Server(format!("{what}: {error}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound(error) => error.fmt(f),
            Self::Server(message) | Self::Sql { message, .. } => f.write_str(message),
        }
    }
}

/// As displayed: `unwrap` has to say it to whoever runs the test.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for Error {}

impl From<NotFound> for Error {
    fn from(error: NotFound) -> Self {
        Self::NotFound(error)
    }
}

/// Runs a program, and gives back what it printed.
pub(super) fn run(command: &mut Command) -> Result<String, Error> {
    let Output {
        status,
        stdout,
        stderr,
    } = command
        .output()
        .map_err(Error::io(format_args!("{command:?} cannot be run")))?;
    let printed = String::from_utf8_lossy(&stdout);
    if status.success() {
        return Ok(printed.into_owned());
    }
    let complaint = String::from_utf8_lossy(&stderr);
    Err(Error::Server(format!(
        "{command:?} ended with {status}:\n{printed}{complaint}"
    )))
}
