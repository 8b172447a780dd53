//! What the tasks do.

use std::future::Future;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use ordain::store::{Append, ProjectionStore, StreamWrite, SubscriptionStore};
use ordain::{App, BoxError, Config, ExpectedVersion, NewEvent, Projection, StreamId};
use tokio::task::JoinSet;

use crate::account::{self, Account, deposit};
use crate::balances::{Balances, Writing};
use crate::figures::{Measured, latencies};
use crate::reading;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    /// Appends of one event, each task to a stream of its own.
    Append,
    /// Commands of one event, spread over the aggregates.
    Dispatch,
    /// Commands of one event, all to one aggregate.
    Hot,
    /// Loads of one long aggregate without a snapshot.
    Load,
    /// A handler that does nothing catches up with a log.
    CatchUp,
    /// A projection of balances catches up with a log.
    Project,
    /// The same, with one statement per batch.
    ProjectBatches,
    /// Appends of one event, each when a handler has seen the one before.
    React,
}

/// How it is measured.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) concurrency: usize,
    pub(crate) warm_up: Duration,
    pub(crate) seconds: Duration,
    pub(crate) aggregates: u64,
    /// How long the log is that is caught up with.
    pub(crate) events: u64,
    /// How many partitions work on it.
    pub(crate) partitions: u32,
}

impl Workload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Append => "append",
            Self::Dispatch => "dispatch",
            Self::Hot => "hot",
            Self::Load => "load",
            Self::CatchUp => "catch-up",
            Self::Project => "project",
            Self::ProjectBatches => "project-batches",
            Self::React => "react",
        }
    }

    pub(crate) async fn run<S>(self, store: S, run: &Run) -> Result<Measured, BoxError>
    where
        S: ProjectionStore,
        Balances: Projection<S::Connection>,
    {
        match self {
            Self::Append => append(store, run).await,
            Self::Dispatch => dispatch(store, run, run.aggregates).await,
            Self::Hot => dispatch(store, run, 1).await,
            Self::Load => load(store, run).await,
            Self::CatchUp => reading::catch_up(store, run).await,
            Self::Project => reading::project(store, Writing::OneByOne, run).await,
            Self::ProjectBatches => reading::project(store, Writing::InBatches, run).await,
            Self::React => reading::react(store, run).await,
        }
    }
}

/// What one task does over and over.
trait Call: Send + 'static {
    fn call(&mut self) -> impl Future<Output = Result<(), BoxError>> + Send;
}

struct Appending<S> {
    store: S,
    stream: StreamId,
    payload: Vec<u8>,
    version: u64,
}

impl<S: SubscriptionStore> Call for Appending<S> {
    async fn call(&mut self) -> Result<(), BoxError> {
        let events = vec![NewEvent::new("MoneyDeposited", self.payload.clone())];
        let expected = ExpectedVersion::exact(self.version);
        self.version += 1;
        let write = StreamWrite::new(self.stream.clone(), expected, events).trusted(true);
        self.store.append(Append::several(vec![write])).await?;
        Ok(())
    }
}

async fn append<S: SubscriptionStore + Clone>(store: S, run: &Run) -> Result<Measured, BoxError> {
    let payload = account::payload()?.into_bytes();
    let mut calls = Vec::with_capacity(run.concurrency);
    for task in 0..run.concurrency {
        let stream = StreamId::new("account", &task.to_string())?;
        let (store, payload) = (store.clone(), payload.clone());
        calls.push(Appending {
            store,
            stream,
            payload,
            version: 0,
        });
    }
    measure(run, 1, calls).await
}

struct Dispatching {
    app: App,
    random: u64,
    aggregates: u64,
}

impl Call for Dispatching {
    async fn call(&mut self) -> Result<(), BoxError> {
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        self.app
            .dispatch(deposit((self.random >> 33) % self.aggregates))
            .await?;
        Ok(())
    }
}

async fn dispatch<S: SubscriptionStore>(
    store: S,
    run: &Run,
    aggregates: u64,
) -> Result<Measured, BoxError> {
    let config = Config::new();
    let instances = usize::try_from(aggregates)?.max(config.instances_max);
    let config = config.instances_max(instances);
    let app = App::builder(store)
        .aggregate::<Account>()
        .config(config)
        .start()
        .await?;
    let calls = (0..run.concurrency as u64).map(|random| Dispatching {
        app: app.clone(),
        random,
        aggregates,
    });
    let measured = measure(run, 1, calls.collect()).await?;
    app.shutdown().await?;
    Ok(measured)
}

struct Loading {
    app: App,
    events: u64,
}

impl Call for Loading {
    async fn call(&mut self) -> Result<(), BoxError> {
        self.app.load_at::<Account>(&1, self.events).await?;
        Ok(())
    }
}

async fn load<S: SubscriptionStore>(store: S, run: &Run) -> Result<Measured, BoxError> {
    let app = App::builder(store).aggregate::<Account>().start().await?;
    for _ in 0..run.aggregates {
        app.dispatch(deposit(1)).await?;
    }
    let events = run.aggregates;
    let calls = (0..run.concurrency).map(|_| Loading {
        app: app.clone(),
        events,
    });
    let measured = measure(run, events, calls.collect()).await?;
    app.shutdown().await?;
    Ok(measured)
}

/// Runs one closed loop per call, and counts what is done after the warm-up.
async fn measure<C: Call>(
    run: &Run,
    events_per_call: u64,
    calls: Vec<C>,
) -> Result<Measured, BoxError> {
    let begin = Instant::now() + run.warm_up;
    let end = begin + run.seconds;
    let loops = calls.into_iter().map(|call| closed_loop(call, begin, end));
    let mut tasks: JoinSet<_> = loops.collect();
    let mut latency = latencies()?;
    while let Some(ended) = tasks.join_next().await {
        latency.add(ended??)?;
    }
    let events = latency.len() * events_per_call;
    Ok(Measured {
        elapsed: run.seconds,
        events,
        latency,
    })
}

async fn closed_loop<C: Call>(
    mut call: C,
    begin: Instant,
    end: Instant,
) -> Result<Histogram<u64>, BoxError> {
    let mut latency = latencies()?;
    loop {
        let started = Instant::now();
        if started >= end {
            return Ok(latency);
        }
        call.call().await?;
        if started >= begin {
            latency.saturating_record(u64::try_from(started.elapsed().as_micros())?);
        }
    }
}
