//! A server of our own: its data, its process.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{env, fs};

use super::account::Account;
use super::error::{Error, run};
use super::folder::{Base, Folder, unique};
use super::processes;
use super::search::{Binaries, ServerUrl};

const STOP: &str = include_str!("stop_server.sh");

/// The role that owns everything.
pub(super) const SUPERUSER: &str = "postgres";

/// What a server is started with.
///
/// Durable, since stores refuse to run otherwise; small, since there may be several.
pub(super) const SETTINGS: [(&str, &str); 5] = [
    ("max_connections", "300"),
    ("shared_buffers", "32MB"),
    ("max_wal_size", "2GB"),
    ("checkpoint_timeout", "15min"),
    ("listen_addresses", "127.0.0.1"),
];

/// Ports from here on are tried: below those that systems give to outgoing connections.
const PORTS: std::ops::Range<u16> = 16_000..32_000;
const ATTEMPTS: usize = 5;

/// A server of our own, whether it runs or not.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) binaries: Binaries,
    pub(super) folder: Folder,
    pub(super) port: u16,
    pub(super) password: String,
}

impl Cluster {
    /// Makes an empty one and starts it.
    pub(super) fn start(binaries: Binaries, settings: &[(String, String)]) -> Result<Self, Error> {
        let base = Base::lock(&base_name(&binaries), Account::of_servers()?)?;
        let folder = make_folder(&base, &binaries, Duration::ZERO)?;
        drop(base);
        Self::start_in(folder, binaries, settings)
    }

    /// As [`start`](Self::start), in this folder.
    pub(super) fn start_in(
        folder: Folder,
        binaries: Binaries,
        settings: &[(String, String)],
    ) -> Result<Self, Error> {
        let mut cluster = Self {
            binaries,
            folder,
            port: 0,
            password: unique(),
        };
        cluster.init()?;
        cluster.set(SETTINGS)?;
        let settings = settings.iter();
        cluster.set(settings.map(|(name, value)| (name.as_str(), value.as_str())))?;
        cluster.run_somewhere()?;
        Ok(cluster)
    }

    /// Copies this one, which has to run, and starts the copy.
    pub(super) fn copy(&self, options: &[&str]) -> Result<Self, Error> {
        let base = Base::lock(&base_name(&self.binaries), self.folder.account())?;
        let folder = make_folder(&base, &self.binaries, Duration::ZERO)?;
        drop(base);
        let mut copy = Self {
            binaries: self.binaries.clone(),
            folder,
            port: 0,
            password: self.password.clone(),
        };
        let mut backup = copy.program("pg_basebackup");
        backup
            .env("PGPASSWORD", &self.password)
            .arg("-D")
            .arg(copy.data());
        backup.args([
            "-h",
            "127.0.0.1",
            "-U",
            SUPERUSER,
            "-p",
            &self.port.to_string(),
        ]);
        run(backup
            .args(["-X", "stream", "-c", "fast", "--no-sync"])
            .args(options))?;
        copy.run_somewhere()?;
        Ok(copy)
    }

    /// Starts it where it was.
    pub(super) fn run(&self) -> Result<(), Error> {
        let log = self.folder.path().join("log");
        let mut start = self.ctl("start");
        let started = run(start.args(["-w", "-t", "60", "-l"]).arg(&log));
        started.map(drop).map_err(|error| {
            let log = self.log();
            let last: Vec<_> = log.lines().rev().take(20).collect();
            let last: Vec<_> = last.into_iter().rev().collect();
            Error::Server(format!("{error}\nits log ends with:\n{}", last.join("\n")))
        })
    }

    /// Runs `pg_ctl`.
    pub(super) fn control(&self, arguments: &[&str]) -> Result<(), Error> {
        let (action, options) = arguments.split_first().unwrap_or((&"status", &[]));
        run(self.ctl(action).args(options)).map(drop)
    }

