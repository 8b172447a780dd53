//! How a store tells that its log has grown.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{broadcast, watch};

use crate::{GlobalPosition, RecordedEvent};

/// How many batches a follower may be behind before it has to read the log.
const BATCHES_KEPT: usize = 256;

/// Tells those who follow the log that it has grown. Cheap to clone; clones are one.
///
/// What is told may be lost, doubled or out of order: it saves its followers a read or a wait, and never
/// stands for the log itself.
#[derive(Debug, Clone)]
pub struct Arrivals {
    batches: broadcast::Sender<Arc<[RecordedEvent]>>,
    followers: watch::Sender<usize>,
    last: Arc<AtomicU64>,
}

/// What a follower is told.
#[derive(Debug, Clone)]
pub enum Arrival {
    /// These events have been committed, in the order of their positions, which follow each other.
    Events(Arc<[RecordedEvent]>),
    /// There may be events that are not known yet.
    Unknown,
}

impl Arrivals {
    /// Followed by nobody.
    pub fn new() -> Self {
        Self {
            batches: broadcast::Sender::new(BATCHES_KEPT),
            followers: watch::Sender::new(0),
            last: Arc::default(),
        }
    }

    /// Whether anybody follows. If not, there is no need to tell.
    pub fn is_followed(&self) -> bool {
        *self.followers.borrow() > 0
    }

    /// Waits until somebody follows, or nobody does. Cancel-safe.
    pub async fn until_followed(&self, followed: bool) {
        let mut followers = self.followers.subscribe();
        // Cannot fail: this holds a sender.
        let _ = followers.wait_for(|count| (*count > 0) == followed).await;
    }

    /// Hands over events that this process has just committed, without holes, in the order of their
    /// positions.
    pub fn hand_over(&self, events: impl Into<Arc<[RecordedEvent]>>) {
        let events = events.into();
        if let Some(last) = events.last() {
            self.last.fetch_max(last.position.get(), Ordering::Relaxed);
        }
        // Nobody may follow.
        let _ = self.batches.send(events);
    }

    /// The highest position that was handed over.
    pub fn last(&self) -> GlobalPosition {
        GlobalPosition::new(self.last.load(Ordering::Relaxed))
    }

    /// Tells that there may be events that are not known yet.
    pub fn announce(&self) {
        self.hand_over(Vec::new());
    }

    /// Follows from now on.
    pub fn follow(&self) -> Follower {
        self.followers.send_modify(|count| *count += 1);
        Follower {
            batches: self.batches.subscribe(),
            followers: self.followers.clone(),
        }
    }
}

impl Default for Arrivals {
    fn default() -> Self {
        Self::new()
    }
}

/// Is told that the log has grown.
#[derive(Debug)]
pub struct Follower {
    batches: broadcast::Receiver<Arc<[RecordedEvent]>>,
    followers: watch::Sender<usize>,
}

impl Follower {
    /// What came next; `None` when the store is gone. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arrival> {
        match self.batches.recv().await {
            Ok(events) if events.is_empty() => Some(Arrival::Unknown),
            Ok(events) => Some(Arrival::Events(events)),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Arrival::Unknown),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.followers.send_modify(|count| *count -= 1);
    }
}
