//! Whether the published crates package.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, io};

use crate::Result;
use crate::steps::{cargo, output, run};
use crate::workspace::{Package, Workspace};

/// The crates that bring migrations.
const ADAPTERS: [&str; 2] = ["ordain-sqlite", "ordain-postgres"];

/// Packages all published crates and compiles what is in the packages.
///
/// In a folder of another name each time: cargo unpacks the crates that others need beside its own, by the
/// path of the folder, and would take those of last time again.
pub(crate) fn verify(workspace: &Workspace) -> Result {
    let checks = workspace.target.join("package-check");
    match fs::remove_dir_all(&checks) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let target = checks.join(now.as_nanos().to_string());
    let mut package = cargo(&workspace.root, ["package", "--workspace"]);
    for member in &workspace.members {
        if !member.is_published {
            package.args(["--exclude", &member.name]);
        }
    }
    if allow_dirty() {
        println!(
            "   as it is in this folder, committed or not; where CI is set, only what is committed"
        );
        package.arg("--allow-dirty");
    }
    run(package.arg("--target-dir").arg(target))?;
    Ok(fs::remove_dir_all(checks)?)
}

/// Checks that the packages of the adapters hold their migrations.
pub(crate) fn check_migrations(workspace: &Workspace) -> Result {
    let adapters = ADAPTERS.iter().filter_map(|name| workspace.member(name));
    let others = workspace.published().filter(|package| {
        package.folder.join("migrations").exists() && !ADAPTERS.contains(&&*package.name)
    });
    for package in adapters.chain(others) {
        let migrations = migrations_of(&package.folder)?;
        if migrations.is_empty() {
            return Err(format!("{} has no migrations", package.name).into());
        }
        let packaged = packaged(workspace, package)?;
        let missing = migrations.iter().find(|file| !packaged.contains(file));
        if let Some(file) = missing {
            return Err(format!("the package of {} lacks {file}", package.name).into());
        }
        println!("   {}: {}", package.name, migrations.join(", "));
    }
    Ok(())
}

fn packaged(workspace: &Workspace, package: &Package) -> Result<Vec<String>> {
    let mut list = cargo(&workspace.root, ["package", "--list", "-p", &package.name]);
    if allow_dirty() {
        list.arg("--allow-dirty");
    }
    Ok(output(&mut list)?.lines().map(str::to_owned).collect())
}

fn migrations_of(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder.join("migrations")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.retain(|name| name.ends_with(".sql"));
    names.sort();
    Ok(names
        .iter()
        .map(|name| format!("migrations/{name}"))
        .collect())
}

/// A clean clone must not need it; a developer has changes that are not committed yet.
fn allow_dirty() -> bool {
    env::var_os("CI").is_none_or(|value| value.is_empty() || value == "false")
}
