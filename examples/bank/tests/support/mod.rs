//! Runs the bank's program.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    dead_code,
    unreachable_pub,
    reason = "support of tests, of which each file uses a part"
)]

#[cfg(unix)]
pub mod kill;
#[cfg(unix)]
pub mod load;
#[cfg(unix)]
pub mod serve;

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

/// A day of few lines: `A1` is opened, gets 10.00, pays 2.50, and cannot pay 50.00.
pub const FEW: &str = r#"{"id":"1","command":"OpenAccount","account":"A1","owner":"Ann"}
{"id":"2","command":"Deposit","account":"A1","amount":1000}
{"id":"3","command":"Withdraw","account":"A1","amount":250}
{"id":"4","command":"Withdraw","account":"A1","amount":5000}
"#;

/// What the program shows of `A1` after these.
pub const SHOWN: &str = "Account  A1\nOwner    Ann\nState    open\nBalance  7.50\nEvents   3\n";

/// Checks what the program tells of the history of `A1` after these.
#[track_caller]
pub fn check_history(history: &Ran) {
    assert_eq!(history.code, 0, "{}", history.err);
    let rows: Vec<Vec<_>> = history
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let ends: Vec<_> = rows[1..].iter().map(|row| row[3..].join(" ")).collect();
    assert_eq!(
        ends,
        [
            "opened 0.00",
            "deposited 10.00 10.00",
            "withdrawn -2.50 7.50"
        ]
    );
    assert_eq!(rows[3][0], "3");
}

pub fn store_in(directory: &Path) -> String {
    store_named(directory, "bank.db")
}

pub fn store_named(directory: &Path, name: &str) -> String {
    format!("sqlite:{}", directory.join(name).display())
}
