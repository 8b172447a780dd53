//! Where tests find a PostgreSQL server.
//!
//! Needs nothing but the standard library, so that the workspace's `xtask` can compile it as well.

mod binaries;
mod engine;
mod program;
#[cfg(test)]
mod tests;
mod url;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Component, Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};
use std::{env, error, fmt, fs};

pub use self::binaries::Binaries;
use self::binaries::OLDEST;
pub use self::engine::Engine;
pub use self::url::ServerUrl;

/// The variable that names a server.
const URL: &str = "DATABASE_URL";

/// How long it is remembered that nobody answered, and how slow that has to be to be worth it.
const REMEMBERED: Duration = Duration::from_secs(60);
const SLOW: Duration = Duration::from_secs(1);

/// Looks for a server; what it finds depends on an environment and a root folder alone.
#[derive(Debug, Clone)]
pub struct Search {
    environment: BTreeMap<OsString, OsString>,
    root: PathBuf,
}

/// What a search came to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// The server that `DATABASE_URL` names; it answers.
    Url(ServerUrl),
    /// Programs, of which a server can be started.
    Binaries(Binaries),
    /// A container engine, which can run a server.
    Engine(Engine),
}

/// There is no PostgreSQL. Displayed, it says what to install.
#[derive(Clone, PartialEq, Eq)]
pub struct NotFound {
    tried: Vec<String>,
    may_be_elsewhere: bool,
}

impl Search {
    /// A search of this process's environment and machine.
    pub fn from_env() -> Self {
        Self::new(env::vars_os(), "/")
    }

    /// A search of this environment, with all paths below this root.
    pub fn new<K, V>(
        environment: impl IntoIterator<Item = (K, V)>,
        root: impl Into<PathBuf>,
    ) -> Self
    where
        K: Into<OsString>,
        V: Into<OsString>,
    {
        let pairs = environment.into_iter();
        Self {
            environment: pairs
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
            root: root.into(),
        }
    }

    /// The first that works: `DATABASE_URL`, binaries, a container engine.
    ///
    /// # Errors
    ///
    /// [`NotFound`] with advice for whoever reads it.
    pub fn run(&self) -> Result<Found, NotFound> {
        self.run_with_advice(&[])
    }

    /// As [`run`](Self::run), but what else was tried is part of the advice.
    pub fn run_with_advice(&self, tried: &[String]) -> Result<Found, NotFound> {
        let url = || self.answering_url().map(Found::Url);
        let binaries = || binaries::find(self).map(Found::Binaries);
        let engine = || engine::find(self).map(Found::Engine);
        url()
            .or_else(binaries)
            .or_else(engine)
            .ok_or_else(|| self.not_found(true, tried))
    }

    /// The server's programs, whatever else there is.
    ///
    /// # Errors
    ///
    /// [`NotFound`] with advice for whoever reads it.
    pub fn binaries(&self) -> Result<Binaries, NotFound> {
        binaries::find(self).ok_or_else(|| self.not_found(false, &[]))
    }

    /// The program of this name, in PATH or where only administrators look.
    pub fn program(&self, name: &str) -> Option<PathBuf> {
        let administrators = ["/usr/sbin", "/usr/local/sbin", "/sbin"];
        let administrators = administrators
            .iter()
            .map(|folder| self.rooted(folder.as_ref()));
        let mut files = self
            .path()
            .chain(administrators)
            .map(|folder| folder.join(name));
        files.find(|file| is_program(file))
    }

    /// A variable of the environment, if it is not empty.
    pub fn variable(&self, name: &str) -> Option<&OsStr> {
        let value = self.environment.get(OsStr::new(name))?;
        Some(value.as_os_str()).filter(|value| !value.is_empty())
    }

