//! PgBouncer between a test and its server.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::account::Account;
use super::blocking;
use super::cluster::{free_port, name_for};
use super::database::Database;
use super::error::{Error, run};
use super::folder::{Base, Folder};
use super::processes::wait_until;
use super::search::{Search, ServerUrl};

const STOP: &str = r#"read -r pid <"$0/pid" && kill -KILL "$pid""#;

/// How long it may take to listen.
const START: Duration = Duration::from_secs(30);

/// When PgBouncer gives a connection to somebody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PoolMode {
    /// When the client leaves.
    Session,
    /// After every transaction.
    Transaction,
    /// After every statement.
    Statement,
}

/// A PgBouncer of a test's own, in front of one server.
///
/// It is the distribution's program, listens on the loopback interface alone, and ends with the
/// value, or with the process, by whatever end.
#[derive(Debug)]
pub struct PgBouncer {
    url: ServerUrl,
    _folder: Folder,
}

impl PgBouncer {
    /// Starts one in front of the server of this database, for the role of its URL.
    ///
    /// The settings are lines of the section `[pgbouncer]`; a later one wins. What is begun goes on
    /// in the background if the future is dropped.
    ///
    /// # Errors
    ///
    /// [`Error::Server`] if `pgbouncer` is not installed, with advice, or does not start.
    pub async fn start(
        database: &Database,
        mode: PoolMode,
        settings: &[(&str, &str)],
    ) -> Result<Self, Error> {
        let url = database.server_url().clone();
        let settings = settings
            .iter()
            .map(|(name, value)| format!("{name} = {value}"));
        let settings = settings.collect::<Vec<_>>().join("\n");
        blocking(move || Self::start_blocking(&url, mode, &settings)).await
    }

    /// The URL of a database behind it.
    pub fn url(&self, database: &str) -> String {
        self.url.with_database(database).to_string()
    }

    fn start_blocking(server: &ServerUrl, mode: PoolMode, settings: &str) -> Result<Self, Error> {
        let program = Search::from_env().program("pgbouncer").ok_or_else(|| {
            let advice = "these tests need pgbouncer, and it is neither in PATH nor in /usr/sbin; \
                          the package is called pgbouncer by apt, dnf, apk and brew";
            Error::Server(advice.into())
        })?;
        let account = Account::of_servers()?;
        let base = Base::lock(&name_for(&program), account)?;
        let folder = base.make(Duration::ZERO, stop)?;
        drop(base);
        let port = free_port()?;
        let (role, password) = server.role();
        let quoted = |text: &str| text.replace('"', "\"\"");
        let users = format!("\"{}\" \"{}\"\n", quoted(&role), quoted(&password));
        folder.write("users.txt", &users)?;
        let ini = ini(server, &folder, port, mode, settings);
        let ini = folder.write("pgbouncer.ini", &ini)?;
        run(account.command(&program, folder.path()).arg("-d").arg(ini))?;
        let url = server.with_port(port);
        wait_until(START, "pgbouncer does not answer", || Ok(url.answers()))?;
        Ok(Self {
            url,
            _folder: folder,
        })
    }
}

fn stop(folder: &Path) -> Command {
    let mut stop = Command::new("sh");
    stop.args(["-c", STOP]).arg(folder);
    stop
}

fn ini(server: &ServerUrl, folder: &Folder, port: u16, mode: PoolMode, settings: &str) -> String {
    let (host, server_port) = server.host();
    let folder = folder.path().display();
    let mode = match mode {
        PoolMode::Session => "session",
        PoolMode::Transaction => "transaction",
        PoolMode::Statement => "statement",
    };
    // Drivers set `extra_float_digits`, which PgBouncer refuses unless told.
    format!(
        "[databases]\n* = host={host} port={server_port}\n\
         [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n\
         auth_type = plain\nauth_file = {folder}/users.txt\npool_mode = {mode}\n\
         pidfile = {folder}/pid\nlogfile = {folder}/log\n\
         ignore_startup_parameters = extra_float_digits\n{settings}\n"
    )
}
