//! What the appender has done.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::appender::{Answer, Verdict};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a store's appender has done since it was opened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
        #[non_exhaustive]
        pub struct PostgresStats {
            $($(#[$doc])* pub $name: u64,)*
        }

        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $($name: AtomicU64,)*
        }

        impl Counters {
            pub(crate) fn read(&self) -> PostgresStats {
                PostgresStats {
                    $($name: self.$name.load(Ordering::Relaxed),)*
                }
            }
        }
    };
}

counters! {
    /// Batches committed. Under load one of them serves many requests.
    commits,
    /// Requests carried out by them, refused ones not counted.
    writes,
    /// Calls that failed as a whole, such as for a server that could not be reached.
    failures,
    /// Batches sent once more because a unique index refused a version or an id.
    index_refusals,
    /// Times that a position was taken already: something writes events without the order lock.
    position_collisions,
    /// Times that versions were looked up for a while because too many batches were refused.
    trust_losses,
    /// Times that what was sent before a lost connection was kept from coming true later.
    fences,
    /// Times that committed events were found to be gone, as after a restore.
    regressions,
}

impl Counters {
    pub(crate) fn committed(&self, verdicts: &[Verdict]) {
        let stored = |verdict: &&Verdict| !matches!(verdict, Ok(Answer::Busy) | Err(_));
        let writes = verdicts.iter().filter(stored).count();
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.writes.fetch_add(writes as u64, Ordering::Relaxed);
    }

    pub(crate) fn failed(&self) {
        self.failures.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refused_by_index(&self) {
        self.index_refusals.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn positions_collided(&self) {
        self.position_collisions.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn lost_trust(&self) {
        self.trust_losses.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn fenced(&self) {
        self.fences.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn went_backwards(&self) {
        self.regressions.fetch_add(1, Ordering::Relaxed);
    }
}
