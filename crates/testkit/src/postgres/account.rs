//! Whose processes servers are.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{env, fs, io};

use super::Error;

/// Whom root runs servers as, since PostgreSQL refuses to be root's.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// Closes what was inherited by chance: a pipe that a server holds open keeps its reader waiting.
const WITHOUT_INHERITED_FILES: &str = r#"exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-; exec "$0" "$@""#;

/// The account that servers run as.
#[derive(Debug, Clone, Copy)]
pub(super) struct Account {
    pub(super) uid: u32,
    gid: u32,
    is_other: bool,
}

impl Account {
    /// The account of this process.
    pub(super) fn own() -> Self {
        Self {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            is_other: false,
        }
    }

    /// The account for programs that refuse to be root's.
    pub(super) fn of_servers() -> Result<Self, Error> {
        let own = Self::own();
        if own.uid != 0 {
            return Ok(own);
        }
        let accounts = fs::read_to_string("/etc/passwd").map_err(Error::io("/etc/passwd"))?;
        let mut found = UNPRIVILEGED.iter().filter_map(|name| find(&accounts, name));
        found.next().ok_or_else(|| {
            Error::Server("root needs an account `postgres` or `nobody` to run servers as".into())
        })
    }

    /// Whether this account can make and remove something in the folder.
    pub(super) fn can_use(self, folder: &Path) -> bool {
        let allows = |folder: &Path, bits| {
            fs::metadata(folder).is_ok_and(|found| found.permissions().mode() & bits == bits)
        };
        let is_open = |folder| allows(folder, 0o001);
        !self.is_other || allows(folder, 0o003) && folder.ancestors().all(is_open)
    }

    /// Makes a file or a folder this account's.
    pub(super) fn give(self, path: &Path) -> io::Result<()> {
        match self.is_other {
            true => chown(path, Some(self.uid), Some(self.gid)),
            false => Ok(()),
        }
    }

    /// A program of this account's, in this folder, out of reach of the terminal and of test runners.
    pub(super) fn command(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", WITHOUT_INHERITED_FILES]).arg(program);
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("PG") {
                command.env_remove(name);
            }
        }
        command
            .env("LC_ALL", "C")
            .current_dir(folder)
            .stdin(Stdio::null());
        if self.is_other {
            command.env("HOME", folder).uid(self.uid).gid(self.gid);
        }
        command.process_group(0);
        command
    }
}

fn find(accounts: &str, name: &str) -> Option<Account> {
    let mut lines = accounts
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>());
    let fields = lines.find(|fields| fields.first() == Some(&name))?;
    Some(Account {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
        is_other: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_read_by_name() {
        let accounts = "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65533::/:/bin/false\n";
        let nobody = find(accounts, "nobody").unwrap();
        assert_eq!((nobody.uid, nobody.gid), (65534, 65533));
        assert!(find(accounts, "postgres").is_none());
    }
}
