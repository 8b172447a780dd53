//! Throwaway PostgreSQL servers.

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

/// Does what waits for programs, away from the runtime's own threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let ended = tokio::task::spawn_blocking(work).await;
    ended.unwrap_or_else(|error| Err(Error::Server(format!("starting a server: {error}"))))
}
