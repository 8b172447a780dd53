//! Whether the oldest supported Rust will do.

use std::process::{Command, ExitCode};

use crate::Result;
use crate::steps::{Steps, output, run};
use crate::workspace::{Package, Workspace};

/// Checks as a command of its own.
pub(crate) fn run_alone() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut steps = Steps::default();
    add(&mut steps, &workspace);
    Ok(steps.finish())
}

/// Adds the check's steps.
pub(crate) fn add(steps: &mut Steps, workspace: &Workspace) {
    let member = workspace
        .members
        .iter()
        .find_map(|one| one.rust_version.as_deref());
    let Some(oldest) = member else {
        return steps.step("msrv", || Err("no member says its rust-version".into()));
    };
    steps.step("msrv of the dependencies", || {
        check_dependencies(workspace, oldest)
    });
    let name = format!("msrv, by Rust {oldest}");
    if has_toolchain(oldest) {
        let check = ["cargo", "check", "--workspace", "--all-targets"];
        let mut rustup = Command::new("rustup");
        rustup.args(["run", oldest]).args(check);
        rustup
            .current_dir(&workspace.root)
            .env_remove("CARGO")
            .env_remove("RUSTC");
        rustup.env("CARGO_TARGET_DIR", workspace.target.join("msrv"));
        steps.step(&name, || run(&mut rustup));
    } else {
        let reason = format!("it is not installed; `rustup toolchain install {oldest}` does that");
        steps.skip(&name, &reason);
    }
}

/// Checks that nothing that is compiled here asks for a newer Rust.
fn check_dependencies(workspace: &Workspace, oldest: &str) -> Result {
    let is_newer = |package: &&Package| {
        let needed = package.rust_version.as_deref();
        needed.is_some_and(|needed| numbers(needed) > numbers(oldest))
    };
    let packages = workspace.with_dependencies()?;
    let newer = packages.iter().filter(is_newer);
    let newer: Vec<_> = newer
        .map(|one| format!("{} {}", one.name, one.version))
        .collect();
    if newer.is_empty() {
        return Ok(());
    }
    Err(format!("newer than Rust {oldest}: {}", newer.join(", ")).into())
}

fn has_toolchain(version: &str) -> bool {
    let toolchains = output(Command::new("rustup").args(["toolchain", "list"]));
    let is_it = |line: &str| {
        let rest = line.strip_prefix(version);
        rest.is_some_and(|rest| rest.starts_with('-'))
    };
    toolchains.is_ok_and(|toolchains| toolchains.lines().any(is_it))
}

fn numbers(version: &str) -> Vec<u64> {
    let mut numbers: Vec<_> = version
        .split('.')
        .map(|part| part.parse().unwrap_or(0))
        .collect();
    numbers.resize(3, 0);
    numbers
}

#[cfg(test)]
mod tests {
    use super::numbers;

    #[test]
    fn versions_compare_by_number() {
        assert!(numbers("1.100") > numbers("1.94"));
        assert_eq!(numbers("1.94"), numbers("1.94.0"));
    }
}
