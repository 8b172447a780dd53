//! PostgreSQL's own `pgbench`, which inserts the same rows without a store.

mod log;

use std::path::{Path, PathBuf};
use std::process::Output;

use ordain::BoxError;
use ordain_testkit::postgres::Search;
use tokio::process::Command;

use crate::account;
use crate::figures::Measured;
use crate::workload::Run;

const SCRIPT: &str = "insert.sql";
/// How many threads it runs its clients on.
const THREADS: &str = "2";

/// The program.
pub(super) struct Pgbench {
    program: PathBuf,
}

impl Pgbench {
    /// The one in the folder, or else beside the server's programs or in PATH.
    pub(super) fn find(folder: Option<&Path>) -> Result<Self, BoxError> {
        let search = Search::from_env();
        let beside = |folder: &Path| Some(folder.join("pgbench")).filter(|file| file.is_file());
        let installed = || beside(search.binaries().ok()?.folder());
        let found = folder.and_then(beside).or_else(installed);
        match found.or_else(|| search.program("pgbench")) {
            Some(program) => Ok(Self { program }),
            None => Err(
                "there is no `pgbench`: it comes with PostgreSQL's server (Debian: \
                         postgresql, Red Hat: postgresql-contrib)"
                    .into(),
            ),
        }
    }

    /// Measures the script, which has to insert one row.
    pub(super) async fn measure(
        &self,
        url: &str,
        script: &str,
        run: &Run,
    ) -> Result<Measured, BoxError> {
        let folder = tempfile::tempdir()?;
        std::fs::write(folder.path().join(SCRIPT), script)?;
        check(&self.command(url, folder.path(), run)?.output().await?)?;
        log::measured(folder.path(), run)
    }

    fn command(&self, url: &str, folder: &Path, run: &Run) -> Result<Command, BoxError> {
        let seconds = (run.warm_up + run.seconds).as_secs_f64().ceil();
        let mut command = Command::new(&self.program);
        command
            .args(["-n", "-M", "prepared", "-j", THREADS, "-f", SCRIPT])
            .args([
                "-c",
                &run.concurrency.to_string(),
                "-T",
                &seconds.to_string(),
            ])
            .args(["-l", "--log-prefix", log::PREFIX, "-D", "version=0", "-D"])
            .arg(format!("payload={}", account::payload()?))
            // Not as an argument: those are seen by everybody.
            .env("PGDATABASE", url)
            .current_dir(folder)
            .kill_on_drop(true);
        Ok(command)
    }
}

fn check(output: &Output) -> Result<(), BoxError> {
    if output.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("pgbench ended with {}:\n{complaint}", output.status).into())
}
