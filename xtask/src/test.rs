//! All tests.

use std::process::ExitCode;

use crate::steps::{Steps, cargo};
use crate::workspace::Workspace;
use crate::{Result, postgres};

/// The package all of whose tests need PostgreSQL, and the test target that does so elsewhere.
const PACKAGE: &str = "ordain-postgres";
const TARGET: &str = "postgres";

/// One run tells all that fails.
const TEST: [&str; 3] = ["test", "--workspace", "--no-fail-fast"];

/// Runs them; where there is no PostgreSQL, those that need none.
pub(crate) fn run(arguments: &[String]) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    let mut steps = Steps::default();
    let advice = match postgres::provide() {
        Ok(found) => {
            println!("   PostgreSQL: {found}");
            let mut test = cargo(&workspace.root, TEST);
            steps.command("test", test.args(arguments));
            None
        }
        Err(advice) => {
            run_without_postgres(&mut steps, &workspace, arguments);
            steps.step("test what needs PostgreSQL", || {
                Err("there is none; see below".into())
            });
            Some(advice)
        }
    };
    let ended = steps.finish();
    if let Some(advice) = advice {
        eprintln!("\n{advice}");
    }
    Ok(ended)
}

fn run_without_postgres(steps: &mut Steps, workspace: &Workspace, arguments: &[String]) {
    let selected = without_postgres(workspace);
    let mut test = cargo(&workspace.root, TEST);
    steps.command("test", test.args(selected).args(arguments));
    let mut docs = cargo(&workspace.root, TEST);
    docs.arg("--doc");
    let docs = docs.args(excluded(workspace)).args(arguments);
    steps.command("test the documentation", docs);
}

/// What selects the tests that need no PostgreSQL, except those in the documentation.
fn without_postgres(workspace: &Workspace) -> Vec<String> {
    let mut selected = excluded(workspace);
    selected.extend(["--lib", "--bins", "--examples"].map(str::to_owned));
    let members = workspace.members.iter();
    let others = members.filter(|member| member.name != PACKAGE);
    let tests = others.flat_map(|member| &member.tests);
    for test in tests.filter(|test| *test != TARGET) {
        selected.extend(["--test".to_owned(), test.clone()]);
    }
    selected
}

/// A package that is not there cannot be excluded.
fn excluded(workspace: &Workspace) -> Vec<String> {
    let package = workspace.member(PACKAGE);
    let excluded = package.map(|package| ["--exclude".to_owned(), package.name.clone()]);
    excluded.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_need_postgres_are_left_out_by_name() {
        let selected = without_postgres(&Workspace::load().unwrap());
        let names = || selected.iter().map(String::as_str);
        assert!(names().any(|name| name == "documents"));
        assert!(names().all(|name| name != TARGET));
    }
}