    pub(super) fn url(&self) -> ServerUrl {
        let url = format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}",
            self.password, self.port
        );
        ServerUrl::parse(&url).expect("it is a URL")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The number of the server's first process.
    pub(super) fn pid(&self) -> Result<i32, Error> {
        let file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&file).map_err(Error::io("the server does not run"))?;
        let pid = text
            .lines()
            .next()
            .and_then(|line| line.trim().parse().ok());
        pid.ok_or_else(|| Error::Server(format!("{} is not complete", file.display())))
    }

    /// Forgets a process that was killed: where nobody collects the dead, it seems to live.
    pub(super) fn forget_the_dead(&self) -> Result<(), Error> {
        let is_dead = self.pid().and_then(|pid| Ok(!processes::is_living(pid)?));
        if !is_dead.unwrap_or(false) {
            return Ok(());
        }
        let socket = format!(".s.PGSQL.{}.lock", self.port);
        let files = [
            self.data().join("postmaster.pid"),
            self.folder.path().join(socket),
        ];
        let mut removed = files.iter().map(|file| (file, fs::remove_file(file)));
        removed.try_for_each(|(file, removed)| removed.map_err(Error::io(file.display())))
    }

    fn init(&self) -> Result<(), Error> {
        let password = self.folder.write("password", &self.password)?;
        let mut init = self.program("initdb");
        init.args([
            "--locale=C",
            "-E",
            "UTF8",
            "-A",
            "password",
            "-U",
            SUPERUSER,
        ]);
        init.args(["--no-sync", "--pwfile"]).arg(&password);
        run(init.arg("-D").arg(self.data())).map(drop)
    }

    /// Starts it at a free port; another one may take the port at the same moment.
    fn run_somewhere(&mut self) -> Result<(), Error> {
        let mut attempts = 0..ATTEMPTS;
        loop {
            attempts.next();
            self.port = free_port()?;
            let (port, sockets) = (self.port.to_string(), self.folder.path().to_string_lossy());
            self.set([("port", &*port), ("unix_socket_directories", &*sockets)])?;
            match self.run() {
                Err(_) if !attempts.is_empty() && !is_free(self.port) => {}
                ended => return ended,
            }
        }
    }

    fn set<'a>(&self, settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Error> {
        let file = self.data().join("postgresql.conf");
        let lines = settings.into_iter().map(|(name, value)| {
            let value = value.replace('\'', "''");
            format!("{name} = '{value}'\n")
        });
        let lines: String = lines.collect();
        let open = fs::OpenOptions::new().append(true).open(&file);
        let written = open.and_then(|mut file| file.write_all(lines.as_bytes()));
        written.map_err(Error::io(file.display()))
    }

    fn ctl(&self, action: &str) -> Command {
        let mut ctl = self.program("pg_ctl");
        ctl.arg(action).arg("-D").arg(self.data());
        ctl
    }

    fn program(&self, name: &str) -> Command {
        let program = self.binaries.folder().join(name);
        self.folder.account().command(&program, self.folder.path())
    }
}

/// Makes a folder whose keeper stops the server in it.
pub(super) fn make_folder(
    base: &Base,
    binaries: &Binaries,
    grace: Duration,
) -> Result<Folder, Error> {
    base.make(grace, |folder| stop(folder, binaries))
}

/// What stops the server in a folder, in whatever state it is.
pub(super) fn stop(folder: &Path, binaries: &Binaries) -> Command {
    let mut stop = Command::new("sh");
    stop.args(["-c", STOP, "stop"]).arg(folder);
    stop.arg(binaries.folder().join("pg_ctl"));
    stop
}

/// The name of the base for servers of these binaries.
pub(super) fn base_name(binaries: &Binaries) -> String {
    name_for((binaries.folder(), binaries.version()))
}

/// The name of the base for servers that are all the same: this user's, this version's, this run's.
pub(super) fn name_for(kind: impl Hash) -> String {
    let mut hasher = DefaultHasher::new();
    (kind, env!("CARGO_PKG_VERSION"), env::var_os(super::LABEL)).hash(&mut hasher);
    let hash = hasher.finish() as u32;
    format!("ordain-pg-{}-{hash:08x}", Account::own().uid)
}

/// A port of the loopback interface that nobody has at this moment.
pub(super) fn free_port() -> Result<u16, Error> {
    let span = u64::from(PORTS.end - PORTS.start);
    let random = u64::from_str_radix(&unique(), 16).unwrap_or_default();
    let mut ports = (0..span).map(|step| PORTS.start + ((random.wrapping_add(step)) % span) as u16);
    ports
        .find(|port| is_free(*port))
        .ok_or_else(|| Error::Server("no port of the loopback interface is free".into()))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
