//! The arguments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ordain_postgres::Payload;

use crate::workload::Run;

/// Measures stores, and dispatch on them, under a closed loop of concurrent tasks
#[derive(Debug, Parser)]
#[command(name = "ordain-bench")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) action: Action,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What is measured.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Appends of one event, each task to a stream of its own
    Append(On),
    /// Commands of one event, spread over the aggregates
    Dispatch(On),
    /// Commands of one event, all to one aggregate
    Hot(On),
    /// Loads of one long aggregate without a snapshot
    Load(On),
    /// A handler that does nothing catches up with a log of `--events`
    CatchUp(On),
    /// A projection of balances catches up with a log of `--events`
    Project(On),
    /// The same, by a projection that adds up each batch and writes it by one statement
    ProjectBatches(On),
    /// From an append to the handler that sees it, one after the other
    React(On),
    /// The same, with the handler in another process
    ReactAcross(On),
    /// What the other process does
    #[command(hide = true)]
    Listen(On),
    /// Plain inserts of one event by PostgreSQL's own `pgbench`, without a store
    Pgbench(Clients),
    /// Rounds of `pgbench`, `append` and `dispatch` on one PostgreSQL server, and how they compare
    Compare(Compare),
}

#[derive(Debug, Args)]
pub(crate) struct On {
    /// On which store
    #[arg(long, default_value = "memory")]
    pub(crate) store: Store,
    /// Where the file of the SQLite store is [default: a temporary one]
    #[arg(long)]
    pub(crate) path: Option<PathBuf>,
    /// How many tasks work at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) concurrency: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Clients {
    /// How many clients work at once
    #[arg(long, value_name = "N", default_value_t = 64)]
    pub(crate) concurrency: usize,
}

#[derive(Debug, Args)]
pub(crate) struct Compare {
    /// How many clients or tasks work at once, as a list
    #[arg(
        long,
        value_name = "N,..",
        value_delimiter = ',',
        default_value = "1,16,64,256"
    )]
    pub(crate) concurrency: Vec<usize>,
    /// How many rounds there are, of which the median is taken
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub(crate) rounds: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    Memory,
    Sqlite,
    Postgres,
}

#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How long it is measured, after a fifth of that to warm up
    #[arg(long, global = true, default_value = "5", value_parser = seconds)]
    pub(crate) seconds: Duration,
    /// How many aggregates the commands spread over; for `load`, how many events one has
    #[arg(long, global = true, value_name = "N", default_value_t = 1_000)]
    pub(crate) aggregates: u64,
    /// How long the log is that is caught up with
    #[arg(long, global = true, value_name = "N", default_value_t = 1_000_000)]
    pub(crate) events: u64,
    /// How many partitions the handler or projection has that catches up
    #[arg(long, global = true, value_name = "N", default_value_t = 1)]
    pub(crate) partitions: u32,
    /// How many threads the runtime has [default: one per core]
    #[arg(long, global = true, value_name = "N")]
    pub(crate) threads: Option<usize>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) postgres: Postgres,
}

#[derive(Debug, Args)]
pub(crate) struct Postgres {
    /// The PostgreSQL database, with options of the store if wanted [default: a server of its own]
    #[arg(long, global = true)]
    pub(crate) url: Option<String>,
    /// The type of the payload column in PostgreSQL: json, jsonb or bytea [default: json]
    #[arg(long, global = true)]
    pub(crate) payload: Option<Payload>,
}

impl Options {
    pub(crate) fn run(&self, concurrency: usize) -> Run {
        Run {
            concurrency: concurrency.max(1),
            warm_up: self.seconds / 5,
            seconds: self.seconds,
            aggregates: self.aggregates.max(1),
            events: self.events.max(1),
            partitions: self.partitions,
        }
    }
}

impl Postgres {
    pub(crate) fn is_told(&self) -> bool {
        self.url.is_some() || self.payload.is_some()
    }
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(Duration::try_from_secs_f64);
    match seconds {
        Ok(Ok(seconds)) if !seconds.is_zero() => Ok(seconds),
        _ => Err("a number of seconds above 0 is needed".into()),
    }
}
