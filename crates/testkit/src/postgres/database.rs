//! A database per test.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::connection::{Connection, Row};
use super::error::Error;
use super::folder::unique;
use super::search::{Found, ServerUrl};
use super::shared::Shared;

/// The SQLSTATE for a database that is not there.
const NO_DATABASE: &str = "3D000";

/// How long dropping a database may take.
const DROPPING: Duration = Duration::from_secs(10);

/// A database of a test's own.
///
/// All databases are alike, on whatever server: empty, UTF8, locale `C`.
///
/// [`create`](Self::create) puts it on the server that all tests of the run share. There it has a
/// name that no other has; roles, and other things that belong to the server as a whole, are shared.
/// When the value is dropped, the database is dropped with it if the server is the one of
/// `DATABASE_URL`, for which the drop waits up to 10 s. On a throwaway server it stays until the
/// server ends: dropping costs several times what creating costs, and disturbs all tests that run.
#[derive(Debug)]
pub struct Database {
    url: ServerUrl,
    shared: Option<Arc<Shared>>,
}

impl Database {
    /// Creates a database on the run's server, starting it if nobody has yet.
    ///
    /// Dropped halfway, it may leave an empty database behind.
    ///
    /// # Panics
    ///
    /// If there is no PostgreSQL, with advice on what to install, or if the server fails.
    pub async fn create() -> Self {
        match Self::try_create().await {
            Ok(database) => database,
            Err(error) => panic!("{error}"),
        }
    }

    /// As [`create`](Self::create), but gives the error back.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no PostgreSQL; the others if the server fails.
    pub async fn try_create() -> Result<Self, Error> {
        let shared = Shared::get().await?;
        let connection = match administer(&shared.url).await {
            Err(_) if shared.is_throwaway() && !shared.url.answers() => {
                shared.give_up();
                return Self::create_on(Shared::get().await?, None).await;
            }
            connected => connected?,
        };
        Self::create_on(shared, Some(connection)).await
    }

    async fn create_on(shared: Arc<Shared>, connection: Option<Connection>) -> Result<Self, Error> {
        let connection = match connection {
            Some(connection) => connection,
            None => administer(&shared.url).await?,
        };
        let name = format!("ordain_{}", unique());
        create(&connection, &name).await?;
        Ok(Self {
            url: shared.url.with_database(&name),
            shared: Some(shared),
        })
    }

    /// A database of a server of the test's own, which is there already.
    pub(super) fn at(server: &ServerUrl, name: &str) -> Self {
        Self {
            url: server.with_database(name),
            shared: None,
        }
    }

    /// Its URL, with the credentials of a role that may do everything.
    pub fn url(&self) -> String {
        self.url.to_string()
    }

    /// Its URL, with the credentials of another role.
    pub fn url_as(&self, role: &str, password: &str) -> String {
        self.url.with_role(role, password).to_string()
    }

    /// Its name.
    pub fn name(&self) -> String {
        self.url.database()
    }

    pub(super) fn server_url(&self) -> &ServerUrl {
        &self.url
    }

    /// What the shared server stands on; `None` on a server of the test's own.
    pub fn server(&self) -> Option<&Found> {
        self.shared.as_ref().map(|shared| &shared.found)
    }

    /// Opens a connection, for what needs one of its own: transactions, locks, settings.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`].
    pub async fn connect(&self) -> Result<Connection, Error> {
        Connection::open(&self.url()).await
    }

    /// Runs statements on a new connection.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`] and [`Connection::execute`].
    pub async fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connect().await?.execute(sql).await
    }

    /// Runs statements on a new connection, and gives back all rows.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`] and [`Connection::query`].
    pub async fn query(&self, sql: &str) -> Result<Vec<Row>, Error> {
        self.connect().await?.query(sql).await
    }

    /// Runs statements on a new connection, and gives back the first column of the only row.
    ///
    /// # Errors
    ///
    /// As [`Connection::open`] and [`Connection::value`].
    pub async fn value(&self, sql: &str) -> Result<Option<String>, Error> {
        self.connect().await?.value(sql).await
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let shared = self.shared.take();
        if let Some(shared) = shared.filter(|shared| !shared.is_throwaway()) {
            remove(shared.url.clone(), self.name());
        }
    }
}

/// Creates a database that is alike on all servers.
pub(super) async fn create(connection: &Connection, name: &str) -> Result<(), Error> {
    let name = name.replace('"', "\"\"");
    let sql = format!(
        "CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    connection.execute(&sql).await
}

/// Connects to the database that the URL names, or to the one that every server has.
async fn administer(server: &ServerUrl) -> Result<Connection, Error> {
    match Connection::open(&server.to_string()).await {
        Err(error) if error.sql_state() == Some(NO_DATABASE) => {
            Connection::open(&server.with_database("postgres").to_string()).await
        }
        connected => connected,
    }
}

/// Drops a database by a runtime of its own: the caller's may be ending.
fn remove(server: ServerUrl, name: String) {
    let (done, is_done) = mpsc::channel::<()>();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let removed = runtime.map(|runtime| {
            runtime.block_on(async {
                let connection = administer(&server).await?;
                let sql = format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)");
                connection.execute(&sql).await
            })
        });
        drop((removed, done));
    });
    // It ends when the other end is dropped, or is given up.
    let (Ok(()) | Err(_)) = is_done.recv_timeout(DROPPING);
}
