//! Steps that are named as they run, and summed up at the end.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};
use std::{env, io};

use crate::Result;

/// The steps of a command. One that fails does not keep the next from running.
#[derive(Default)]
pub(crate) struct Steps {
    ended: Vec<Ended>,
}

struct Ended {
    name: String,
    took: Duration,
    outcome: Outcome,
}

enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

impl Steps {
    /// Runs a step.
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce() -> Result) {
        println!("\n== {name}");
        let begun = Instant::now();
        let outcome = match work() {
            Ok(()) => Outcome::Passed,
            Err(error) => Outcome::Failed(error.to_string()),
        };
        self.end(name, begun.elapsed(), outcome);
    }

    /// Runs a program as a step.
    pub(crate) fn command(&mut self, name: &str, command: &mut Command) {
        self.step(name, || run(command));
    }

    /// Says that a step does not run, and why.
    pub(crate) fn skip(&mut self, name: &str, reason: &str) {
        println!("\n== {name}");
        let outcome = Outcome::Skipped(reason.to_owned());
        self.end(name, Duration::ZERO, outcome);
    }

    fn end(&mut self, name: &str, took: Duration, outcome: Outcome) {
        let name = name.to_owned();
        let ended = Ended {
            name,
            took,
            outcome,
        };
        println!("== {}", ended.line());
        self.ended.push(ended);
    }

    /// Sums up.
    pub(crate) fn finish(self) -> ExitCode {
        println!("\n== summary");
        for ended in &self.ended {
            println!("{}", ended.line());
        }
        let failed = self.ended.iter().filter(|ended| ended.has_failed());
        let failed: Vec<_> = failed.map(|ended| &*ended.name).collect();
        if failed.is_empty() {
            return ExitCode::SUCCESS;
        }
        eprintln!("\nfailed: {}", failed.join(", "));
        ExitCode::FAILURE
    }
}

impl Ended {
    fn line(&self) -> String {
        let (verb, why) = match &self.outcome {
            Outcome::Passed => ("passed", String::new()),
            Outcome::Skipped(reason) => ("skipped", format!(": {reason}")),
            Outcome::Failed(error) => ("failed", format!(": {error}")),
        };
        let seconds = self.took.as_secs_f64();
        format!("{verb:<7} {seconds:>7.1} s  {}{why}", self.name)
    }

    fn has_failed(&self) -> bool {
        matches!(self.outcome, Outcome::Failed(_))
    }
}

/// A call of cargo.
pub(crate) fn cargo<S: AsRef<OsStr>>(
    root: &Path,
    arguments: impl IntoIterator<Item = S>,
) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(arguments).current_dir(root);
    cargo
}

/// Runs a program, and shows what it prints.
pub(crate) fn run(command: &mut Command) -> Result {
    println!("   {}", describe(command));
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|error| cannot_start(command, &error))?;
    if status.success() {
        Ok(())
    } else {
        Err(format!("`{}` ended with {status}", describe(command)).into())
    }
}

/// Runs a program, and gives back what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let ran = command.stdin(Stdio::null()).stderr(Stdio::inherit());
    let ran = ran
        .output()
        .map_err(|error| cannot_start(command, &error))?;
    if !ran.status.success() {
        return Err(format!("`{}` ended with {}", describe(command), ran.status).into());
    }
    Ok(String::from_utf8(ran.stdout)?)
}

fn cannot_start(command: &Command, error: &io::Error) -> String {
    format!("`{}` cannot be started: {error}", describe(command))
}

/// The program as it would be typed.
fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_stem().unwrap_or(program.as_os_str());
    let words = [program].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_steps_run_and_one_failure_fails_all() {
        let mut steps = Steps::default();
        steps.step("first", || Err("no".into()));
        steps.skip("second", "not here");
        steps.step("third", || Ok(()));
        let lines: Vec<_> = steps.ended.iter().map(Ended::line).collect();
        assert_eq!(
            lines,
            [
                "failed      0.0 s  first: no",
                "skipped     0.0 s  second: not here",
                "passed      0.0 s  third"
            ]
        );
        assert_eq!(steps.finish(), ExitCode::FAILURE);
    }

    #[test]
    fn a_program_is_described_as_it_is_typed() {
        let mut command = Command::new("/usr/bin/cargo");
        assert_eq!(describe(command.args(["test", "-j1"])), "cargo test -j1");
        let missing = run(&mut Command::new("no-such-program")).unwrap_err();
        assert!(
            missing
                .to_string()
                .starts_with("`no-such-program` cannot be started")
        );
    }
}
