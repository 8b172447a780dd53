//! How a subscription works, and its bounds.

use std::time::Duration;

use crate::GlobalPosition;
use crate::retry::Backoff;

/// Where a subscription begins when it is made. Later starts go on where it stands, and a version that replaces another
/// begins no later than that one had come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum StartFrom {
    /// With the first event.
    #[default]
    Origin,
    /// With what comes after it is made.
    Current,
    /// With what comes after this position.
    Position(GlobalPosition),
}

/// How a subscription works, all with defaults.
///
/// | option | default | |
/// |---|---|---|
/// | `start_from` | `Origin` | where it begins, when it is made |
/// | `partitions` | 1 | how many parts of it can be worked on at once, when it is made |
/// | `page` | 1,000 | positions examined by one read while catching up |
/// | `window` | 1,000 | events delivered and not yet acknowledged with all before them |
/// | `batch_max` | 500 | events handled at once, in one call or one transaction |
/// | `batch_wait` | 0 | how long a batch that is not full waits for more |
/// | `checkpoint_every` | 100 | events after which the checkpoint is written |
/// | `checkpoint_after` | 250 ms | how often it is written: the first after such a time at once |
/// | `time_limit` | 30 s | how long handling an event, or a batch, may take |
/// | `retry` | 1 s, doubled up to 60 s, ± 20 % | pauses between attempts |
/// | `attempts` | 5 | attempts before an event is dead-lettered |
/// | `blocked_max` | 1,000 | keys passed over; beyond that it waits |
/// | `dead_letters_kept` | for good | how long a dead letter is kept |
/// | `outage_after` | 3 | keys failing one after the other that count as an outage: it waits |
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionOptions {
    /// Where it begins, when it is made; with the first event.
    pub start_from: StartFrom,
    /// How many parts of it can be worked on at once, when it is made; 1. Order is kept within a part.
    pub partitions: u32,
    /// How many positions one read examines while it catches up; 1,000.
    pub page: u32,
    /// How many events are delivered and not yet acknowledged with all before them; 1,000.
    pub window: usize,
    /// How many events are handled at once, in one call or one transaction; 500.
    pub batch_max: usize,
    /// How long a batch that is not full waits for more; not at all.
    pub batch_wait: Duration,
    /// After how many events the checkpoint is written; 100.
    pub checkpoint_every: u64,
    /// How often it is written: the first after such a time at once, unless the user acknowledges; 250 ms.
    pub checkpoint_after: Duration,
    /// How long handling an event, or a batch, may take; 30 s.
    pub time_limit: Duration,
    /// The pauses between attempts; 1 s, doubled up to 60 s.
    pub retry: Backoff,
    /// How often an event is tried before it is dead-lettered; 5.
    pub attempts: u32,
    /// How many keys may be passed over; 1,000. Beyond that it waits and tries again.
    pub blocked_max: usize,
    /// How many keys fail one after the other, without a success between, until that counts as an outage;
    /// 3. Then it waits and tries again, and dead-letters nothing.
    pub outage_after: u32,
    /// How long a dead letter is kept; for good. After that it is forgotten: the event that failed and what
    /// has waited behind it are never handled, later events of its key are.
    pub dead_letters_kept: Option<Duration>,
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self {
            start_from: StartFrom::Origin,
            partitions: 1,
            page: 1_000,
            window: 1_000,
            batch_max: 500,
            batch_wait: Duration::ZERO,
            checkpoint_every: 100,
            checkpoint_after: Duration::from_millis(250),
            time_limit: Duration::from_secs(30),
            retry: Backoff::default(),
            attempts: 5,
            blocked_max: 1_000,
            outage_after: 3,
            dead_letters_kept: None,
        }
    }
}

macro_rules! setters {
    ($($name:ident: $type:ty),* $(,)?) => {
        $(
            #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
            #[must_use]
            pub fn $name(mut self, $name: $type) -> Self {
                self.$name = $name;
                self
            }
        )*
    };
}

impl SubscriptionOptions {
    /// The most partitions a subscription can have.
    pub const PARTITIONS_MAX: u32 = 1_024;

    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    setters! {
        start_from: StartFrom,
        partitions: u32,
        page: u32,
        window: usize,
        batch_max: usize,
        batch_wait: Duration,
        checkpoint_every: u64,
        checkpoint_after: Duration,
        time_limit: Duration,
        retry: Backoff,
        attempts: u32,
        blocked_max: usize,
        outage_after: u32,
        dead_letters_kept: Option<Duration>,
    }

    /// The option that cannot be, and why.
    pub(crate) fn problem(&self) -> Option<(&'static str, &'static str)> {
        let counts = [
            ("partitions", u64::from(self.partitions)),
            ("page", u64::from(self.page)),
            ("window", self.window as u64),
            ("batch_max", self.batch_max as u64),
            ("checkpoint_every", self.checkpoint_every),
            ("attempts", u64::from(self.attempts)),
            ("outage_after", u64::from(self.outage_after)),
        ];
        let zero = counts.into_iter().find(|(_, count)| *count == 0);
        if let Some((option, _)) = zero {
            return Some((option, "must be at least 1"));
        }
        if self.partitions > Self::PARTITIONS_MAX {
            return Some(("partitions", "must be at most 1,024"));
        }
        if self.time_limit.is_zero() {
            return Some(("time_limit", "must not be zero"));
        }
        None
    }
}
