//! Who handles the events of a case, and what they keep of them.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordain::prelude::*;
use ordain::subscription::SubscriptionOptions;
use ordain::{BoxError, EventContext, EventHandler, Projection, StreamId};

use super::super::super::{ConnectionOf, SubscriptionFixture};
use super::super::support::{LedgerOpened, Sent, Written, quick};
use super::steps::{INSTANCES, SIGNALS};

#[derive(Debug, Clone, EventSet)]
pub(super) enum Happened {
    Sent(Sent),
    Written(Written),
    LedgerOpened(LedgerOpened),
}

/// The streams whose events cannot be handled now.
#[derive(Debug, Clone, Default)]
pub(super) struct Failing(Arc<Mutex<BTreeSet<StreamId>>>);

impl Failing {
    pub(super) fn fail(&self, stream: StreamId) {
        self.lock().insert(stream);
    }

    pub(super) fn heal(&self) {
        self.lock().clear();
    }

    fn check(&self, stream: &StreamId) -> Result<(), BoxError> {
        match self.lock().contains(stream) {
            true => Err("told to fail".into()),
            false => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<StreamId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The streams of a case.
pub(super) fn streams() -> Vec<StreamId> {
    let signals = (0..SIGNALS).map(|number| ("signal", format!("s{number}")));
    let ledgers = (0..INSTANCES).map(|number| ("ledger", format!("i{number}")));
    let names = signals.chain(ledgers);
    let streams = names.map(|(category, id)| StreamId::new(category, &id));
    streams
        .map(|stream| stream.expect("a valid name"))
        .collect()
}

fn options() -> SubscriptionOptions {
    quick().subscription.outage_after(2).page(5).batch_max(3)
}

/// An event that was handled.
#[derive(Debug, Clone)]
pub(super) struct Handled {
    pub(super) stream: StreamId,
    pub(super) position: u64,
    pub(super) is_replay: bool,
}

/// Notes which events were handled, in which order.
#[derive(Debug, Clone, Default)]
pub(super) struct Watching {
    pub(super) handled: Arc<Mutex<Vec<Handled>>>,
    pub(super) failing: Failing,
}

impl EventHandler for Watching {
    const NAME: &'static str = "watching";
    const REPLAYS: bool = true;
    type Events = Happened;

    async fn handle(&self, _: &Happened, context: &EventContext) -> Result<(), BoxError> {
        self.failing.check(context.stream())?;
        let handled = Handled {
            stream: context.stream().clone(),
            position: context.position().get(),
            is_replay: context.is_replay(),
        };
        let mut all = self.handled.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(handled);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        options().partitions(3).checkpoint_every(4)
    }
}

/// Keeps a number for every stream that tells which events it was made of, and in which order.
pub(super) struct Trail<F, const VERSION: u32> {
    pub(super) fixture: Arc<F>,
    /// Tells the pages of several cases, for fixtures that keep all in one table.
    pub(super) book: u64,
    pub(super) failing: Failing,
}

/// The number that tells of one more event.
pub(super) fn folded(number: i64, position: u64) -> i64 {
    let position = i64::try_from(position).unwrap_or_default();
    number.wrapping_mul(1_000_003).wrapping_add(position)
}

/// Under which a stream's number is found.
pub(super) fn key_of(book: u64, version: u32, stream: &StreamId) -> String {
    format!("{book} {version} {stream}")
}

impl<F, const VERSION: u32> Projection<ConnectionOf<F>> for Trail<F, VERSION>
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    const NAME: &'static str = "trail";
    const VERSION: u32 = VERSION;
    type Events = Happened;

    async fn project(
        &self,
        _: &Happened,
        context: &EventContext,
        db: &mut ConnectionOf<F>,
    ) -> Result<(), BoxError> {
        let key = key_of(self.book, VERSION, context.stream());
        let number = self.fixture.get(db, &key).await.unwrap_or_default();
        let number = folded(number, context.position().get());
        self.fixture.put(db, &key, number).await;
        // After what was written, so that it has to be undone.
        self.failing.check(context.stream())
    }

    async fn reset(&self, db: &mut ConnectionOf<F>) -> Result<(), BoxError> {
        for stream in streams() {
            let key = key_of(self.book, VERSION, &stream);
            self.fixture.put(db, &key, 0).await;
        }
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        options().partitions(2)
    }
}
