//! A clock that the test moves.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ordain::{Clock, to_micros};
use time::OffsetDateTime;
use time::macros::datetime;

/// A clock that stands still until the test moves it. Clones are the same clock.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
///
/// use ordain::Clock;
/// use ordain::store::MemoryOptions;
/// use ordain_testkit::ManualClock;
///
/// let clock = ManualClock::new();
/// let options = MemoryOptions::new().clock(Arc::new(clock.clone()));
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(options.clock.now() - before, Duration::from_secs(60));
/// ```
#[derive(Debug, Clone)]
pub struct ManualClock {
    time: Arc<Mutex<Time>>,
}

#[derive(Debug, Clone, Copy)]
struct Time {
    now: OffsetDateTime,
    instant: Instant,
}

impl ManualClock {
    /// A clock at noon of 1 January 2030, UTC.
    #[expect(
        clippy::new_without_default,
        reason = "two new clocks are not the same clock"
    )]
    pub fn new() -> Self {
        Self::starting_at(datetime!(2030-01-01 12:00 UTC))
    }

    /// A clock at this time.
    pub fn starting_at(now: OffsetDateTime) -> Self {
        let time = Time {
            now: utc(now),
            instant: Instant::now(),
        };
        Self {
            time: Arc::new(Mutex::new(time)),
        }
    }

    /// Lets this much time pass.
    pub fn advance(&self, by: Duration) {
        let mut time = self.lock();
        time.now = to_micros(time.now + by);
        time.instant += by;
    }

    /// Lets time pass until then; a time that has passed sets back the time of day alone.
    pub fn set(&self, now: OffsetDateTime) {
        let mut time = self.lock();
        let now = utc(now);
        if let Ok(passed) = Duration::try_from(now - time.now) {
            time.instant += passed;
        }
        time.now = now;
    }

    /// Sets back the time of day alone, as a correction of the machine's clock does.
    pub fn step_back(&self, by: Duration) {
        let mut time = self.lock();
        time.now = to_micros(time.now - by);
    }

    fn lock(&self) -> MutexGuard<'_, Time> {
        self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn utc(time: OffsetDateTime) -> OffsetDateTime {
    to_micros(time.to_offset(time::UtcOffset::UTC))
}

impl Clock for ManualClock {
    fn now(&self) -> OffsetDateTime {
        self.lock().now
    }

    fn instant(&self) -> Instant {
        self.lock().instant
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_of_day_and_instant_move_together() {
        let clock = ManualClock::new();
        let (now, instant) = (clock.now(), clock.instant());
        clock.advance(Duration::from_millis(1_500));
        clock.set(now + Duration::from_secs(4));
        assert_eq!(clock.now(), now + Duration::from_secs(4));
        assert_eq!(clock.instant(), instant + Duration::from_secs(4));
    }

    #[test]
    fn only_the_time_of_day_goes_back() {
        let clock = ManualClock::new();
        let (now, instant) = (clock.now(), clock.instant());
        clock.step_back(Duration::from_secs(5));
        assert_eq!(clock.now(), now - Duration::from_secs(5));
        clock.set(now - Duration::from_secs(60));
        assert_eq!(clock.now(), now - Duration::from_secs(60));
        assert_eq!(clock.instant(), instant);
    }
}
