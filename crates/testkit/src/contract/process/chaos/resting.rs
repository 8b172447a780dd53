//! How a case comes to rest.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ordain::store::SubscriptionState;

use super::super::super::SubscriptionFixture;
use super::super::super::support::log;
use super::super::support::{LONG, find};
use super::apps::Mortal;
use super::steps::{NAMES, Way};
use super::world::World;
use crate::FaultyStore;

/// How long to wait before it is looked again whether all is at rest.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// How long everything may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(30);

/// How the durable subscription is driven to its end.
const IN_ORDER: Way = Way {
    seed: 0,
    holds: 0,
    window: 8,
};

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    /// Mends everything, and waits until an app without faults has come to the end.
    pub(super) async fn come_to_rest(&mut self) {
        self.failing.heal();
        self.open_all().await;
        for slot in 0..self.slots.len() {
            self.thaw(slot, false);
            if slot % 2 == 0 {
                self.shut_down(slot).await;
            }
            self.kill(slot).await;
        }
        self.timed.end_leases();
        let store = FaultyStore::new(self.timed.store.clone());
        // It is to lose no lease, however slow the machine is.
        let app = self.builder(&store, self.newest, LONG).start().await;
        let app = app.expect("the app starts");
        self.consumers[0] = self.begin_to_consume(&app, IN_ORDER).await;
        for name in NAMES {
            let resumed = app.subscriptions().resume(name).await;
            resumed.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        self.until_at_rest().await;
        let gates = Vec::new();
        self.slots[0] = Some(Mortal { app, store, gates });
        self.shut_down(0).await;
        self.hear_waiters().await;
    }

    async fn until_at_rest(&mut self) {
        let begun = Instant::now();
        while !self.is_at_rest().await {
            if begun.elapsed() > PATIENCE {
                panic!("not at rest within {PATIENCE:?}:{}", self.describe().await);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn is_at_rest(&mut self) -> bool {
        let head = self.head().await;
        for name in NAMES {
            self.retry_what_failed(name).await;
        }
        let statuses = self.statuses().await;
        let are_done = statuses.iter().all(|status| {
            status.state == SubscriptionState::Retired
                || status.state == SubscriptionState::Active
                    && status.lag == 0
                    && status.dead_letters == 0
                    && status.parked == 0
        });
        // In this order: each may lead to the next.
        are_done
            && self.have_timers_fired().await
            && self.unsettled().await.is_empty()
            && self.is_schedule_empty().await
            && self.head().await == head
            && self.have_followers_come(&log(&self.timed.store).await)
    }

    /// What is asked about already is left as it is: it may be to be left out.
    async fn retry_what_failed(&mut self, name: &'static str) {
        let letters = self.letters(name).await;
        let keys = letters.iter().filter(|letter| !letter.is_requested);
        let keys: BTreeSet<_> = keys.map(|letter| letter.key.clone()).collect();
        for key in keys {
            self.retry_one(name, &key, &letters).await;
        }
    }

    async fn have_timers_fired(&self) -> bool {
        for instance in self.told.keys() {
            let instance = find(&self.operator, &format!("i{instance}")).await;
            if instance.is_none_or(|instance| !instance.timers.is_empty()) {
                return false;
            }
        }
        true
    }
}
