//! Runs a day.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bank::{Audit, Bank, BankOptions, Books, Input, Report, StoreChoice};
use tempfile::TempDir;

use crate::cli::Run;
use crate::progress::Progress;
use crate::{Ending, Failure};

/// The day that comes with the bank.
const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data");

/// A store, and the directory that goes with it when it was made for this run.
struct Place {
    choice: StoreChoice,
    temporary: Option<TempDir>,
}

pub(crate) async fn run(run: &Run) -> Result<Ending, Failure> {
    let place = Place::of(run.store.clone())?;
    let mut options = BankOptions::default();
    options.receipts.clone_from(&run.receipts);
    let bank = Bank::open(&place.choice, &options).await?;
    let done = tokio::select! {
        done = run_on(&bank, run, &place) => done,
        _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
    };
    // Commands that are cut off here are done when the day is run again.
    let _ = bank.close().await;
    drop(place.temporary);
    done
}

async fn run_on(bank: &Bank, run: &Run, place: &Place) -> Result<Ending, Failure> {
    let inputs = inputs(&run.files)?;
    let mut progress = Progress::new(run.progress);
    let start = Instant::now();
    let tally = bank::run(bank, bank::read(inputs), run.concurrency(), &mut progress).await;
    let elapsed = start.elapsed();
    progress.finish();
    let tally = tally?;
    bank.settle().await?;
    let (books, audit) = (Books::of(bank).await?, Audit::of(bank).await?);
    let report = Report {
        tally,
        books,
        audit,
    };
    let mut out = io::stdout().lock();
    write!(out, "{report}\nRun\n  {place}\n")?;
    writeln!(out, "  {}", throughput(&progress, elapsed))?;
    Ending::of(&report)
}

fn throughput(progress: &Progress, elapsed: Duration) -> String {
    let (answered, seconds) = (progress.answered, elapsed.as_secs_f64());
    let rate = answered as f64 / seconds.max(1e-9);
    let text = format!("throughput {rate:.0} commands a second ({answered} in {seconds:.2} s)");
    match progress.before {
        0 => text,
        before => format!("{text}; {before} had been done in an earlier run"),
    }
}

/// The files named, or those that come with the bank.
fn inputs(files: &[PathBuf]) -> Result<Vec<Input>, Failure> {
    if !files.is_empty() {
        return Ok(files.iter().map(|file| Input::named(file)).collect());
    }
    let data = |problem| format!("{DATA} cannot be read: {problem}");
    let mut files = Vec::new();
    for file in Path::new(DATA).read_dir().map_err(data)? {
        files.push(file.map_err(data)?.path());
    }
    files.retain(|file| file.extension().is_some_and(|end| end == "jsonl"));
    files.sort();
    Ok(files.into_iter().map(Input::File).collect())
}

impl Place {
    fn of(choice: Option<StoreChoice>) -> Result<Self, Failure> {
        if let Some(choice) = choice {
            let temporary = None;
            return Ok(Self { choice, temporary });
        }
        let directory = tempfile::Builder::new().prefix("bank-").tempdir()?;
        let path = directory.path().join("bank.db");
        let choice = StoreChoice::Sqlite(format!("sqlite:{}", path.display()));
        let temporary = Some(directory);
        Ok(Self { choice, temporary })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let until = self
            .temporary
            .as_ref()
            .map_or("", |_| " (temporary, removed at the end)");
        write!(f, "store {}{until}", self.choice)
    }
}
