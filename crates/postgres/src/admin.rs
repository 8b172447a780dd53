//! Making, migrating and removing stores and databases.

use ordain::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, Row};

use crate::connect::{self, Finder, Server};
use crate::failure::{self, Kind, state};
use crate::options::PostgresOptions;
use crate::schema::{Runner, Status};
use crate::settings::{Settings, refused};
use crate::sql::{self, Sql};

/// The databases that are there when a server is new.
const MAINTENANCE: &str = "postgres";

/// Makes, migrates and removes the store that options describe. Begun by [`PostgresOptions::admin`].
///
/// Each call opens a connection of its own and closes it. All but [`status`](Self::status) run in one
/// transaction, under a lock of the schema: who comes second waits for the first, for the
/// [migration timeout](PostgresOptions::migration_timeout) at the most, and then does what is left. Called
/// again they do no harm.
#[derive(Debug, Clone)]
pub struct PostgresAdmin {
    settings: Settings,
    finder: Finder,
}

impl PostgresAdmin {
    pub(crate) fn new(options: PostgresOptions) -> Result<Self, StoreError> {
        let (settings, source) = Settings::check(options)?;
        let finder = Finder::new(source, &settings);
        Ok(Self { settings, finder })
    }

    /// Makes the database, in UTF-8; returns whether it was missing.
    ///
    /// A role that may not make databases may call this for one that is there.
    ///
    /// # Errors
    /// If the server cannot be reached, or the role may not make databases.
    pub async fn create_database(&self) -> Result<bool, StoreError> {
        let database = self.finder.database().await?;
        let mut connection = self.finder.find_in(MAINTENANCE).await?.connection;
        let made = create_database(&mut connection, &database).await;
        connect::close(connection).await;
        made.map_err(|error| failure::store_error(&error))
    }

    /// Removes the database and all that is in it; returns whether it was there. `confirm` repeats its name.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if `confirm` is another name; [`StoreError::Unavailable`] if the database
    /// is in use.
    pub async fn drop_database(&self, confirm: &str) -> Result<bool, StoreError> {
        let database = self.finder.database().await?;
        check_confirmation("database", &database, confirm)?;
        let mut connection = self.finder.find_in(MAINTENANCE).await?.connection;
        let dropped = drop_database(&mut connection, &database).await;
        connect::close(connection).await;
        dropped.map_err(|error| match failure::kind(&error) {
            Kind::Busy => StoreError::unavailable(format!(
                "the database is in use ({error}); end its connections first"
            )),
            _ => failure::store_error(&error),
        })
    }

    /// Makes the schema and the store in it, or brings the store up to date; returns the versions of the
    /// migrations that were applied. Other tables in the schema stay as they are.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if the store is newer than this program, or the schema has other objects
    /// with the names of the store's.
    pub async fn init(&self) -> Result<Vec<u32>, StoreError> {
        let mut connection = self.connect().await?;
        let versions = self.runner().init(&mut connection).await;
        connect::close(connection).await;
        versions
    }

    /// Brings the store up to date; returns the versions of the migrations that were applied.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if there is no store, or it is newer than this program.
    pub async fn migrate(&self) -> Result<Vec<u32>, StoreError> {
        let mut connection = self.connect().await?;
        let versions = self.runner().migrate(&mut connection).await;
        connect::close(connection).await;
        versions
    }

    /// Tells which migrations were applied, and what the store was made with.
    ///
    /// # Errors
    /// If the server cannot be reached or used.
    pub async fn status(&self) -> Result<Status, StoreError> {
        let mut connection = self.connect().await?;
        let status = self.read_status(&mut connection).await;
        connect::close(connection).await;
        status
    }

    /// Empties the store: removes it, and makes another one with the payload and codec of the options.
    /// `confirm` repeats the schema's name. Programs that have the store open notice, and what they had
    /// under way fails. Grants on the store's tables are lost with them.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if `confirm` is another name, there is no store, it is newer than this
    /// program, or other objects depend on its tables.
    pub async fn reset(&self, confirm: &str) -> Result<(), StoreError> {
        check_confirmation("schema", self.settings.schema.as_str(), confirm)?;
        let mut connection = self.connect().await?;
        let reset = self.runner().reset(&mut connection).await;
        connect::close(connection).await;
        reset
    }

    /// Removes the store, and nothing else; returns whether it was there. `confirm` repeats the schema's
    /// name.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] if `confirm` is another name, the store is newer than this program, or
    /// other objects depend on its tables.
    pub async fn drop_store(&self, confirm: &str) -> Result<bool, StoreError> {
        check_confirmation("schema", self.settings.schema.as_str(), confirm)?;
        let mut connection = self.connect().await?;
        let dropped = self.runner().drop_store(&mut connection).await;
        connect::close(connection).await;
        dropped
    }

    /// Removes the store, and the schema if nothing else is in it; returns whether the schema is gone.
    /// `confirm` repeats its name.
    ///
    /// # Errors
    /// As [`drop_store`](Self::drop_store).
    pub async fn drop_schema(&self, confirm: &str) -> Result<bool, StoreError> {
        check_confirmation("schema", self.settings.schema.as_str(), confirm)?;
        let mut connection = self.connect().await?;
        let dropped = self.runner().drop_schema(&mut connection).await;
        connect::close(connection).await;
        dropped
    }

    fn runner(&self) -> Runner<'_> {
        Runner::new(&self.settings)
    }

    async fn connect(&self) -> Result<PgConnection, StoreError> {
        let mut connection = self.finder.connect().await?;
        match Server::inspect(&mut connection).await {
            Ok(_) => Ok(connection),
            Err(error) => {
                connect::close(connection).await;
                Err(error)
            }
        }
    }

    async fn read_status(&self, connection: &mut PgConnection) -> Result<Status, StoreError> {
        let begun = connection.begin().await;
        let mut transaction = begun.map_err(|error| failure::store_error(&error))?;
        Status::read(&mut transaction, &self.settings.schema).await
    }
}

async fn create_database(
    connection: &mut PgConnection,
    database: &str,
) -> Result<bool, sqlx::Error> {
    if database_exists(connection, database).await? {
        return Ok(false);
    }
    let text = Sql::of_database(sql::CREATE_DATABASE, database);
    match connection.execute(text.raw()).await {
        Ok(_) => Ok(true),
        // Somebody else made it meanwhile.
        Err(error) if failure::has_code(&error, state::DATABASE_EXISTS) => Ok(false),
        Err(error) if failure::has_code(&error, state::UNIQUE) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn drop_database(connection: &mut PgConnection, database: &str) -> Result<bool, sqlx::Error> {
    if !database_exists(connection, database).await? {
        return Ok(false);
    }
    let text = Sql::of_database(sql::DROP_DATABASE, database);
    match connection.execute(text.raw()).await {
        Ok(_) => Ok(true),
        Err(error) if failure::has_code(&error, state::NO_SUCH_DATABASE) => Ok(false),
        Err(error) => Err(error),
    }
}

async fn database_exists(
    connection: &mut PgConnection,
    database: &str,
) -> Result<bool, sqlx::Error> {
    let mut transaction = connection.begin().await?;
    let row = sql::once(sql::DATABASE_EXISTS)
        .bind(database)
        .fetch_one(&mut *transaction)
        .await?;
    transaction.commit().await?;
    row.try_get(0)
}

fn check_confirmation(what: &str, name: &str, confirm: &str) -> Result<(), StoreError> {
    if name == confirm {
        return Ok(());
    }
    let problem = format!("`{confirm}` does not confirm that the {what} `{name}` is meant");
    Err(refused(&problem, "repeat its name"))
}
