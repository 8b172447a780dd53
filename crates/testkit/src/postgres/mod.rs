//! Throwaway PostgreSQL servers.
//!
//! ```no_run
//! use ordain_testkit::postgres::Database;
//!
//! # async fn test() -> Result<(), ordain_testkit::postgres::Error> {
//! let database = Database::create().await;        // this test's own, on the run's server
//! database.execute("CREATE TABLE t (n int)").await?;
//! let url = database.url();                       // for the store under test
//! # drop(url);
//! # Ok(())
//! # }
//! ```
//!
//! # The run's server
//!
//! All tests of a run, in however many processes, share a server. It is the first that works:
//!
//! 1. the one that `DATABASE_URL` names, if a PostgreSQL answers there. Its role has to be allowed
//!    to create databases;
//! 2. one started from the programs in `PATH`, where `pg_config` says, or in the newest of the usual
//!    places, if they are of version 14 or newer;
//! 3. one in a container, if `docker` or `podman` answers within 5 s.
//!
//! Else [`Database::create`] panics, and says what to install. Nothing is ever installed.
//!
//! A server started from programs listens on the loopback interface, wants a password that only its
//! URLs tell, and writes as durably as one in production. It lives in a folder of its own below the
//! folder for temporary files (or below `/tmp`, where the name of that is too long for a socket, or
//! root's servers cannot use it). Root's servers run as `postgres`, or as `nobody`.
//!
//! When the last process that uses a server is gone, by whatever end, the server waits 10 s (or
//! `ORDAIN_PG_GRACE` seconds) for the next, then stops, and its folder is removed. A database takes
//! about 8 MB until then.
//!
//! Runs of the same user with the same programs share one server. Runs whose variable
//! `ORDAIN_PG_LABEL` differs do not.
//!
//! # Servers of a test's own
//!
//! A test that stops, freezes, kills or promotes a server starts a [`Server`] for itself, always
//! from programs. A [`PgBouncer`] stands in front of whichever server a database is on.

mod account;
mod bouncer;
mod cluster;
mod connection;
mod database;
mod error;
mod folder;
mod processes;
mod search;
mod server;
mod shared;

pub use self::bouncer::{PgBouncer, PoolMode};
pub use self::connection::{Connection, Row};
pub use self::database::Database;
pub use self::error::Error;
pub use self::search::{Binaries, Engine, Found, NotFound, Search, ServerUrl};
pub use self::server::{Server, ServerOptions, Stop};

/// The variable that keeps the servers of two runs apart.
const LABEL: &str = "ORDAIN_PG_LABEL";

/// The variable that says for how many seconds a server waits for its next user.
const GRACE: &str = "ORDAIN_PG_GRACE";

/// Does what waits for programs, away from the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Error::Server(format!("starting a server: {error}"))))
}
