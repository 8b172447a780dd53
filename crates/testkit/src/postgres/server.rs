//! Servers of a test's own.

use std::path::PathBuf;
use std::sync::Arc;

use super::blocking;
use super::cluster::Cluster;
use super::connection::Connection;
use super::database::{Database, create};
use super::error::Error;
use super::processes;
use super::search::{Binaries, Search};

/// What a server is started with.
#[derive(Debug, Clone, Default)]
pub struct ServerOptions {
    settings: Vec<(String, String)>,
    binaries: Option<Binaries>,
}

impl ServerOptions {
    /// Durable, 300 connections, and otherwise PostgreSQL's own defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a parameter of `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Takes these programs, not those that a [`Search`] finds.
    #[must_use]
    pub fn binaries(mut self, binaries: Binaries) -> Self {
        self.binaries = Some(binaries);
        self
    }
}

/// How a server is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Stop {
    /// Connections are cut, and all is written down first.
    Fast,
    /// At once, as in a crash; the next start recovers.
    Immediate,
}

/// A server of a test's own, to stop, freeze, kill or promote.
///
/// It is always made of programs on this machine, whatever `DATABASE_URL` says, listens on the
/// loopback interface alone, and wants a password, which is in its URLs. When the value is dropped
/// or the process ends, by whatever end, the server is stopped and its folder removed, in the
/// background.
///
/// What is begun goes on in the background if its future is dropped.
#[derive(Debug)]
pub struct Server {
    cluster: Arc<Cluster>,
}

impl Server {
    /// Starts an empty server.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there are no programs, with advice on what to install;
    /// [`Error::Server`] if they fail.
    pub async fn start(options: ServerOptions) -> Result<Self, Error> {
        blocking(move || {
            let binaries = match options.binaries {
                Some(binaries) => binaries,
                None => Search::from_env().binaries()?,
            };
            Ok(Self::of(Cluster::start(binaries, &options.settings)?))
        })
        .await
    }

    fn of(cluster: Cluster) -> Self {
        Self {
            cluster: Arc::new(cluster),
        }
    }

    /// Creates a database, which lives as long as the server.
    ///
    /// # Errors
    ///
    /// [`Error::Sql`] if the server refuses.
    pub async fn create_database(&self, name: &str) -> Result<Database, Error> {
        let connection = Connection::open(&self.url("postgres")).await?;
        create(&connection, name).await?;
        Ok(self.database(name))
    }

    /// A database that is there already, as on a standby.
    pub fn database(&self, name: &str) -> Database {
        Database::at(&self.cluster.url(), name)
    }

    /// The URL of a database, with the credentials of a role that may do everything.
    pub fn url(&self, database: &str) -> String {
        self.cluster.url().with_database(database).to_string()
    }

    /// Its port, which stays the same over restarts.
    pub fn port(&self) -> u16 {
        self.cluster.port
    }

    /// Its programs.
    pub fn binaries(&self) -> &Binaries {
        &self.cluster.binaries
    }

    /// Its data, for the eyes of the account that it runs as.
    pub fn data_directory(&self) -> PathBuf {
        self.cluster.data()
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        self.cluster.log()
    }

    /// Stops it; its data and its port stay.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not run, or does not stop within 60 s.
    pub async fn stop(&self, stop: Stop) -> Result<(), Error> {
        let mode = match stop {
            Stop::Fast => "fast",
            Stop::Immediate => "immediate",
        };
        self.with_cluster(move |cluster| cluster.control(&["stop", "-w", "-t", "60", "-m", mode]))
            .await
    }

    /// Starts it again, after it was stopped or killed.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] with the end of its log if it does not start within 60 s.
    pub async fn start_again(&self) -> Result<(), Error> {
        self.with_cluster(|cluster| {
            cluster.forget_the_dead()?;
            cluster.run()
        })
        .await
    }

    /// Freezes all its processes: connections stay open, and nobody answers.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not run.
    pub async fn freeze(&self) -> Result<(), Error> {
        self.with_cluster(|cluster| processes::freeze(cluster.pid()?))
            .await
    }

    /// Lets a frozen server go on.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not run.
    pub async fn thaw(&self) -> Result<(), Error> {
        self.with_cluster(|cluster| processes::thaw(cluster.pid()?))
            .await
    }

    /// Kills all its processes at once, as a power cut would.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not run.
    pub async fn kill(&self) -> Result<(), Error> {
        self.with_cluster(|cluster| processes::kill(cluster.pid()?))
            .await
    }

    /// Starts a standby, which follows this server by streaming and answers reads.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not run, or cannot be copied.
    pub async fn standby(&self) -> Result<Self, Error> {
        self.with_cluster(|cluster| Ok(Self::of(cluster.copy(&["-R"])?)))
            .await
    }

    /// Makes a standby a server in its own right.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it is no standby.
    pub async fn promote(&self) -> Result<(), Error> {
        self.with_cluster(|cluster| cluster.control(&["promote", "-w", "-t", "60"]))
            .await
    }

    /// Starts a server of its own on a backup of this one, as after a restore.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if it does not run, or cannot be copied.
    pub async fn restored_copy(&self) -> Result<Self, Error> {
        self.with_cluster(|cluster| Ok(Self::of(cluster.copy(&[])?)))
            .await
    }

    async fn with_cluster<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Cluster) -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || work(&cluster)).await
    }
}
