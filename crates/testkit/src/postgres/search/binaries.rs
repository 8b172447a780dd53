//! The server's own programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{fmt, fs};

use super::{Search, program};

/// The oldest PostgreSQL that will do.
pub(super) const OLDEST: u32 = 14;

/// What has to be in a folder of binaries.
const NEEDED: [&str; 3] = ["postgres", "initdb", "pg_ctl"];

/// Where packages put them: Debian, SUSE, Red Hat, Alpine, Homebrew, Postgres.app, source.
const PLACES: [&str; 13] = [
    "usr/lib/postgresql/*/bin",
    "usr/lib/postgresql*/bin",
    "usr/pgsql-*/bin",
    "usr/bin",
    "usr/libexec/postgresql*",
    "opt/homebrew/opt/postgresql@*/bin",
    "opt/homebrew/opt/postgresql/bin",
    "usr/local/opt/postgresql@*/bin",
    "usr/local/opt/postgresql/bin",
    "home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "Applications/Postgres.app/Contents/Versions/*/bin",
    "usr/local/pgsql/bin",
    "usr/local/bin",
];

/// A folder with the programs of a PostgreSQL server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    folder: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// Looks at a folder; `None` if not all is there, does not run, or is too old.
    pub fn at(folder: impl Into<PathBuf>) -> Option<Self> {
        let folder = folder.into();
        // Where links lead, all the other programs are as well.
        let linked = fs::canonicalize(folder.join("postgres")).ok();
        let linked = linked.and_then(|program| Some(program.parent()?.to_owned()));
        let mut folders = linked.into_iter().chain([folder]);
        let folder = folders.find(|folder| is_complete(folder))?;
        let printed = program::answer(Command::new(folder.join("postgres")).arg("--version"))?;
        let is_version = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        let version = printed.split_whitespace().find(is_version)?.to_owned();
        let digits: String = version.chars().take_while(char::is_ascii_digit).collect();
        let major = digits.parse().ok()?;
        (major >= OLDEST).then_some(Self {
            folder,
            version,
            major,
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The version, such as `17.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The version's first number.
    pub fn major(&self) -> u32 {
        self.major
    }
}

impl fmt::Display for Binaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "PostgreSQL {} in {}",
            self.version,
            self.folder.display()
        )
    }
}

fn is_complete(folder: &Path) -> bool {
    NEEDED.iter().all(|name| folder.join(name).is_file())
}

/// The first in PATH, else where `pg_config` says, else the newest of the usual places.
pub(super) fn find(search: &Search) -> Option<Binaries> {
    let in_path = || search.path().find_map(Binaries::at);
    let configured = || Binaries::at(configured(search)?);
    let newest = || {
        let folders = PLACES.iter().flat_map(|place| matches(&search.root, place));
        let found = folders.filter_map(Binaries::at);
        found.max_by_key(|one| (one.major, numbers(&one.version)))
    };
    in_path().or_else(configured).or_else(newest)
}

fn configured(search: &Search) -> Option<PathBuf> {
    let mut pg_config = search.command(&search.program("pg_config")?);
    let folder = program::answer(pg_config.arg("--bindir"))?;
    Some(search.rooted(Path::new(folder.trim())))
}

/// The folders that a pattern with at most one `*` stands for.
fn matches(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![root.join(pattern)];
    };
    let (parent, start) = before.rsplit_once('/').unwrap_or(("", before));
    let after = after.trim_start_matches('/');
    let entries = fs::read_dir(root.join(parent)).into_iter().flatten();
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names = names.filter(|name| name.starts_with(start));
    names
        .map(|name| root.join(parent).join(name).join(after))
        .collect()
}

fn numbers(version: &str) -> Vec<u32> {
    let parts = version.split(|c: char| !c.is_ascii_digit());
    parts.filter_map(|part| part.parse().ok()).collect()
}
