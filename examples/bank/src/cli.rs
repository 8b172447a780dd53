//! The arguments.

use std::path::PathBuf;
use std::time::Duration;

use bank::StoreChoice;
use bank::domain::AccountId;
use clap::{Args, Parser, Subcommand};
use tracing_subscriber::filter::Targets;

/// A bank that keeps its books with ordain.
///
/// Without arguments it runs the day in its data directory.
#[derive(Debug, Parser)]
#[command(name = "bank", version)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) action: Option<Action>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Run a day of commands and print a summary
    Run(Run),
    /// Serve the bank over HTTP, until it is told to stop
    Serve(Serve),
    /// Print an account
    Show(Which),
    /// Print all that happened to an account
    History(Which),
    /// Make up a day of commands
    Generate(Generate),
}

#[derive(Debug, Default, Args)]
pub(crate) struct Run {
    /// Files of commands, one a line as JSON, or - for the standard input
    #[arg(value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Where the events are kept: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE?schema=NAME or
    /// memory [default: a temporary SQLite file]
    #[arg(long)]
    pub(crate) store: Option<StoreChoice>,
    /// How many commands are under way at once [default: 256]
    #[arg(long, value_name = "N", value_parser = concurrency)]
    pub(crate) concurrency: Option<usize>,
    /// Write a receipt for every transfer that has arrived to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) receipts: Option<PathBuf>,
    /// Print a line on the standard error after every 1,000 commands
    #[arg(long)]
    pub(crate) progress: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the events are kept: sqlite:PATH, postgres://USER:PASSWORD@HOST/DATABASE?schema=NAME or
    /// memory [default: sqlite:bank.db, in the working directory]
    #[arg(long)]
    pub(crate) store: Option<StoreChoice>,
    /// Where requests come in; port 0 is any that is free
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: String,
    /// Write a receipt for every transfer that has arrived to this directory
    #[arg(long, value_name = "DIR")]
    pub(crate) receipts: Option<PathBuf>,
    /// How many seconds without a sign of life until others take this process's work over [default: 10]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    pub(crate) lease: Option<u64>,
    /// Be the next release: a second version of the balances is built beside the first, and takes its place
    #[arg(long)]
    pub(crate) next: bool,
    /// What is logged on the standard error: a level, or levels of targets as in warn,ordain=debug
    #[arg(long, value_name = "FILTER", default_value = "warn")]
    pub(crate) log: Targets,
}

impl Serve {
    /// How long this process's hold on its work lasts without a sign of life.
    pub(crate) fn lease(&self) -> Option<Duration> {
        self.lease.map(Duration::from_secs)
    }
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The account
    pub(crate) account: AccountId,
    /// Where the events are kept: sqlite:PATH or postgres://USER:PASSWORD@HOST/DATABASE?schema=NAME
    #[arg(long)]
    pub(crate) store: StoreChoice,
}

#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// How many commands
    #[arg(long, value_name = "N", default_value_t = 4_000)]
    pub(crate) commands: u64,
    /// About how many accounts [default: one for every 13 commands]
    #[arg(long, value_name = "N")]
    pub(crate) accounts: Option<usize>,
    /// Make transfers that are one command; without, they are a withdrawal and a deposit
    #[arg(long)]
    pub(crate) transfers: bool,
    /// The same seed makes the same day
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}

impl Run {
    /// How many commands are under way at once.
    pub(crate) fn concurrency(&self) -> usize {
        self.concurrency.unwrap_or(256)
    }
}

fn concurrency(text: &str) -> Result<usize, String> {
    const MAX: usize = 10_000;
    match text.parse() {
        Ok(number) if (1..=MAX).contains(&number) => Ok(number),
        _ => Err(format!("a number from 1 to {MAX} is needed")),
    }
}
