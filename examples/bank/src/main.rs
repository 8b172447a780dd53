//! The bank's command line.

mod account;
mod cli;
mod day;
mod progress;
mod service;

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use bank::{Day, Report};
use clap::Parser;

use self::cli::{Action, Cli, Generate, Run};

/// Why the bank could not do what was asked.
type Failure = Box<dyn Error>;

/// How it ended when it did.
enum Ending {
    Fine,
    /// Some lines were no commands.
    Malformed,
}

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(refusal) => return explain(&refusal),
    };
    match act(cli).await {
        Ok(Ending::Fine) => ExitCode::SUCCESS,
        Ok(Ending::Malformed) => ExitCode::from(2),
        Err(failure) if is_broken_pipe(&*failure) => ExitCode::SUCCESS,
        Err(failure) => {
            progress::say(&format!("bank: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn act(cli: Cli) -> Result<Ending, Failure> {
    match cli.action {
        None => day::run(&Run::default()).await,
        Some(Action::Run(run)) => day::run(&run).await,
        Some(Action::Serve(serve)) => service::run(&serve).await,
        Some(Action::Show(which)) => account::show(&which).await,
        Some(Action::History(which)) => account::history(&which).await,
        Some(Action::Generate(arguments)) => generate(&arguments),
    }
}

fn generate(arguments: &Generate) -> Result<Ending, Failure> {
    let &Generate { commands, seed, .. } = arguments;
    let one_in_13 = || usize::try_from(commands / 13);
    let accounts = arguments.accounts.map_or_else(one_in_13, Ok)?;
    let mut out = BufWriter::new(io::stdout().lock());
    let day = Day::new(commands, accounts, seed);
    let day = match arguments.transfers {
        true => day.with_transfers(),
        false => day,
    };
    for line in day {
        writeln!(out, "{line}")?;
    }
    out.flush()?;
    Ok(Ending::Fine)
}

impl Ending {
    fn of(report: &Report) -> Result<Self, Failure> {
        if !report.is_balanced() {
            return Err("the books are not balanced".into());
        }
        if report.is_well_formed() {
            return Ok(Self::Fine);
        }
        Ok(Self::Malformed)
    }
}

/// Help is no failure; arguments that do not fit are one, and not that of malformed lines.
fn explain(refusal: &clap::Error) -> ExitCode {
    // There is nobody left to tell if this fails.
    let _ = refusal.print();
    match refusal.use_stderr() {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

/// Whether whoever read the output had enough.
fn is_broken_pipe(failure: &(dyn Error + 'static)) -> bool {
    let error = failure.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
