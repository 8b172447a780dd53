//! What a process instance knows about the event before it.

use std::ops::Deref;

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

impl Deref for ProcessContext {
    type Target = EventContext;

    fn deref(&self) -> &EventContext {
        &self.event
    }
}
