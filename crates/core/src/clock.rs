//! Where the time comes from.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

/// Tells the time. Tests put in one that they move by hand.
pub trait Clock: Debug + Send + Sync + 'static {
    /// The time of day, in UTC, to the microsecond.
    fn now(&self) -> OffsetDateTime;

    /// The time that never runs backwards, for deadlines and ages.
    fn instant(&self) -> Instant;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl SystemClock {
    /// The machine's clock, to be shared.
    pub fn shared() -> Arc<dyn Clock> {
        Arc::new(Self)
    }
}

impl Clock for SystemClock {
    fn now(&self) -> OffsetDateTime {
        to_micros(OffsetDateTime::now_utc())
    }

    fn instant(&self) -> Instant {
        Instant::now()
    }
}

/// Cuts a time to the microsecond, which is what every store keeps.
pub fn to_micros(time: OffsetDateTime) -> OffsetDateTime {
    let micros = time.nanosecond() / 1_000 * 1_000;
    time.replace_nanosecond(micros).unwrap_or(time)
}

/// What "never" amounts to: no process lives to see it, and it can still be added to an instant.
const NEVER: Duration = Duration::from_secs(30 * 365 * 24 * 3_600);

/// So long after an instant, or never.
pub(crate) fn instant_after(instant: Instant, time: Duration) -> Instant {
    instant + time.min(NEVER)
}

/// So long after a time of day, or the latest time there is.
pub(crate) fn time_after(time: OffsetDateTime, duration: Duration) -> OffsetDateTime {
    let duration = time::Duration::try_from(duration).unwrap_or(time::Duration::MAX);
    let latest = time::PrimitiveDateTime::MAX.assume_utc();
    time.checked_add(duration).unwrap_or(latest)
}
