//! How appending and dispatching compare with plain inserts.

use std::fmt;
use std::io::{self, Write};

use ordain::BoxError;
use serde::Serialize;

use crate::cli::{Compare, Options};
use crate::figures::Figures;
use crate::postgres::Server;
use crate::workload::{Run, Workload};

/// One line of the comparison: the medians of the rounds, in events a second.
#[derive(Debug, Serialize)]
struct Comparison {
    workload: &'static str,
    store: &'static str,
    concurrency: usize,
    rounds: usize,
    pgbench: u64,
    append: u64,
    dispatch: u64,
    append_ratio: f64,
    dispatch_ratio: f64,
}

/// The rates of each round, in the order of the rounds.
#[derive(Debug, Default)]
struct Rates {
    pgbench: Vec<u64>,
    append: Vec<u64>,
    dispatch: Vec<u64>,
}

pub(crate) async fn run(compare: &Compare, options: &Options) -> Result<(), BoxError> {
    let server = Server::open(&options.postgres).await?;
    if !options.json {
        let (server, head) = (server.describe().await?, Comparison::HEAD);
        writeln!(io::stdout(), "{server}\n\n{head}")?;
    }
    for concurrency in &compare.concurrency {
        let run = options.run(*concurrency);
        let mut rates = Rates::default();
        for _ in 0..compare.rounds.max(1) {
            rates.add_round(&server, &run, options.json).await?;
        }
        let comparison = Comparison::of(rates, server.store_name(), run.concurrency);
        comparison.print(options.json)?;
    }
    Ok(())
}

impl Rates {
    async fn add_round(&mut self, server: &Server, run: &Run, json: bool) -> Result<(), BoxError> {
        let figures = |workload, measured| {
            Figures::new(workload, server.store_name(), run.concurrency, measured)
        };
        let pgbench = figures("pgbench", server.pgbench(run).await?);
        let append = figures("append", server.measure(Workload::Append, run).await?);
        let dispatch = figures("dispatch", server.measure(Workload::Dispatch, run).await?);
        if json {
            for figures in [&pgbench, &append, &dispatch] {
                figures.print(json)?;
            }
        }
        self.pgbench.push(pgbench.events_per_s());
        self.append.push(append.events_per_s());
        self.dispatch.push(dispatch.events_per_s());
        Ok(())
    }
}

impl Comparison {
    const HEAD: &'static str = "clients   pgbench/s    append/s   ratio  dispatch/s   ratio";

    fn of(rates: Rates, store: &'static str, concurrency: usize) -> Self {
        let rounds = rates.pgbench.len();
        let [pgbench, append, dispatch] = [rates.pgbench, rates.append, rates.dispatch].map(median);
        let ratio = |rate| rate as f64 / pgbench.max(1) as f64;
        Self {
            workload: "compare",
            store,
            concurrency,
            rounds,
            pgbench,
            append,
            dispatch,
            append_ratio: ratio(append),
            dispatch_ratio: ratio(dispatch),
        }
    }

    fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match as_json {
            true => writeln!(out, "{}", serde_json::to_string(self)?),
            false => writeln!(out, "{self}"),
        }
    }
}

/// A row of the table.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>7} {:>11} {:>11} {:>7.2} {:>11} {:>7.2}",
            self.concurrency,
            self.pgbench,
            self.append,
            self.append_ratio,
            self.dispatch,
            self.dispatch_ratio
        )
    }
}

/// Of an even number, the mean of the two in the middle.
fn median(mut rates: Vec<u64>) -> u64 {
    rates.sort_unstable();
    let (half, odd) = (rates.len() / 2, rates.len() % 2 == 1);
    match (rates.as_slice(), odd) {
        ([], _) => 0,
        (rates, true) => rates[half],
        (rates, false) => u64::midpoint(rates[half - 1], rates[half]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![9, 1, 5]), 5);
        assert_eq!(median(vec![4, 1, 9, 2]), 3);
        assert_eq!(median(vec![]), 0);
    }
}
