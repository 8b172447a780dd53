//! What pgbench writes down about each transaction.

use std::path::Path;
use std::time::Duration;
use std::{fs, io};

use ordain::BoxError;

use crate::figures::{Measured, latencies};
use crate::workload::Run;

/// How the names of the files begin, of which each thread writes one.
pub(super) const PREFIX: &str = "transactions";

/// When a transaction began, since 1970, and how long it took.
#[derive(Debug, PartialEq, Eq)]
struct Transaction {
    began: Duration,
    took: Duration,
}

/// Counts what began after the warm-up, as is done with the other workloads.
pub(super) fn measured(folder: &Path, run: &Run) -> Result<Measured, BoxError> {
    let mut transactions = Vec::new();
    for text in read(folder)? {
        for line in text.lines() {
            let unknown = || format!("pgbench logged what is no transaction: {line}");
            transactions.push(parse(line).ok_or_else(unknown)?);
        }
    }
    let first = transactions.iter().map(|one| one.began).min();
    let begin = first.unwrap_or_default() + run.warm_up;
    let mut latency = latencies()?;
    for Transaction { began, took } in transactions {
        if (begin..begin + run.seconds).contains(&began) {
            latency.saturating_record(u64::try_from(took.as_micros())?);
        }
    }
    Ok(Measured {
        elapsed: run.seconds,
        events: latency.len(),
        latency,
    })
}

fn read(folder: &Path) -> io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for file in fs::read_dir(folder)? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(PREFIX) {
            texts.push(fs::read_to_string(file.path())?);
        }
    }
    Ok(texts)
}

/// `client_id transaction_no time script_no time_epoch time_us`: the time it took in microseconds, and
/// when it ended.
fn parse(line: &str) -> Option<Transaction> {
    let fields: Option<Vec<u64>> = line.split(' ').map(|field| field.parse().ok()).collect();
    let &[_, _, took, _, seconds, micros] = fields?.as_slice() else {
        return None;
    };
    let took = Duration::from_micros(took);
    let ended = Duration::from_secs(seconds) + Duration::from_micros(micros);
    let began = ended.checked_sub(took)?;
    Some(Transaction { began, took })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_transaction() {
        let began = Duration::new(1_700_000_000, 499_000_000);
        let took = Duration::from_millis(1);
        let line = "3 17 1000 0 1700000000 500000";
        assert_eq!(parse(line), Some(Transaction { began, took }));
        assert_eq!(parse("3 17 failed 0 1700000000 500000"), None);
        assert_eq!(parse(""), None);
    }
}
