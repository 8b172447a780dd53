//! What a process instance knows about what it reacts to.

use std::ops::Deref;

use time::OffsetDateTime;

use crate::EventContext;

/// What a process instance knows about the event before it, and which instance it is.
#[derive(Debug, Clone)]
pub struct ProcessContext {
    event: EventContext,
    instance: String,
}

impl ProcessContext {
    /// The context of an event for an instance.
    pub fn new(event: EventContext, instance: impl Into<String>) -> Self {
        Self {
            event,
            instance: instance.into(),
        }
    }

    /// The id of the instance, as text.
    pub fn instance(&self) -> &str {
        &self.instance
    }
}

/// What a process instance knows about a timer that is due, and which instance it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerContext {
    instance: String,
    key: String,
    due_at: OffsetDateTime,
}

impl TimerContext {
    /// The context of a timer of an instance.
    pub fn new(
        instance: impl Into<String>,
        key: impl Into<String>,
        due_at: OffsetDateTime,
    ) -> Self {
        Self {
            instance: instance.into(),
            key: key.into(),
            due_at,
        }
    }

    /// The id of the instance, as text.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// The key under which the timer was set.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// When it was due; it may fire later. Timers that are set now count from here.
    pub fn due_at(&self) -> OffsetDateTime {
        self.due_at
    }
}

impl Deref for ProcessContext {
    type Target = EventContext;

    fn deref(&self) -> &EventContext {
        &self.event
    }
}
