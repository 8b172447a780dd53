//! Pauses between attempts.

use std::time::Duration;

/// Pauses that become longer with every attempt, and differ a little, so that those who failed
/// together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backoff {
    /// The pause after the first attempt.
    pub first: Duration,
    /// No pause is longer than this.
    pub longest: Duration,
    /// What every pause is multiplied by to give the next.
    pub factor: f64,
    /// By what part a pause may be longer or shorter.
    pub jitter: f64,
}

impl Default for Backoff {
    /// 1 s, doubled up to 60 s, 20 % more or less.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            factor: 2.0,
            jitter: 0.2,
        }
    }
}

impl Backoff {
    /// Pauses from `first` to `longest`, each twice the one before, 20 % more or less.
    pub fn new(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            ..Self::default()
        }
    }

    /// The pause after so many failed attempts, from 1.
    pub fn pause(&self, attempts: u32) -> Duration {
        let exponent = attempts.saturating_sub(1).min(1_000);
        let factor = self.factor.max(1.0).powi(exponent.cast_signed());
        let longest = self.longest.as_secs_f64();
        let seconds = (self.first.as_secs_f64() * factor).min(longest);
        let jitter = 1.0 + self.jitter.clamp(0.0, 1.0) * (2.0 * fastrand::f64() - 1.0);
        Duration::try_from_secs_f64(seconds * jitter).unwrap_or(self.longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_the_longest() {
        let backoff = Backoff {
            jitter: 0.0,
            ..Backoff::new(Duration::from_secs(1), Duration::from_secs(60))
        };
        let pauses = [1, 2, 3, 6, 7, 100, u32::MAX].map(|attempt| backoff.pause(attempt).as_secs());
        assert_eq!(pauses, [1, 2, 4, 32, 60, 60, 60]);
    }

    #[test]
    fn pauses_differ_within_the_jitter() {
        let backoff = Backoff::default();
        for _ in 0..1_000 {
            let pause = backoff.pause(1).as_secs_f64();
            assert!((0.8..=1.2).contains(&pause), "{pause}");
        }
    }
}
