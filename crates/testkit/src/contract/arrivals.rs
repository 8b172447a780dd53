//! Those who follow the log are told that it has grown.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::FutureExt;
use ordain::store::{Arrival, Deletion, Follower};
use ordain::{EventStore, RecordedEvent};

use super::SubscriptionFixture;
use super::support::*;

/// How long an arrival may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a follower knows of the log: the events it was handed, and how far it had to look itself.
struct Seen {
    follower: Follower,
    handed: BTreeMap<u64, RecordedEvent>,
    looked: u64,
}

impl Seen {
    fn new(follower: Follower) -> Self {
        let handed = BTreeMap::new();
        Self {
            follower,
            handed,
            looked: 0,
        }
    }

    /// Follows until it knows of all positions up to this one.
    async fn follow_to(&mut self, store: &impl EventStore, last: u64) {
        while !(self.looked + 1..=last).all(|position| self.handed.contains_key(&position)) {
            let arrival = tokio::time::timeout(PATIENCE, self.follower.next()).await;
            let arrival = arrival.unwrap_or_else(|_| panic!("nobody was told of {last} events"));
            self.take(store, arrival.expect("the store is there")).await;
        }
    }

    async fn take(&mut self, store: &impl EventStore, arrival: Arrival) {
        match arrival {
            Arrival::Unknown => self.looked = store.head().await.expect("head").get(),
            Arrival::Events(events) => {
                let first = events[0].position;
                for (offset, event) in (0..).zip(&*events) {
                    assert_eq!(event.position, first.plus(offset), "there is a hole");
                    self.handed.insert(event.position.get(), event.clone());
                }
            }
        }
    }

    /// Forgets what it was told of so far.
    fn drain(&mut self) {
        while let Some(Some(_)) = self.follower.next().now_or_never() {}
        self.handed.clear();
        self.looked = 0;
    }

    /// That it was handed what is stored.
    async fn check(&self, store: &impl EventStore) {
        for event in log(store).await {
            if let Some(handed) = self.handed.get(&event.position.get()) {
                assert_eq!(*handed, event);
            }
        }
    }
}

/// Every event that is appended arrives, or it is said that there are events to be read.
pub async fn appended_events_arrive<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let Some(arrivals) = store.arrivals() else {
        return not_asserted("the store does not tell of arrivals");
    };
    given(&store, &account("a"), [0]).await;
    let mut seen = Seen::new(arrivals.follow());
    assert!(arrivals.is_followed());
    for round in 1..=5 {
        seen.drain();
        let last = 1 + 2 * round;
        seen.looked = last - 2;
        given(&store, &account("a"), [round, round]).await;
        seen.follow_to(&store, last).await;
        seen.check(&store).await;
    }
}

/// Of events that are appended at the same time, none is passed over in silence.
pub async fn concurrent_appends_all_arrive<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let Some(arrivals) = store.arrivals() else {
        return not_asserted("the store does not tell of arrivals");
    };
    let mut seen = Seen::new(arrivals.follow());
    let appends = at_once(4, |task| {
        let store = store.clone();
        async move {
            for round in 0..25 {
                given(&store, &account(&task.to_string()), [round, round]).await;
            }
        }
    });
    tokio::join!(appends, seen.follow_to(&store, 200));
    seen.check(&store).await;
}

/// What another process appends is announced.
pub async fn appends_of_others_are_announced<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let Some(other) = fixture.open_another_handle(&store).await else {
        return not_asserted("the store's data has one handle");
    };
    let Some(arrivals) = store.arrivals() else {
        return not_asserted("the store does not tell of arrivals");
    };
    let mut seen = Seen::new(arrivals.follow());
    for round in 1..=3 {
        seen.drain();
        seen.looked = round - 1;
        given(&other, &account("a"), [round]).await;
        seen.follow_to(&store, round).await;
        seen.check(&store).await;
    }
}

/// Links and tombstones, which take positions too, are announced.
pub async fn links_and_deletes_are_announced<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let Some(arrivals) = store.arrivals() else {
        return not_asserted("the store does not tell of arrivals");
    };
    let ids = given(&store, &account("a"), [1]).await;
    let mut seen = Seen::new(arrivals.follow());
    seen.looked = 1;
    link(&store, &stream("report", "all"), ANY, &ids)
        .await
        .expect("linked");
    seen.follow_to(&store, 2).await;
    for (position, deletion) in [(3, Deletion::Soft), (4, Deletion::Hard)] {
        let deleted = store.delete_stream(&account("a"), ANY, deletion).await;
        deleted.expect("deleted");
        seen.follow_to(&store, position).await;
    }
}
