//! What was measured, as a person or a program reads it.

use std::fmt;
use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::{CreationError, Histogram};
use serde::Serialize;

/// What the tasks measured together.
#[derive(Debug)]
pub(crate) struct Measured {
    pub(crate) elapsed: Duration,
    /// How many events were appended or read.
    pub(crate) events: u64,
    /// Microseconds of each call.
    pub(crate) latency: Histogram<u64>,
}

/// Microseconds up to a minute.
pub(crate) fn latencies() -> Result<Histogram<u64>, CreationError> {
    Histogram::new_with_bounds(1, 60_000_000, 3)
}

/// One line of figures.
#[derive(Debug, Serialize)]
pub(crate) struct Figures {
    workload: &'static str,
    store: &'static str,
    concurrency: usize,
    seconds: f64,
    events: u64,
    events_per_s: u64,
    p50_ms: f64,
    p99_ms: f64,
    machine: String,
}

impl Figures {
    pub(crate) fn new(
        workload: &'static str,
        store: &'static str,
        concurrency: usize,
        measured: Measured,
    ) -> Self {
        let seconds = measured.elapsed.as_secs_f64();
        let millis = |quantile| measured.latency.value_at_quantile(quantile) as f64 / 1_000.0;
        Self {
            workload,
            store,
            concurrency,
            seconds,
            events: measured.events,
            events_per_s: (measured.events as f64 / seconds) as u64,
            p50_ms: millis(0.5),
            p99_ms: millis(0.99),
            machine: machine(),
        }
    }

    pub(crate) fn events_per_s(&self) -> u64 {
        self.events_per_s
    }

    /// Prints one line.
    pub(crate) fn print(&self, as_json: bool) -> io::Result<()> {
        let mut out = io::stdout().lock();
        match as_json {
            true => writeln!(out, "{}", serde_json::to_string(self)?),
            false => writeln!(out, "{self}"),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} on {}, {} at once: {} events/s, p50 {:.3} ms, p99 {:.3} ms ({} events in {:.1} s, {})",
            self.workload,
            self.store,
            self.concurrency,
            self.events_per_s,
            self.p50_ms,
            self.p99_ms,
            self.events,
            self.seconds,
            self.machine
        )
    }
}

fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let build = if cfg!(debug_assertions) {
        "debug"
    } else {
        "release"
    };
    format!(
        "{} {}, {cores} cores, {build}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )
}
