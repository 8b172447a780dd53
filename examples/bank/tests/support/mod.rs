//! Runs the bank's program.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "support of tests, of which each file uses a part"
)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// What a run of the program left behind.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_bank"))
}

pub fn bank<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Ran {
    let output = command().args(arguments).stdin(Stdio::null()).output();
    Ran::of(output.unwrap())
}

/// Runs the lines through the standard input.
pub fn bank_on_stdin(arguments: &[&str], input: &[u8]) -> Ran {
    let mut child = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    Ran::of(child.wait_with_output().unwrap())
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The summary without what differs from run to run.
    pub fn table(&self) -> &str {
        table(&self.out)
    }

    /// The number in the row of the summary that begins like this.
    #[track_caller]
    pub fn number(&self, row: &str) -> u64 {
        let rest = self
            .out
            .lines()
            .find_map(|line| line.trim().strip_prefix(row));
        let word = rest.unwrap().split_whitespace().next().unwrap();
        word.replace(',', "").parse().unwrap()
    }
}

/// A summary without what differs from run to run.
#[track_caller]
pub fn table(out: &str) -> &str {
    let (table, run) = out.split_once("\nRun\n").expect("a summary");
    assert!(run.contains("throughput"), "{run}");
    table
}

pub fn day() -> PathBuf {
    data("day.jsonl")
}

pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("data")
        .join(name)
}

pub fn store_in(directory: &Path) -> String {
    format!("sqlite:{}", directory.join("bank.db").display())
}
