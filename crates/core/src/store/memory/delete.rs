//! Soft and hard deletes.

use std::sync::Arc;

use super::super::{Deletion, StoreError, StreamHead};
use super::entry::{Entry, Place, StreamState};
use super::{Inner, lock};
use crate::{ExpectedVersion, StreamId};

impl Inner {
    pub(super) fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        if deletion == Deletion::Hard && !self.options.hard_deletes {
            return Err(StoreError::HardDeletesDisabled);
        }
        let not_found = || StoreError::StreamNotFound {
            stream: stream.clone(),
        };
        let state = self.find_stream(stream).ok_or_else(not_found)?;
        let mut state = lock(&state);
        if state.entries.is_empty() {
            return Err(not_found());
        }
        check_deletable(stream, expected, deletion, &state)?;
        let place = Place::new(stream.clone(), state.version().next());
        self.store_entries(vec![Arc::new(Entry::Tombstone(place))], &mut state);
        state.deleted = Some(deletion);
        if deletion == Deletion::Hard {
            self.erase(stream, &mut state);
        }
        Ok(state.head())
    }

    /// Erases all entries but the last tombstone, which keeps the name closed.
    fn erase(&self, stream: &StreamId, state: &mut StreamState) {
        let kept = state.entries.split_off(state.entries.len() - 1);
        let erased = std::mem::replace(&mut state.entries, kept);
        state.erased += erased.len() as u64;
        self.log.erase(&erased);
        for id in erased.iter().filter_map(|entry| entry.id()) {
            self.event_ids.remove(&id);
        }
        self.snapshots.remove(stream);
        self.outcomes.retain(|(of, _), _| of != stream);
    }

    pub(super) fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        let Some(state) = self.find_stream(stream) else {
            return Err(StoreError::StreamNotFound {
                stream: stream.clone(),
            });
        };
        let mut state = lock(&state);
        match state.deleted {
            Some(Deletion::Soft) => {
                state.deleted = None;
                Ok(state.head())
            }
            Some(Deletion::Hard) => Err(StoreError::StreamErased {
                stream: stream.clone(),
            }),
            None if state.entries.is_empty() => Err(StoreError::StreamNotFound {
                stream: stream.clone(),
            }),
            None => Err(StoreError::StreamNotDeleted {
                stream: stream.clone(),
            }),
        }
    }
}

fn check_deletable(
    stream: &StreamId,
    expected: ExpectedVersion,
    deletion: Deletion,
    state: &StreamState,
) -> Result<(), StoreError> {
    let erases_deleted = deletion == Deletion::Hard && state.deleted == Some(Deletion::Soft);
    if !erases_deleted {
        state.check_open(stream)?;
    }
    if expected.accepts(state.version()) {
        return Ok(());
    }
    let (stream, actual) = (stream.clone(), state.version());
    Err(StoreError::Conflict {
        stream,
        expected,
        actual,
    })
}
