#![doc = include_str!("../README.md")]

mod account;
mod across;
mod balances;
mod cli;
mod compare;
mod figures;
mod postgres;
mod reading;
mod stores;
mod workload;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use ordain::BoxError;
use tokio::runtime::{Builder, Runtime};

use self::cli::{Action, Cli, Options};
use self::workload::Workload;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody left to tell if this fails.
            let _ = writeln!(io::stderr(), "ordain-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), BoxError> {
    runtime(cli.options.threads)?.block_on(act(&cli.action, &cli.options))
}

fn runtime(threads: Option<usize>) -> io::Result<Runtime> {
    let mut runtime = Builder::new_multi_thread();
    if let Some(threads) = threads {
        runtime.worker_threads(threads.max(1));
    }
    runtime.enable_all().build()
}

async fn act(action: &Action, options: &Options) -> Result<(), BoxError> {
    let figures = match action {
        Action::Append(on) => stores::measure(Workload::Append, on, options).await?,
        Action::Dispatch(on) => stores::measure(Workload::Dispatch, on, options).await?,
        Action::Hot(on) => stores::measure(Workload::Hot, on, options).await?,
        Action::Load(on) => stores::measure(Workload::Load, on, options).await?,
        Action::CatchUp(on) => stores::measure(Workload::CatchUp, on, options).await?,
        Action::Project(on) => stores::measure(Workload::Project, on, options).await?,
        Action::ProjectBatches(on) => {
            stores::measure(Workload::ProjectBatches, on, options).await?
        }
        Action::React(on) => stores::measure(Workload::React, on, options).await?,
        Action::ReactAcross(on) => across::measure(on, options).await?,
        Action::Listen(on) => return across::listen(on, options).await,
        Action::Pgbench(clients) => stores::pgbench(clients, options).await?,
        Action::Compare(comparison) => return compare::run(comparison, options).await,
    };
    figures.print(options.json)?;
    Ok(())
}
