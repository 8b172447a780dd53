//! Handlers of events, one by one and in batches, and what they have handled.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ordain::prelude::*;
use ordain::subscription::SubscriptionOptions;
use ordain::{
    BatchHandler, BoxError, EventContext, EventHandler, Handled, Ordering, RecordedEvent, StreamId,
};

use super::super::super::SubscriptionFixture;
use super::super::support::{LedgerClosed, LedgerOpened, Sent, Written, quick};
use super::steps::{INSTANCES, SIGNALS};
use super::world::World;

/// How many events come in a batch at the most.
pub(super) const BATCH_MAX: usize = 3;

#[derive(Debug, Clone, EventSet)]
pub(super) enum Happened {
    Sent(Sent),
    Written(Written),
    LedgerOpened(LedgerOpened),
    LedgerClosed(LedgerClosed),
}

/// Where commands write that were scheduled.
pub(super) const SCHEDULED: &str = "scheduled";

/// The streams of a case.
pub(super) fn streams() -> Vec<StreamId> {
    let signals = (0..SIGNALS).map(|number| ("signal", format!("s{number}")));
    let ledgers = (0..INSTANCES).map(|number| ("ledger", format!("i{number}")));
    let scheduled = std::iter::once(("ledger", SCHEDULED.to_owned()));
    let names = signals.chain(ledgers).chain(scheduled);
    let streams = names.map(|(category, id)| StreamId::new(category, &id));
    streams
        .map(|stream| stream.expect("a valid name"))
        .collect()
}

pub(super) fn options() -> SubscriptionOptions {
    let options = quick().subscription.outage_after(2);
    options.page(5).batch_max(BATCH_MAX)
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

    pub(super) fn check(&self, stream: &StreamId) -> Result<(), BoxError> {
        match self.lock().contains(stream) {
            true => Err("told to fail".into()),
            false => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<StreamId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event that was handled.
#[derive(Debug, Clone)]
pub(super) struct Noted {
    stream: StreamId,
    pub(super) position: u64,
    is_replay: bool,
    pub(super) partition: u32,
    pub(super) epoch: u64,
}

/// Which events were handled, in which order, and which are to fail.
#[derive(Debug, Clone, Default)]
pub(super) struct Notes {
    noted: Arc<Mutex<Vec<Noted>>>,
    pub(super) failing: Failing,
}

impl Notes {
    pub(super) fn new(failing: &Failing) -> Self {
        Self {
            noted: Arc::default(),
            failing: failing.clone(),
        }
    }

    pub(super) fn all(&self) -> Vec<Noted> {
        self.lock().clone()
    }

    pub(super) fn count(&self) -> usize {
        self.lock().len()
    }

    fn take(&self, context: &EventContext) {
        self.lock().push(Noted {
            stream: context.stream().clone(),
            position: context.position().get(),
            is_replay: context.is_replay(),
            partition: context.partition(),
            epoch: context.epoch(),
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Noted>> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Handles events one by one.
pub(super) struct Watching(pub(super) Notes);

impl EventHandler for Watching {
    const NAME: &'static str = "watching";
    const REPLAYS: bool = true;
    type Events = Happened;

    async fn handle(&self, _: &Happened, context: &EventContext) -> Result<(), BoxError> {
        self.0.failing.check(context.stream())?;
        self.0.take(context);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        options().partitions(3).checkpoint_every(4)
    }
}

/// What events that come in batches are ordered by: a key of several streams.
fn group_of(stream: &StreamId) -> String {
    let last = stream.id().bytes().last().unwrap_or_default();
    format!("group {}", last % 3)
}

/// What a subscription's events are ordered by.
pub(super) fn key_of(name: &str, stream: &StreamId) -> String {
    match name {
        Batching::NAME => group_of(stream),
        _ => stream.to_string(),
    }
}

/// Handles events in batches, all or none.
pub(super) struct Batching(pub(super) Notes);

impl BatchHandler for Batching {
    const NAME: &'static str = "batching";
    const REPLAYS: bool = true;
    type Events = Happened;

    async fn handle_batch(&self, events: &[Handled<Happened>]) -> Result<(), BoxError> {
        assert!(events.len() <= BATCH_MAX, "{} events at once", events.len());
        for Handled { context, .. } in events {
            self.0.failing.check(context.stream())?;
        }
        events.iter().for_each(|one| self.0.take(&one.context));
        Ok(())
    }

    fn ordering(&self, _: &Happened, context: &EventContext) -> Ordering {
        Ordering::Key(group_of(context.stream()))
    }

    fn options(&self) -> SubscriptionOptions {
        let wait = Duration::from_millis(5);
        options().partitions(2).batch_wait(wait).checkpoint_every(4)
    }
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    /// What a handler has handled.
    pub(super) fn notes_of(&self, name: &str) -> Option<&Notes> {
        match name {
            Watching::NAME => Some(&self.watching),
            Batching::NAME => Some(&self.batching),
            _ => None,
        }
    }

    /// Every event was handled live, and for the first time not before an earlier one of its key. One that was left
    /// out may be missing.
    pub(super) fn check_handler(&self, name: &str, log: &[RecordedEvent]) {
        let noted = self.notes_of(name).map(Notes::all).unwrap_or_default();
        let left_out = self.left_out(name, 1);
        let keys: BTreeSet<_> = streams().iter().map(|it| key_of(name, it)).collect();
        for key in keys {
            let is_of_key = |stream: &StreamId| key_of(name, stream) == key;
            let events = log.iter().filter(|event| is_of_key(&event.stream));
            let positions = events.map(|event| event.position.get());
            let expected: Vec<_> = positions.filter(|it| !left_out.contains_key(it)).collect();
            let of_key: Vec<_> = noted.iter().filter(|one| is_of_key(&one.stream)).collect();
            let is_live = |one: &&&Noted| !one.is_replay;
            let live: Vec<_> = of_key.iter().filter(is_live).copied().collect();
            for noted in [&of_key, &live] {
                let mut first = first_times(noted.iter().map(|one| one.position));
                first.retain(|position| !left_out.contains_key(position));
                assert_eq!(first, expected, "{name} has handled {key}: {noted:?}");
            }
        }
    }
}

/// The positions in the order in which they came first.
pub(super) fn first_times(positions: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut known = BTreeSet::new();
    positions
        .filter(|position| known.insert(*position))
        .collect()
}
