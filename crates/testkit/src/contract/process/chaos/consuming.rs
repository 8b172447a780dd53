//! Those who drive the durable subscription: they acknowledge out of order, and are dropped in between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordain::subscription::{Delivered, Subscribe, Subscription};
use ordain::{App, RecordedEvent, StreamId};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::super::super::SubscriptionFixture;
use super::super::super::support::Random;
use super::handling::{first_times, options, streams};
use super::steps::{DRIVEN, Way};
use super::world::World;

/// Somebody who drives the subscription.
#[derive(Debug)]
pub(super) struct Consumer {
    task: JoinHandle<()>,
    stop: Option<oneshot::Sender<()>>,
}

/// What all of them have taken, in that order, and acknowledged.
#[derive(Debug, Clone, Default)]
pub(super) struct Taken(Arc<Mutex<Record>>);

#[derive(Debug, Default)]
struct Record {
    taken: Vec<TakenOne>,
    acked: BTreeSet<u64>,
    /// How many there were.
    consumers: usize,
}

#[derive(Debug, Clone)]
struct TakenOne {
    stream: StreamId,
    position: u64,
    /// By whom, and under which claim.
    claim: (usize, u32, u64),
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, Record> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn number(&self) -> usize {
        let mut record = self.lock();
        record.consumers += 1;
        record.consumers
    }

    fn take(&self, consumer: usize, delivered: &Delivered) {
        self.lock().taken.push(TakenOne {
            stream: delivered.event.stream.clone(),
            position: position_of(delivered),
            claim: (consumer, delivered.partition(), delivered.epoch()),
        });
    }

    fn ack(&self, delivered: &Delivered) {
        self.lock().acked.insert(position_of(delivered));
    }
}

fn position_of(delivered: &Delivered) -> u64 {
    delivered.event.read_position().get()
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn consume(&mut self, slot: usize, way: Way) {
        let consumer = self.consumers[slot].as_ref();
        if consumer.is_some_and(|consumer| !consumer.task.is_finished()) {
            return;
        }
        if let Some(app) = self.app_of(Some(slot)) {
            let begun = self.within(Some(slot), self.begin_to_consume(&app, way));
            self.consumers[slot] = begun.await.flatten();
        }
    }

    /// Opens the subscription, unless it is open there, or the store does not let it.
    pub(super) async fn begin_to_consume(&self, app: &App, way: Way) -> Option<Consumer> {
        let options = options().partitions(2).window(way.window as usize);
        let subscribe = Subscribe::new(DRIVEN).options(options);
        let open = app.subscribe(subscribe).await.ok()?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(drive(open, way, self.taken.clone(), stopped));
        Some(Consumer {
            task,
            stop: Some(stop),
        })
    }

    pub(super) fn forsake(&mut self, slot: usize, is_closed: bool) {
        let Some(consumer) = &mut self.consumers[slot] else {
            return;
        };
        match is_closed {
            true => drop(consumer.stop.take().map(|stop| stop.send(()))),
            false => consumer.task.abort(),
        }
    }

    /// Every event was taken, in the order of its stream, and acknowledged; none came twice under one claim.
    pub(super) fn check_consumed(&self, log: &[RecordedEvent]) {
        let record = self.taken.lock();
        for stream in streams() {
            let events = log.iter().filter(|event| event.stream == stream);
            let expected: Vec<_> = events.map(|event| event.position.get()).collect();
            let of_stream: Vec<_> = record
                .taken
                .iter()
                .filter(|one| one.stream == stream)
                .collect();
            let first = first_times(of_stream.iter().map(|one| one.position));
            assert_eq!(first, expected, "{stream} was taken: {of_stream:?}");
            let is_missing = |position: &&u64| !record.acked.contains(*position);
            let missing: Vec<_> = expected.iter().filter(is_missing).collect();
            assert!(missing.is_empty(), "{missing:?} were never acknowledged");
        }
        let mut last = BTreeMap::new();
        for one in &record.taken {
            let before = last.insert(one.claim, one.position);
            assert!(before < Some(one.position), "{one:?} came after {before:?}");
        }
    }
}

/// Takes events, and acknowledges some of those that wait, until the app ends or it is told to stop.
async fn drive(mut open: Subscription, way: Way, taken: Taken, mut stopped: oneshot::Receiver<()>) {
    let (mut random, number) = (Random::new(way.seed), taken.number());
    let mut waiting: Vec<Delivered> = Vec::new();
    loop {
        let next = tokio::select! {
            Ok(()) = &mut stopped => break,
            next = open.next() => next,
        };
        let Some(delivered) = next else { break };
        taken.take(number, &delivered);
        waiting.push(delivered);
        if waiting.len() as u64 > way.holds {
            let one = waiting.swap_remove(random.below(waiting.len() as u64) as usize);
            acknowledge(&open, &one, &mut waiting, random.below(4) == 0, &taken);
        }
    }
    open.close().await;
}

/// Acknowledges one, or all up to it.
fn acknowledge(
    open: &Subscription,
    one: &Delivered,
    waiting: &mut Vec<Delivered>,
    with_earlier: bool,
    taken: &Taken,
) {
    let acked = match with_earlier {
        true => open.ack_up_to(one),
        false => open.ack(one),
    };
    // Another may have the partition by now.
    if acked.is_err() {
        return;
    }
    taken.ack(one);
    if with_earlier {
        let is_with_it = |other: &mut Delivered| {
            (other.partition(), other.epoch()) == (one.partition(), one.epoch())
                && position_of(other) < position_of(one)
        };
        let with_it = waiting.extract_if(.., is_with_it);
        with_it.for_each(|other| taken.ack(&other));
    }
}
