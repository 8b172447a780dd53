//! What holds at the end of every case.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::PoisonError;

use ordain::store::{ProjectionStore, SubscriptionState};
use ordain::{RecordedEvent, StreamId};

use super::super::super::SubscriptionFixture;
use super::super::super::support::{log, read};
use super::super::support::seen;
use super::subjects::{Handled, folded, key_of, streams};
use super::world::{StoreOf, World};

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn check(&self) {
        let log = log(&self.timed.store).await;
        self.check_commands().await;
        self.check_instances().await;
        self.check_handler(&log);
        self.check_projection(&log).await;
    }

    /// Every command took effect once, those of an instance's events in order.
    async fn check_commands(&self) {
        for (instance, (texts, late)) in &self.sent {
            let ledger = format!("i{instance}");
            let stream = StreamId::new("ledger", &ledger).expect("a valid name");
            let written = read(&self.timed.store, &stream).await;
            let written: Vec<_> = written.iter().map(text_of).collect();
            let (timed, direct): (Vec<_>, Vec<_>) = written
                .into_iter()
                .partition(|text| text.starts_with("late"));
            assert_eq!(direct, *texts, "what is written into {ledger}");
            let mut sorted = timed.clone();
            sorted.sort_unstable();
            let mut expected: Vec<_> = late.iter().cloned().collect();
            expected.sort_unstable();
            assert_eq!(
                sorted,
                expected,
                "what timers wrote into {ledger}:{}",
                self.log().await
            );
        }
    }

    /// Every instance has taken in what was meant for it once.
    async fn check_instances(&self) {
        for (instance, (texts, late)) in &self.sent {
            let id = format!("i{instance}");
            let mut found = seen(&self.operator, &id).await;
            found.sort_unstable();
            let starts = std::iter::repeat_n("Start".to_owned(), texts.len());
            let expected: Vec<_> = starts.chain(late.iter().cloned()).collect();
            assert_eq!(found, expected, "what {id} has seen:{}", self.log().await);
        }
    }

    /// Every event was handled live, and for the first time not before an earlier one of its stream.
    fn check_handler(&self, log: &[RecordedEvent]) {
        let handled = self.watching.handled.lock();
        let handled = handled.unwrap_or_else(PoisonError::into_inner);
        for stream in streams() {
            let events = log.iter().filter(|event| event.stream == stream);
            let expected: Vec<_> = events.map(|event| event.position.get()).collect();
            let of_stream: Vec<_> = handled.iter().filter(|one| one.stream == stream).collect();
            let is_live = |one: &&&Handled| !one.is_replay;
            let live: Vec<_> = of_stream.iter().filter(is_live).copied().collect();
            for handled in [&of_stream, &live] {
                let first = first_times(handled);
                assert_eq!(first, expected, "{stream} was handled: {handled:?}");
            }
        }
    }

    /// The projection is what its events make of it.
    async fn check_projection(&self, log: &[RecordedEvent]) {
        let all = self.operator.subscriptions().list().await;
        let all = all.expect("subscriptions can be listed");
        let mut active = all
            .iter()
            .filter(|it| it.name == "trail" && it.state == SubscriptionState::Active);
        let version = active.next().expect("one is active").version;
        assert!(active.next().is_none(), "{all:#?}");
        let mut found = BTreeMap::new();
        let mut work = self.timed.store.begin_work().await.expect("a transaction");
        for stream in streams() {
            let connection = StoreOf::<F>::connection(&mut work);
            let key = key_of(self.seed, version, &stream);
            let number = self.fixture.get(connection, &key).await;
            found.insert(stream, number.unwrap_or_default());
        }
        drop(work);
        let begun = &self.begun[&version];
        let is_exact = begun.iter().any(|after| replayed(log, *after) == found);
        assert!(
            is_exact,
            "version {version} has {found:?}, and not what follows {begun:?}, as {:?}",
            replayed(log, 0)
        );
    }
}

fn text_of(event: &RecordedEvent) -> String {
    let body: serde_json::Value = serde_json::from_slice(&event.data).expect("JSON");
    body["text"].as_str().unwrap_or_default().to_owned()
}

/// The positions in the order in which they were handled first.
fn first_times(handled: &[&Handled]) -> Vec<u64> {
    let mut known = BTreeSet::new();
    let positions = handled.iter().map(|one| one.position);
    positions
        .filter(|position| known.insert(*position))
        .collect()
}

/// What a projection that began after a position has of the log.
fn replayed(log: &[RecordedEvent], after: u64) -> BTreeMap<StreamId, i64> {
    let mut numbers: BTreeMap<_, _> = streams().into_iter().map(|stream| (stream, 0)).collect();
    for event in log.iter().filter(|event| event.position.get() > after) {
        let number = numbers.entry(event.stream.clone()).or_default();
        *number = folded(*number, event.position.get());
    }
    numbers
}
