//! How many appends a second the store takes, by the number of tasks that wait for theirs.
//!
//! `cargo run --release -p ordain-sqlite --example append_rate [directory] [seconds]`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::path::Path;
use std::time::{Duration, Instant};

use ordain::store::Append;
use ordain::{BoxError, EventStore, ExpectedVersion, NewEvent, StreamId};
use ordain_sqlite::SqliteStore;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let directory = args.next().map_or_else(std::env::temp_dir, Into::into);
    let seconds: u64 = args.next().map_or(Ok(2), |text| text.parse())?;
    for tasks in [1, 16, 64, 256] {
        measure(&directory, tasks, Duration::from_secs(seconds)).await?;
    }
    Ok(())
}

async fn measure(directory: &Path, tasks: usize, time: Duration) -> Result<(), BoxError> {
    let path = directory.join(format!("append-rate-{}-{tasks}.db", std::process::id()));
    let store = SqliteStore::open(&path).await?;
    let start = Instant::now();
    let workers: Vec<_> = (0..tasks)
        .map(|task| tokio::spawn(work(store.clone(), task, start + time)))
        .collect();
    let mut waits = Vec::new();
    for worker in workers {
        waits.extend(worker.await??);
    }
    let elapsed = start.elapsed().as_secs_f64();
    report(tasks, elapsed, waits, store.stats().commits);
    store.close().await;
    std::fs::remove_file(path)?;
    Ok(())
}

/// One task: appends of one event each, each to the next of a few hundred streams of its own.
async fn work(store: SqliteStore, task: usize, end: Instant) -> Result<Vec<Duration>, BoxError> {
    const STREAMS: usize = 200;
    let mut waits = Vec::new();
    while Instant::now() < end {
        let number = waits.len();
        let stream = StreamId::new("account", &format!("{task}-{}", number % STREAMS))?;
        let data = format!("{{\"amount\":{number},\"reference\":\"payment {number}\"}}");
        let events = vec![NewEvent::new("deposited", data)];
        let expected = ExpectedVersion::exact((number / STREAMS) as u64);
        let begin = Instant::now();
        store.append(Append::new(stream, expected, events)).await?;
        waits.push(begin.elapsed());
    }
    Ok(waits)
}

fn report(tasks: usize, elapsed: f64, mut waits: Vec<Duration>, commits: u64) {
    waits.sort_unstable();
    let quantile = |of: f64| waits[((waits.len() - 1) as f64 * of) as usize].as_secs_f64() * 1e3;
    println!(
        "{tasks:>4} tasks: {:>7.0} appends/s, p50 {:.2} ms, p99 {:.2} ms, {:.1} appends per commit",
        waits.len() as f64 / elapsed,
        quantile(0.5),
        quantile(0.99),
        waits.len() as f64 / commits as f64,
    );
}
