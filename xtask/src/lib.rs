//! The developer's commands. `cargo xtask help` lists them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "they speak to the developer"
)]

mod ci;
mod lines;
mod msrv;
mod package;
mod postgres;
mod readme;
mod steps;
mod test;
mod workspace;

use std::error::Error;
use std::process::ExitCode;

/// The README's snippets, compiled and run.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/readme.md"))]
struct Readme;

/// The snippets of a guide, compiled and run.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/handlers.md"))]
struct Handlers;

/// The snippets of a guide, compiled and run.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/projections.md"))]
struct Projections;

/// The snippets of a guide, compiled and run.
#[cfg(doctest)]
#[doc = include_str!(concat!(env!("OUT_DIR"), "/process-managers.md"))]
struct ProcessManagers;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

const HELP: &str = "\
cargo xtask <command>

  test [arguments]   all tests; the arguments are handed to `cargo test`
  ci                 everything that has to pass before a change is merged
  lines              counts the lines of the README's account
  msrv               checks that the oldest supported Rust will do
  help               prints this
";

/// Runs the command that the arguments name.
pub fn run(arguments: &[String]) -> ExitCode {
    let Some((command, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    };
    let ended = match (command.as_str(), rest) {
        ("help" | "-h" | "--help", _) => {
            print!("{HELP}");
            Ok(ExitCode::SUCCESS)
        }
        ("test", rest) => test::run(rest),
        ("ci", []) => ci::run(),
        ("lines", []) => lines::run(),
        ("msrv", []) => msrv::run_alone(),
        ("ci" | "lines" | "msrv", [unexpected, ..]) => {
            return misused(&format!("`{command}` takes no argument `{unexpected}`"));
        }
        _ => return misused(&format!("there is no command `{command}`")),
    };
    ended.unwrap_or_else(|error| {
        eprintln!("error: {error}");
        ExitCode::FAILURE
    })
}

fn misused(problem: &str) -> ExitCode {
    eprintln!("error: {problem}\n\n{HELP}");
    ExitCode::from(2)
}
