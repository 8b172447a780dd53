//! Measures appends, dispatches and loads, and prints one line of figures.
#![allow(clippy::print_stdout, reason = "printing is what the program is for")]

mod account;
mod figures;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use ordain::{BoxError, EventStore, MemoryStore};
use ordain_sqlite::SqliteStore;

use self::figures::Figures;
use self::workload::Workload;

/// Measures a store, or dispatch on it, under a closed loop of concurrent tasks.
#[derive(Debug, Parser)]
#[command(name = "ordain-bench")]
struct Options {
    /// What is measured.
    workload: Workload,
    /// On which store.
    #[arg(long, default_value = "memory")]
    store: Store,
    /// Where the store's file is; a temporary one unless told.
    #[arg(long)]
    path: Option<PathBuf>,
    /// How many tasks work at once.
    #[arg(long, default_value_t = 64)]
    concurrency: usize,
    /// How many threads the runtime has; one per core unless told.
    #[arg(long)]
    threads: Option<usize>,
    /// How long it is measured, after a fifth of that to warm up.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How many aggregates the commands spread over; for `load`, how many events one has.
    #[arg(long, default_value_t = 1_000)]
    aggregates: u64,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Store {
    Memory,
    Sqlite,
}

fn main() -> Result<(), BoxError> {
    let options = Options::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = options.threads {
        runtime.worker_threads(threads.max(1));
    }
    runtime.enable_all().build()?.block_on(run(&options))
}

async fn run(options: &Options) -> Result<(), BoxError> {
    let figures = match options.store {
        Store::Memory => measure(options, MemoryStore::new()).await?,
        Store::Sqlite => measure_sqlite(options).await?,
    };
    println!(
        "{}",
        if options.json {
            figures.to_json()
        } else {
            figures.to_string()
        }
    );
    Ok(())
}

async fn measure_sqlite(options: &Options) -> Result<Figures, BoxError> {
    let folder = tempfile::tempdir()?;
    let path = options
        .path
        .clone()
        .unwrap_or_else(|| folder.path().join("bench.db"));
    let store = SqliteStore::open(path).await?;
    let figures = measure(options, store.clone()).await;
    store.close().await;
    figures
}

async fn measure<S: EventStore + Clone>(options: &Options, store: S) -> Result<Figures, BoxError> {
    let seconds = Duration::try_from_secs_f64(options.seconds)?;
    let run = workload::Run {
        concurrency: options.concurrency.max(1),
        warm_up: seconds / 5,
        seconds,
        aggregates: options.aggregates.max(1),
    };
    let measured = options.workload.run(store, &run).await?;
    let store = format!("{:?}", options.store).to_lowercase();
    Ok(Figures::new(
        options.workload,
        store,
        run.concurrency,
        measured,
    ))
}
