//! How a worker knows that its partition is still its own.

use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::store::Lease;

/// A partition that is this process's own for the time being.
#[derive(Debug, Clone)]
pub(crate) struct Held {
    pub(crate) lease: Lease,
    /// Until when, at the latest, by this machine's own clock.
    good_until: watch::Receiver<Instant>,
    /// Cancelled when it is lost.
    pub(crate) lost: CancellationToken,
    /// Cancelled when it is to be given back.
    pub(crate) stopping: CancellationToken,
}

/// What renews or takes back a [`Held`].
#[derive(Debug)]
pub(crate) struct Holder {
    good_until: watch::Sender<Instant>,
    pub(crate) lost: CancellationToken,
    pub(crate) stopping: CancellationToken,
}

/// How long a lease that was renewed at an instant is relied on: less than it lasts, since clocks differ.
pub(crate) fn good_until(renewed_at: Instant, ttl: Duration) -> Instant {
    renewed_at + ttl * 4 / 5
}

impl Held {
    /// A lease, and its holder's end of it.
    pub(crate) fn new(lease: Lease, until: Instant) -> (Self, Holder) {
        let (sender, good_until) = watch::channel(until);
        let (lost, stopping) = (CancellationToken::new(), CancellationToken::new());
        let holder = Holder {
            good_until: sender,
            lost: lost.clone(),
            stopping: stopping.clone(),
        };
        let held = Self {
            lease,
            good_until,
            lost,
            stopping,
        };
        (held, holder)
    }

    /// Whether something may still be done under it that cannot be undone.
    pub(crate) fn is_good(&self) -> bool {
        !self.lost.is_cancelled() && Instant::now() < *self.good_until.borrow()
    }

    /// Waits until it is lost, or not renewed in time. Cancel-safe.
    pub(crate) async fn until_lost(&self) {
        let mut good_until = self.good_until.clone();
        loop {
            let until = *good_until.borrow_and_update();
            tokio::select! {
                () = self.lost.cancelled() => return,
                () = tokio::time::sleep_until(until.into()) => {
                    if *good_until.borrow() <= until {
                        self.lost.cancel();
                        return;
                    }
                }
                changed = good_until.changed() => if changed.is_err() {
                    self.lost.cancel();
                    return;
                }
            }
        }
    }
}

impl Holder {
    pub(crate) fn renew(&self, until: Instant) {
        self.good_until.send_replace(until);
    }
}
