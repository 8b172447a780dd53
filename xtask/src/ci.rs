//! Everything that has to pass before a change is merged.

use std::process::ExitCode;

use crate::steps::{Steps, cargo};
use crate::workspace::Workspace;
use crate::{Result, msrv, package, readme};

/// Runs all checks, the README's commands first.
pub(crate) fn run() -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut steps = Steps::default();
    run_set_up(&mut steps, &workspace);
    let root = &workspace.root;
    steps.command("format", &mut cargo(root, ["fmt", "--all", "--check"]));
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ];
    steps.command("clippy", &mut cargo(root, clippy));
    check_features(&mut steps, &workspace);
    let mut docs = cargo(root, ["doc", "--workspace", "--no-deps", "--all-features"]);
    steps.command("docs", docs.env("RUSTDOCFLAGS", "-D warnings"));
    steps.step("package", || package::verify(&workspace));
    steps.step("migrations in the packages", || {
        package::check_migrations(&workspace)
    });
    msrv::add(&mut steps, &workspace);
    Ok(steps.finish())
}

/// Runs what the README tells a newcomer to run, word for word; tests first.
fn run_set_up(steps: &mut Steps, workspace: &Workspace) {
    let mut commands = match readme::set_up_commands(&workspace.root) {
        Ok(commands) => commands,
        Err(error) => return steps.step("set-up commands", || Err(error)),
    };
    commands.sort_by_key(|command| !command.contains("test"));
    for command in &commands {
        let name = format!("README: {command}");
        let mut words = command.split_whitespace();
        if words.next() != Some("cargo") {
            steps.step(&name, || Err("only cargo is known to be there".into()));
            continue;
        }
        let words: Vec<_> = words.collect();
        match package_of(&words).filter(|package| workspace.member(package).is_none()) {
            Some(package) => steps.skip(&name, &format!("there is no `{package}` yet")),
            None => steps.command(&name, &mut cargo(&workspace.root, words)),
        }
    }
}

fn package_of<'a>(words: &[&'a str]) -> Option<&'a str> {
    let at = words
        .iter()
        .position(|word| matches!(*word, "-p" | "--package"))?;
    words.get(at + 1).copied()
}

/// Lints every published crate without its features, and with each of them alone.
fn check_features(steps: &mut Steps, workspace: &Workspace) {
    for package in workspace.published() {
        if package.features.is_empty() {
            continue;
        }
        let features = package.features.iter().map(String::as_str);
        for feature in [""].into_iter().chain(features) {
            let name = match feature {
                "" => format!("{} without features", package.name),
                feature => format!("{} with only `{feature}`", package.name),
            };
            let mut clippy = cargo(&workspace.root, ["clippy", "-p", &package.name]);
            clippy.args(["--no-default-features", "--features", feature]);
            steps.command(&name, clippy.args(["--", "-D", "warnings"]));
        }
    }
}
