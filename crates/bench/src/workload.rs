//! What the tasks do.

use std::future::Future;
use std::time::{Duration, Instant};

use clap::ValueEnum;
use hdrhistogram::Histogram;
use ordain::store::Append;
use ordain::{App, BoxError, Config, EventStore, ExpectedVersion, NewEvent, StreamId};
use serde::Serialize;

use crate::account::{Account, deposit};
use crate::figures::Measured;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Workload {
    /// Appends of one event, each task to a stream of its own.
    Append,
    /// Commands of one event, spread over the aggregates.
    Dispatch,
    /// Commands of one event, all to one aggregate.
    Hot,
    /// Loads of one long aggregate without a snapshot.
    Load,
}

/// How it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) concurrency: usize,
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    pub(crate) aggregates: u64,
}

impl Workload {
    pub(crate) async fn run<S: EventStore + Clone>(
        self,
        store: S,
        run: &Run,
    ) -> Result<Measured, BoxError> {
        match self {
            Self::Append => append(store, run).await,
            Self::Dispatch => dispatch(store, run, run.aggregates).await,
            Self::Hot => dispatch(store, run, 1).await,
            Self::Load => load(store, run).await,
        }
    }
}

async fn append<S: EventStore + Clone>(store: S, run: &Run) -> Result<Measured, BoxError> {
    let payload = serde_json::to_vec(&deposit(0))?;
    measure(run, 1, |task| {
        let (store, payload) = (store.clone(), payload.clone());
        let stream = StreamId::new("account", &task.to_string());
        let mut version = 0;
        async move || {
            let events = vec![NewEvent::new("MoneyDeposited", payload.clone())];
            let expected = ExpectedVersion::exact(version);
            version += 1;
            store.append(Append::new(stream.clone()?, expected, events)).await?;
            Ok(())
        }
    })
    .await
}

async fn dispatch<S: EventStore>(
    store: S,
    run: &Run,
    aggregates: u64,
) -> Result<Measured, BoxError> {
    let mut config = Config::default();
    config.instances_max = (aggregates as usize).max(config.instances_max);
    let app = App::builder(store).aggregate::<Account>().config(config).start().await?;
    let measured = measure(run, 1, |task| {
        let app = app.clone();
        let mut next = task as u64;
        async move || {
            next = next.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            app.dispatch(deposit((next >> 33) % aggregates)).await?;
            Ok(())
        }
    })
    .await?;
    app.shutdown().await?;
    Ok(measured)
}

async fn load<S: EventStore>(store: S, run: &Run) -> Result<Measured, BoxError> {
    let app = App::builder(store).aggregate::<Account>().start().await?;
    for _ in 0..run.aggregates {
        app.dispatch(deposit(1)).await?;
    }
    let measured = measure(run, run.aggregates, |_| {
        let app = app.clone();
        let all = run.aggregates;
        async move || {
            app.load_at::<Account>(&1, all).await?;
            Ok(())
        }
    })
    .await?;
    app.shutdown().await?;
    Ok(measured)
}

/// Runs one closed loop per task, and counts what is done after the warm-up.
async fn measure<T, C>(
    run: &Run,
    events_per_call: u64,
    task: impl Fn(usize) -> T,
) -> Result<Measured, BoxError>
where
    T: FnMut() -> C + Send + 'static,
    C: Future<Output = Result<(), BoxError>> + Send,
{
    let begin = Instant::now() + run.warm_up;
    let end = begin + run.seconds;
    let tasks: Vec<_> = (0..run.concurrency)
        .map(|number| tokio::spawn(closed_loop(task(number), begin, end)))
        .collect();
    let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    for task in tasks {
        latency.add(task.await??)?;
    }
    let events = latency.len() * events_per_call;
    Ok(Measured { elapsed: run.seconds, events, latency })
}

async fn closed_loop<T, C>(
    mut call: T,
    begin: Instant,
    end: Instant,
) -> Result<Histogram<u64>, BoxError>
where
    T: FnMut() -> C,
    C: Future<Output = Result<(), BoxError>>,
{
    let mut latency = Histogram::new_with_bounds(1, 60_000_000, 3)?;
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(latency);
        }
        call().await?;
        if started >= begin {
            let micros = started.elapsed().as_micros().clamp(1, 60_000_000);
            latency.record(u64::try_from(micros)?)?;
        }
    }
}
