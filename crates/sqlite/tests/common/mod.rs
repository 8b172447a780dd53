//! What several test files need.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ordain::store::{
    Append, Claim, Definition, Lease, OwnerId, Partitions, SubscriptionChange, SubscriptionKey,
    SubscriptionState, SubscriptionStore,
};
use ordain::{Clock, ExpectedVersion, GlobalPosition, NewEvent, StreamId};
use time::OffsetDateTime;

/// A clock that stands until it is set.
#[derive(Debug)]
pub(crate) struct HandClock {
    micros: AtomicI64,
    start: Instant,
    passed: Mutex<Duration>,
}

impl HandClock {
    pub(crate) fn new(micros: i64) -> Arc<Self> {
        Arc::new(Self {
            micros: AtomicI64::new(micros),
            start: Instant::now(),
            passed: Mutex::default(),
        })
    }

    pub(crate) fn set(&self, micros: i64) {
        self.micros.store(micros, Ordering::SeqCst);
    }

    pub(crate) fn pass(&self, time: Duration) {
        *self.passed.lock().unwrap() += time;
    }
}

impl Clock for HandClock {
    fn now(&self) -> OffsetDateTime {
        at(self.micros.load(Ordering::SeqCst))
    }

    fn instant(&self) -> Instant {
        self.start + *self.passed.lock().unwrap()
    }
}

/// The time this many microseconds after 1970.
pub(crate) fn at(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000).unwrap()
}

pub(crate) fn stream(name: &str) -> StreamId {
    name.parse().unwrap()
}

pub(crate) fn event(number: u64) -> NewEvent {
    NewEvent::new("counted", format!("{{\"n\":{number}}}"))
}

/// One event for any version of a stream.
pub(crate) fn one(name: &str, number: u64) -> Append {
    Append::new(stream(name), ExpectedVersion::Any, vec![event(number)])
}

/// A subscription that stands at the origin, in one partition.
pub(crate) fn made(key: &SubscriptionKey) -> SubscriptionChange {
    SubscriptionChange {
        key: key.clone(),
        expected: 0,
        at_least: None,
        definition: Definition {
            state: SubscriptionState::Active,
            reason: None,
            fingerprint: String::new(),
            replayed: Vec::new(),
            barrier: None,
        },
        partitions: Partitions::Replace(vec![GlobalPosition::ORIGIN]),
    }
}

/// The one partition, which nobody holds, for a moment: only the epoch matters afterwards.
pub(crate) async fn claim(store: &impl SubscriptionStore, key: &SubscriptionKey) -> Lease {
    let claim = || Claim {
        owner: OwnerId::random(),
        ttl: Duration::from_millis(1),
        subscription: key.clone(),
        partitions: vec![0],
    };
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        let leases = store.claim(claim()).await.unwrap();
        if let Some(lease) = leases.into_iter().next() {
            return lease;
        }
        assert!(Instant::now() < end, "the lease never ends");
    }
}
