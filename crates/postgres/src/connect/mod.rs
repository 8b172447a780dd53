//! From options to connections to the primary.

mod finder;
mod pool;
mod redact;
mod server;
mod source;

pub(crate) use self::finder::Finder;
pub(crate) use self::pool::Pool;
pub(crate) use self::server::Server;
pub(crate) use self::source::{Hook, Source};

use sqlx::Connection;
use sqlx::postgres::PgConnection;

/// Closes a connection in order, if the server still listens.
pub(crate) async fn close(connection: PgConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a connection could not be closed in order");
    }
}
