//! Snapshots, written beside the commands.

use std::sync::Arc;

use super::Live;
use super::worker::Scope;
use crate::aggregate::load::Basis;
use crate::{Aggregate, Snapshot, StoreError};

impl<A: Aggregate> Scope<'_, A> {
    /// A copy of the state, if as many events have happened since the last snapshot.
    pub(super) fn due_snapshot(&self, live: &mut Live<A>) -> Option<A> {
        let every = A::SNAPSHOTS?.interval();
        let version = live.basis.version;
        if version.get() - live.snapshot.get() < every {
            return None;
        }
        live.snapshot = version;
        Some(live.state.clone())
    }

    /// Writes a snapshot of a committed state in a task of its own; not if too many are being written.
    pub(super) fn take_snapshot(&self, state: A, basis: Basis) {
        let (Some(snapshots), Some(entry)) = (A::SNAPSHOTS, basis.entry) else {
            return;
        };
        let shared = Arc::clone(&self.runtime.shared);
        let Ok(permit) = Arc::clone(&shared.snapshot_permits).try_acquire_owned() else {
            return;
        };
        let stream = self.instance.stream.clone();
        let task = async move {
            let data = snapshots.encode(&state, &shared.loader.codec);
            let written = match data {
                Ok(data) => {
                    let (version, taken_at) = (basis.version, shared.clock.now());
                    let schema_version = snapshots.schema_version();
                    let stream = stream.clone();
                    let snapshot = Snapshot {
                        stream,
                        version,
                        entry,
                        schema_version,
                        data,
                        taken_at,
                    };
                    shared.store.record_snapshot(snapshot).await
                }
                Err(error) => Err(StoreError::internal(error)),
            };
            if let Err(error) = written {
                tracing::warn!(%stream, %error, "a snapshot could not be written; the next one is tried");
            }
            drop(permit);
        };
        self.runtime.shared.spawn(task);
    }
}
