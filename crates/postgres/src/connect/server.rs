//! What the server is, and whether a store can rest on it.

use ordain::StoreError;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Connection, Row};

use crate::failure;
use crate::settings::{Settings, refused};
use crate::sql;

/// The oldest version, as `server_version_num`.
const VERSION_OLDEST: i32 = 140_000;

/// What the server says about itself, and about the session.
#[derive(Debug)]
pub(crate) struct Server {
    /// As `server_version_num`.
    version: i32,
    standby: bool,
    fsync: String,
    synchronous_commit: String,
    read_only: String,
    encoding: String,
}

impl Server {
    /// Asks the server what it is.
    ///
    /// # Errors
    /// If it cannot carry a store.
    pub(crate) async fn inspect(connection: &mut PgConnection) -> Result<Self, StoreError> {
        let asked = Self::ask(connection).await;
        let server = asked.map_err(|error| failure::store_error(&error))?;
        server.check()?;
        Ok(server)
    }

    async fn ask(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let mut transaction = connection.begin().await?;
        let row = sql::once(sql::SERVER).fetch_one(&mut *transaction).await?;
        transaction.commit().await?;
        Self::read(&row)
    }

    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            version: row.try_get(0)?,
            standby: row.try_get(1)?,
            fsync: row.try_get(2)?,
            synchronous_commit: row.try_get(3)?,
            read_only: row.try_get(4)?,
            encoding: row.try_get(5)?,
        })
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.version < VERSION_OLDEST {
            let problem = format!("the server's version is {}", self.version / 10_000);
            return Err(refused(&problem, "use PostgreSQL 14 or newer"));
        }
        if self.standby {
            return Err(StoreError::unavailable(
                "the server is a standby; name the primary",
            ));
        }
        if self.encoding != "UTF8" {
            let problem = format!("the database's encoding is {}", self.encoding);
            return Err(refused(&problem, "make a database with the encoding UTF8"));
        }
        Ok(())
    }

    /// Checks that sessions write, and that what is written is durable or need not be.
    pub(crate) fn check_sessions(&self, settings: &Settings) -> Result<(), StoreError> {
        if self.read_only == "on" {
            return Err(StoreError::unavailable(
                "sessions are read-only; switch `default_transaction_read_only` off",
            ));
        }
        if self.fsync == "off" && !settings.allow_fsync_off {
            return Err(refused(
                "the server runs with `fsync = off`, so a crash may spoil the database",
                "switch it on, or allow it with `allow_fsync_off`",
            ));
        }
        if self.synchronous_commit == "off" && !settings.allow_synchronous_commit_off {
            return Err(refused(
                "the session has `synchronous_commit = off`, so a crash loses what was reported as stored",
                "switch it on for the server, the database and the role, or allow it with `allow_synchronous_commit_off`",
            ));
        }
        Ok(())
    }
}