    /// This absolute path, below the root.
    pub fn rooted(&self, path: &Path) -> PathBuf {
        let parts = path.components();
        let parts =
            parts.filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir));
        parts.fold(self.root.clone(), |path, part| path.join(part))
    }

    fn path(&self) -> impl Iterator<Item = PathBuf> {
        let path = self.variable("PATH").unwrap_or_default();
        let folders: Vec<_> = env::split_paths(path)
            .filter(|one| one.is_absolute())
            .collect();
        folders.into_iter().map(|folder| self.rooted(&folder))
    }

    /// A call of a program in the environment of the search.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(&self.environment);
        command
    }

    fn answering_url(&self) -> Option<ServerUrl> {
        let url = ServerUrl::parse(self.variable(URL)?.to_str()?)?;
        let (host, port) = url.host();
        let question = format!("PostgreSQL at {host}:{port}");
        self.ask(&question, || url.answers()).then_some(url)
    }

    /// Asks, but not if nobody answered a moment ago: a run has many processes, and each would wait.
    fn ask(&self, question: &str, ask: impl FnOnce() -> bool) -> bool {
        let memory = self.memory_of(question);
        if is_fresh(&memory) {
            return false;
        }
        let begun = Instant::now();
        let answered = ask();
        if !answered && begun.elapsed() > SLOW {
            // Without it the next process waits as well, and that is all.
            drop(fs::remove_file(&memory));
            drop(fs::File::create_new(memory));
        }
        answered
    }

    fn memory_of(&self, question: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (question, self.variable("USER")).hash(&mut hasher);
        let folder = self.variable("TMPDIR").unwrap_or(OsStr::new("/tmp"));
        let name = format!("ordain-pg-silent-{:016x}", hasher.finish());
        self.rooted(Path::new(folder)).join(name)
    }

    fn not_found(&self, any: bool, tried: &[String]) -> NotFound {
        let url = match self.variable(URL) {
            None => format!("{URL} is not set"),
            Some(url) if url.to_str().and_then(ServerUrl::parse).is_none() => {
                format!("{URL} is not a URL of PostgreSQL (postgres://...)")
            }
            Some(_) => format!("{URL} is set, but no PostgreSQL answers there"),
        };
        let engine = "neither docker nor podman answers within 5 s".to_owned();
        let binaries = format!(
            "no server programs ({OLDEST} or newer) in PATH, by pg_config, or in the usual places"
        );
        let lines = match any {
            true => vec![url, binaries, engine],
            false => vec![binaries],
        };
        NotFound {
            tried: lines.into_iter().chain(tried.iter().cloned()).collect(),
            may_be_elsewhere: any,
        }
    }
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::metadata(file);
    metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

fn is_fresh(memory: &Path) -> bool {
    let written = fs::metadata(memory).and_then(|file| file.modified());
    let age = written
        .ok()
        .map(|then| SystemTime::now().duration_since(then));
    matches!(age, Some(Ok(age)) if age < REMEMBERED)
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(url) => write!(f, "{URL}, at {}", url.host().0),
            Self::Binaries(binaries) => binaries.fmt(f),
            Self::Engine(engine) => engine.fmt(f),
        }
    }
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "these tests need a PostgreSQL server, and there is none:"
        )?;
        for tried in &self.tried {
            writeln!(f, "  * {tried}")?;
        }
        f.write_str(ADVICE)?;
        if self.may_be_elsewhere {
            f.write_str(ELSEWHERE)?;
        }
        Ok(())
    }
}

/// As displayed: `unwrap` has to say it to whoever runs the test.
impl fmt::Debug for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl error::Error for NotFound {}

const ADVICE: &str = "\
Install one; it need not be configured or running, tests start their own:
  apt:     sudo apt-get install postgresql pgbouncer
  dnf:     sudo dnf install postgresql-server pgbouncer
  pacman:  sudo pacman -S postgresql
  apk:     sudo apk add postgresql pgbouncer
  brew:    brew install postgresql@17 pgbouncer";

const ELSEWHERE: &str = "
Or set DATABASE_URL to a server whose role may create databases: postgres://user:password@host/name";
