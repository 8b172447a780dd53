//! How fast a version that is being built comes nearer to the end of the log.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::status::{SubscriptionStatus, as_word};
use crate::GlobalPosition;
use crate::store::{SubscriptionKey, SubscriptionState};

/// How far the version has come that is built beside the active one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RebuildProgress {
    /// The version.
    pub version: u32,
    /// Whether it is built, or has stopped; a stopped one goes on when it is [resumed](super::Subscriptions::resume).
    #[serde(serialize_with = "as_word")]
    pub state: SubscriptionState,
    /// Why it has stopped.
    pub reason: Option<String>,
    /// How far the partition has come that is behind the others.
    pub position: GlobalPosition,
    /// The end of the log.
    pub head: GlobalPosition,
    /// How many positions it passes in a second; not known when it is asked for the first time.
    pub per_second: Option<f64>,
    /// How long it will take at that rate.
    pub remaining: Option<Duration>,
    /// How many keys are dead-lettered. With any, it does not take over by itself.
    pub dead_letters: u64,
}

/// Where subscriptions stood when somebody last asked.
#[derive(Debug, Default)]
pub(super) struct Samples {
    last: HashMap<SubscriptionKey, (Instant, GlobalPosition)>,
}

impl Samples {
    /// The progress since the last time.
    pub(super) fn progress_of(&mut self, status: &SubscriptionStatus) -> RebuildProgress {
        let key = SubscriptionKey::new(&status.name, status.version);
        let (now, position) = (Instant::now(), status.position);
        let before = self.last.insert(key, (now, position));
        let per_second = before.and_then(|(then, from)| rate(now - then, from, position));
        let seconds = per_second
            .filter(|rate| *rate > 0.0)
            .map(|rate| status.lag as f64 / rate);
        RebuildProgress {
            version: status.version,
            state: status.state,
            reason: status.reason.clone(),
            position,
            head: status.head,
            per_second,
            remaining: seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()),
            dead_letters: status.dead_letters,
        }
    }
}

fn rate(time: Duration, from: GlobalPosition, to: GlobalPosition) -> Option<f64> {
    let passed = to.get().saturating_sub(from.get()) as f64;
    (!time.is_zero()).then(|| passed / time.as_secs_f64())
}
