//! Telling that the log has grown: those who follow it here, and other processes.

mod listener;
mod notifier;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use ordain::store::{Append, Appended, Arrivals};
use ordain::{GlobalPosition, RecordedEvent};
use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) use self::listener::Listener;
pub(crate) use self::notifier::Notifier;

/// Tells what this process has committed. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Announcer {
    pub(crate) arrivals: Arrivals,
    /// Whether events are stored as they were written, so that they can be handed over unread.
    hands_over: bool,
    committed: Arc<Committed>,
}

/// What the notifier has yet to tell of.
#[derive(Debug, Default)]
struct Committed {
    requests: AtomicUsize,
    grown: Notify,
}

impl Announcer {
    pub(crate) fn new(hands_over: bool) -> Self {
        Self {
            arrivals: Arrivals::new(),
            hands_over,
            committed: Arc::default(),
        }
    }

    /// Whether it pays to gather what was appended.
    pub(crate) fn takes_events(&self) -> bool {
        self.hands_over && self.arrivals.is_followed()
    }

    /// So many requests have been committed, with these events, which have no holes; if there are none, some have
    /// that are not told.
    pub(crate) fn committed(&self, requests: usize, events: Vec<RecordedEvent>) {
        self.committed.add(requests);
        if self.arrivals.is_followed() {
            self.arrivals.hand_over(events);
        }
    }
}

impl Committed {
    fn add(&self, requests: usize) {
        self.requests.fetch_add(requests, Ordering::Relaxed);
        self.grown.notify_one();
    }

    /// Waits until there are some, and takes their number.
    async fn take(&self) -> usize {
        loop {
            let requests = self.requests.swap(0, Ordering::Relaxed);
            if requests > 0 {
                return requests;
            }
            self.grown.notified().await;
        }
    }
}

/// How the stores of several processes call each other.
#[derive(Debug, Clone)]
pub(crate) struct Channel {
    name: String,
    /// Tells this process's calls from those of others.
    caller: String,
}

impl Channel {
    /// That of the store with this identity.
    pub(crate) fn new(identity: Uuid) -> Self {
        Self {
            name: format!("ordain_{}", identity.simple()),
            caller: Uuid::now_v7().simple().to_string(),
        }
    }
}

/// The events of an append, as they are stored now.
pub(crate) fn recorded(append: &Append, appended: &Appended) -> Vec<RecordedEvent> {
    let mut position = appended.first_position;
    let mut events = Vec::new();
    for (write, last) in append.writes.iter().zip(&appended.versions) {
        let before = last.get() - write.events.len() as u64;
        for (version, event) in (before + 1..).zip(&write.events) {
            events.push(RecordedEvent::record(
                event.clone(),
                write.stream.clone(),
                version.into(),
                position,
                appended.recorded_at,
            ));
            position = GlobalPosition::next(position);
        }
    }
    events
}
