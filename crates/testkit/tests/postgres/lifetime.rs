//! When the shared server begins and ends, with users that are processes of their own.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Lines};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, fs};

use ordain_testkit::postgres::{Database, Server, ServerOptions};
use tempfile::TempDir;

use crate::support::eventually;

/// A run: users of one server, whose folder is below this one.
struct Run {
    folder: TempDir,
}

/// A process that uses the shared server until its standard input ends.
struct User {
    process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

/// What a user knows of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    data: PathBuf,
    pid: i32,
}

/// Run by the others as a process of its own.
#[tokio::test]
#[ignore = "it is a part of other tests, which start it"]
async fn user() {
    let database = Database::create().await;
    let data = database.value("SHOW data_directory").await.unwrap();
    println!("\nuses {}", data.unwrap());
    std::io::stdin().lines().for_each(drop);
}

impl Run {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // As the folder for temporary files is: root's servers are another account's.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o1777)).unwrap();
        Self { folder }
    }

    /// Starts a process that uses the run's server.
    fn user(&self) -> User {
        self.user_with(&[("ORDAIN_PG_GRACE", "1")])
    }

    fn user_with(&self, environment: &[(&str, &str)]) -> User {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "lifetime::user", "--ignored", "--nocapture"]);
        command
            .env_remove("DATABASE_URL")
            .env("TMPDIR", self.folder.path());
        command.envs(environment.iter().copied());
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let output = process.stdout.take().unwrap();
        User {
            input: process.stdin.take(),
            output: BufReader::new(output).lines(),
            process,
        }
    }

    /// What is below the folder at this depth.
    fn entries(&self, depth: usize) -> Vec<PathBuf> {
        (0..depth).fold(vec![self.folder.path().to_owned()], |folders, _| {
            let entries = folders
                .iter()
                .filter_map(|folder| fs::read_dir(folder).ok());
            entries
                .flatten()
                .map(|entry| entry.unwrap().path())
                .collect()
        })
    }

    async fn wait_for_end(&self) {
        let is_empty = || self.entries(1).is_empty();
        eventually("all folders are gone", is_empty).await;
    }
}

impl User {
    /// Waits until it has a database.
    fn seen(&mut self) -> Seen {
        let mut lines = self.output.by_ref().map(Result::unwrap);
        let data = lines.find_map(|line| Some(PathBuf::from(line.strip_prefix("uses ")?)));
        let data = data.expect("the user has a database");
        let pid = fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().parse().unwrap();
        Seen { data, pid }
    }

    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn end(mut self) {
        self.input = None;
        assert!(self.process.wait().unwrap().success());
    }
}

impl Seen {
    async fn kill_keeper(&self) {
        let keeper = fs::read_to_string(self.data.with_file_name("keeper")).unwrap();
        let keeper = keeper.trim().parse().unwrap();
        signal("-KILL", keeper);
        eventually("the keeper is gone", || is_gone(keeper)).await;
    }

    async fn wait_for_end(&self) {
        eventually("the server ends", || is_gone(self.pid)).await;
    }
}

/// Whether a process has ended; nobody may have collected it, but then it has no command line.
fn is_gone(pid: i32) -> bool {
    let command_line = fs::read(format!("/proc/{pid}/cmdline"));
    command_line.unwrap_or_default().is_empty()
}

fn signal(signal: &str, pid: i32) {
    let sent = Command::new("kill")
        .args([signal, &pid.to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[tokio::test]
async fn the_server_ends_with_its_last_user_though_that_is_killed() {
    let run = Run::new();
    let mut user = run.user();
    let seen = user.seen();
    user.kill();
    seen.wait_for_end().await;
    run.wait_for_end().await;
}

#[tokio::test]
async fn processes_share_a_server_at_once_and_one_after_another() {
    let run = Run::new();
    let user = || run.user_with(&[]);
    let (mut one, mut other) = (user(), user());
    let seen = one.seen();
    assert_eq!(other.seen(), seen);
    one.end();
    other.end();
    let mut next = user();
    assert_eq!(next.seen(), seen);
    next.end();
    seen.wait_for_end().await;
    run.wait_for_end().await;
}

#[tokio::test]
async fn a_server_that_is_half_made_is_replaced() {
    let run = Run::new();
    let mut killed = run.user();
    eventually("a server is being made", || !run.entries(3).is_empty()).await;
    killed.kill();
    let mut next = run.user();
    next.seen();
    next.end();
    run.wait_for_end().await;
}

#[tokio::test]
async fn a_server_that_died_is_replaced() {
    let run = Run::new();
    let mut first = run.user();
    let dead = first.seen();
    signal("-KILL", dead.pid);
    dead.wait_for_end().await;
    let mut second = run.user();
    let alive = second.seen();
    assert_ne!(alive.data, dead.data);
    first.end();
    second.end();
    run.wait_for_end().await;
}

#[tokio::test]
async fn a_keeper_that_was_killed_is_replaced() {
    let run = Run::new();
    let mut first = run.user();
    let seen = first.seen();
    seen.kill_keeper().await;
    let mut second = run.user();
    second.seen();
    second.end();
    // The one that lost its keeper still has its server.
    assert!(seen.data.join("postmaster.pid").exists());
    first.end();
    seen.wait_for_end().await;
    run.wait_for_end().await;
}

#[tokio::test]
async fn what_a_power_cut_left_is_removed() {
    let run = Run::new();
    let mut user = run.user();
    let seen = user.seen();
    seen.kill_keeper().await;
    user.kill();
    signal("-KILL", seen.pid);
    seen.wait_for_end().await;
    // By now its number is that of another process, which has to be left alone.
    let file = seen.data.join("postmaster.pid");
    let text = fs::read_to_string(&file).unwrap();
    let (_, rest) = text.split_once('\n').unwrap();
    fs::write(file, format!("{}\n{rest}", std::process::id())).unwrap();

    let mut next = run.user();
    assert_ne!(next.seen().data, seen.data);
    next.end();
    run.wait_for_end().await;
}

#[tokio::test]
async fn a_server_that_is_named_is_used_and_left_clean() {
    let run = Run::new();
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let url = server.url("not_there");
    let mut user = run.user_with(&[("DATABASE_URL", &url)]);
    assert_eq!(user.seen().data, server.data_directory());
    let databases = "SELECT count(*) FROM pg_database WHERE datname LIKE 'ordain%'";
    let postgres = server.database("postgres");
    assert_eq!(postgres.value(databases).await.unwrap().unwrap(), "1");
    user.end();
    assert_eq!(postgres.value(databases).await.unwrap().unwrap(), "0");
    assert!(run.entries(1).is_empty());
}
