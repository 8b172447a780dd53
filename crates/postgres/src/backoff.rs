//! How long to wait before trying again.

use std::time::Duration;

/// Waits that double, up to a second, each shortened by chance, so that processes which lost the same
/// database do not come back all at once.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: u32,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(20);
    const LONGEST: Duration = Duration::from_secs(1);

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next wait.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = Self::FIRST.saturating_mul(1 << self.failures.min(10));
        self.failures = self.failures.saturating_add(1);
        doubled
            .min(Self::LONGEST)
            .mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_a_second_and_begin_anew_after_success() {
        let mut backoff = Backoff::default();
        let first = backoff.next();
        assert!(first <= Backoff::FIRST);
        let last = (0..40).map(|_| backoff.next()).last().unwrap();
        assert!(last > Backoff::LONGEST / 3 && last <= Backoff::LONGEST);
        backoff.reset();
        assert!(backoff.next() <= Backoff::FIRST);
    }
}
