//! From stored events to those a handler lists.

use std::sync::Arc;

use crate::store::Filter;
use crate::subscription::filter_of;
use crate::{Codec, DecodeError, EventSet, Part, RecordedEvent, Upcasters};

/// Reads stored events for handlers. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Decoder {
    codec: Codec,
    upcasters: Arc<Upcasters>,
}

impl Decoder {
    pub(crate) fn new(codec: Codec, upcasters: Arc<Upcasters>) -> Self {
        Self { codec, upcasters }
    }

    pub(crate) fn filter<E: EventSet>(&self) -> Filter {
        filter_of(E::TYPES, &self.upcasters)
    }

    pub(crate) fn parts<E: EventSet>(
        &self,
        event: &RecordedEvent,
    ) -> Result<Vec<Part<E>>, DecodeError> {
        self.upcasters.decode_parts(event, &self.codec)
    }
}
