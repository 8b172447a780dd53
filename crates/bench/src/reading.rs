//! How fast handlers and projections follow.

use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use ordain::store::{Append, ProjectionStore, StreamWrite, SubscriptionStore};
use ordain::subscription::SubscriptionOptions;
use ordain::{
    App, BoxError, EventContext, EventHandler, ExpectedVersion, NewEvent, Projection, StreamId,
};
use tokio::sync::mpsc;

use crate::account::{self, AccountEvent};
use crate::balances::{Balances, Writing};
use crate::figures::{Measured, latencies};
use crate::workload::Run;

/// How many events one append has while the log is made.
const EVENTS_AT_ONCE: u64 = 1_000;

/// Longer than any catching up takes.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// Does nothing.
struct Idle {
    partitions: u32,
}

impl EventHandler for Idle {
    const NAME: &'static str = "idle";
    type Events = AccountEvent;

    async fn handle(&self, _: &AccountEvent, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new()
            .checkpoint_every(1_000)
            .partitions(self.partitions)
    }
}

/// Measures how a handler that does nothing catches up.
pub(crate) async fn catch_up<S: SubscriptionStore + Clone>(
    store: S,
    run: &Run,
) -> Result<Measured, BoxError> {
    fill(&store, run).await?;
    let begin = Instant::now();
    let partitions = run.partitions;
    let idle = Idle { partitions };
    let app = App::builder(store).event_handler(idle).start().await?;
    until_caught_up(app, Idle::NAME, begin, run).await
}

/// Measures how a projection of balances catches up.
pub(crate) async fn project<S>(store: S, writing: Writing, run: &Run) -> Result<Measured, BoxError>
where
    S: ProjectionStore,
    Balances: Projection<S::Connection>,
{
    fill(&store, run).await?;
    let begin = Instant::now();
    let partitions = run.partitions;
    let balances = Balances {
        writing,
        partitions,
    };
    let app = App::builder(store).projection(balances).start().await?;
    until_caught_up(app, "balances", begin, run).await
}

async fn until_caught_up(
    app: App,
    name: &str,
    begin: Instant,
    run: &Run,
) -> Result<Measured, BoxError> {
    app.wait_until(name, run.events, begin + PATIENCE).await?;
    let elapsed = begin.elapsed();
    app.shutdown().await?;
    Ok(Measured {
        elapsed,
        events: run.events,
        latency: latencies()?,
    })
}

/// Makes a log of events, spread over the aggregates.
async fn fill<S: SubscriptionStore>(store: &S, run: &Run) -> Result<(), BoxError> {
    let payload = account::payload()?;
    let mut made = 0;
    let mut account = 0;
    while made < run.events {
        let count = EVENTS_AT_ONCE.min(run.events - made);
        let mut writes = Vec::new();
        // Ten events to a stream, so that neighbours are of different accounts.
        for _ in 0..count.div_ceil(10) {
            let stream = StreamId::new("account", &account.to_string())?;
            account = (account + 1) % run.aggregates.max(EVENTS_AT_ONCE / 10);
            let left = count - writes.len() as u64 * 10;
            let event = || NewEvent::new("MoneyDeposited", payload.clone());
            let events = (0..left.min(10)).map(|_| event()).collect();
            writes.push(StreamWrite::new(stream, ExpectedVersion::Any, events));
        }
        store.append(Append::several(writes)).await?;
        made += count;
    }
    Ok(())
}

/// Tells when it sees an event.
pub(crate) struct Seeing(pub(crate) mpsc::Sender<u64>);

impl EventHandler for Seeing {
    const NAME: &'static str = "seeing";
    type Events = AccountEvent;

    async fn handle(&self, event: &AccountEvent, _: &EventContext) -> Result<(), BoxError> {
        let AccountEvent::MoneyDeposited(event) = event;
        Ok(self.0.send(event.amount).await?)
    }
}

/// Measures from the call of an append to the handler, one after the other.
pub(crate) async fn react<S: SubscriptionStore + Clone>(
    store: S,
    run: &Run,
) -> Result<Measured, BoxError> {
    let (sender, mut seen) = mpsc::channel(1_000);
    let builder = App::builder(store.clone());
    let app = builder.event_handler(Seeing(sender)).start().await?;
    let mut latency = latencies()?;
    let begin = Instant::now() + run.warm_up;
    for number in 0.. {
        let called = Instant::now();
        if called >= begin + run.seconds {
            break;
        }
        append(&store, number).await?;
        while seen.recv().await.is_some_and(|amount| amount != number) {}
        if called >= begin {
            note(&mut latency, called.elapsed())?;
        }
    }
    app.shutdown().await?;
    Ok(Measured {
        elapsed: run.seconds,
        events: latency.len(),
        latency,
    })
}

/// Appends one event that carries a number.
pub(crate) async fn append<S: SubscriptionStore>(store: &S, number: u64) -> Result<(), BoxError> {
    let stream = StreamId::new("account", &(number % 64).to_string())?;
    let payload = serde_json::json!({ "account": number % 64, "amount": number, "reference": "" });
    let event = NewEvent::new("MoneyDeposited", payload.to_string());
    let append = Append::new(stream, ExpectedVersion::Any, vec![event]);
    store.append(append).await?;
    Ok(())
}

pub(crate) fn note(latency: &mut Histogram<u64>, time: Duration) -> Result<(), BoxError> {
    latency.record(u64::try_from(time.as_micros())?.max(1))?;
    Ok(())
}

/// Microseconds of the day's clock, which processes share.
pub(crate) fn now() -> Result<u64, BoxError> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    Ok(u64::try_from(now.as_micros())?)
}
