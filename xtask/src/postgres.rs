//! Makes sure of a PostgreSQL server for the tests.

use std::process::Command;

use crate::Result;
use crate::steps::{output, run};

use self::search::{Found, NotFound, Search};

/// The test kit's own; as a dependency, the test kit would take ten times as long to compile as all
/// of `xtask`.
#[allow(dead_code, unreachable_pub, reason = "only a part is needed here")]
#[path = "../../crates/testkit/src/postgres/search/mod.rs"]
mod search;

const INSTALL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/install.sh");

/// A machine to look for a server on.
struct Machine {
    search: Search,
    is_root: bool,
}

/// Finds a server, and installs what is missing where that is possible.
pub(crate) fn provide() -> std::result::Result<String, String> {
    let machine = Machine {
        search: Search::from_env(),
        is_root: output(Command::new("id").arg("-u")).is_ok_and(|id| id.trim() == "0"),
    };
    let found = machine.provide();
    found
        .map(|found| found.to_string())
        .map_err(|error| error.to_string())
}

impl Machine {
    fn provide(&self) -> std::result::Result<Found, NotFound> {
        let missing = self.missing();
        let installed = match missing[..] {
            [] => Ok(()),
            _ => self.install(&missing),
        };
        let mut tried = Vec::new();
        if let Err(error) = installed {
            println!("   {} cannot be installed: {error}", missing.join(" and "));
            tried.push(error.to_string());
        }
        self.search.run_with_advice(&tried)
    }

    /// The packages that the tests need and this machine lacks.
    fn missing(&self) -> Vec<&'static str> {
        let mut missing = Vec::new();
        if self.search.binaries().is_err() {
            missing.push("postgresql");
        }
        if self.search.program("pgbouncer").is_none() {
            missing.push("pgbouncer");
        }
        missing
    }

    fn install(&self, packages: &[&str]) -> Result {
        run(self.installer()?.arg(INSTALL).args(packages))
    }

    /// The shell that may install packages.
    fn installer(&self) -> Result<Command> {
        if self.search.program("apt-get").is_none() {
            return Err("there is no apt-get, and no other package manager is called".into());
        }
        if self.is_root {
            return Ok(Command::new("sh"));
        }
        let sudo = self.search.program("sudo");
        let mut sudo = Command::new(sudo.ok_or("only root may, and there is no sudo")?);
        sudo.arg("-n");
        if output(Command::new(sudo.get_program()).args(["-n", "true"])).is_err() {
            return Err("only root may, and sudo asks for a password".into());
        }
        sudo.arg("sh");
        Ok(sudo)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    fn machine(root: &Path) -> Machine {
        Machine {
            search: Search::new([("PATH", "/usr/bin")], root),
            is_root: false,
        }
    }

    fn write_program(root: &Path, name: &str, script: &str) {
        let file = root.join("usr/bin").join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    #[test]
    fn an_ordinary_user_of_an_empty_machine_is_told_what_to_install() {
        let root = tempfile::tempdir().unwrap();
        let told = machine(root.path()).provide().unwrap_err().to_string();
        for words in [
            "DATABASE_URL is not set",
            "no server programs (14 or newer)",
            "neither docker nor podman",
            "there is no apt-get",
            "sudo apt-get install postgresql pgbouncer",
            "sudo dnf install postgresql-server pgbouncer",
            "sudo pacman -S postgresql",
            "sudo apk add postgresql pgbouncer",
            "brew install postgresql@17 pgbouncer",
        ] {
            assert!(told.contains(words), "{words} is not in: {told}");
        }
    }

    #[test]
    fn whoever_may_not_install_is_told_so() {
        let root = tempfile::tempdir().unwrap();
        write_program(root.path(), "apt-get", "exit 1");
        let told = machine(root.path()).provide().unwrap_err().to_string();
        assert!(
            told.contains("only root may, and there is no sudo"),
            "{told}"
        );
        write_program(root.path(), "sudo", "exit 1");
        let told = machine(root.path()).provide().unwrap_err().to_string();
        assert!(told.contains("sudo asks for a password"), "{told}");
    }

    #[test]
    fn what_is_missing_is_installed() {
        let root = tempfile::tempdir().unwrap();
        write_program(root.path(), "apt-get", "exit 1");
        let asked = root.path().join("asked");
        let note = format!("[ $# = 2 ] || echo \"$4 $5\" >{}", asked.display());
        write_program(root.path(), "sudo", &note);
        machine(root.path()).provide().unwrap_err();
        assert_eq!(
            fs::read_to_string(&asked).unwrap(),
            "postgresql pgbouncer\n"
        );

        fs::remove_file(&asked).unwrap();
        for name in ["postgres", "initdb", "pg_ctl"] {
            write_program(root.path(), name, "echo postgres 15.1");
        }
        machine(root.path()).provide().unwrap();
        assert_eq!(fs::read_to_string(&asked).unwrap(), "pgbouncer \n");
    }
}
