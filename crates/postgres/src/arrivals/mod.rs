//! Telling that the log has grown: those who follow it here, and other processes.

mod listener;
mod notifier;

use std::sync::Arc;

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
    /// Wakes the notifier.
    committed: Arc<Notify>,
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

    /// These events have been committed, without holes; if there are none, some have that are not told.
    pub(crate) fn committed(&self, events: Vec<RecordedEvent>) {
        self.committed.notify_one();
        if self.arrivals.is_followed() {
            self.arrivals.hand_over(events);
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
