//! Transactions of read models.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::super::{
    Append, Appended, Committed, Progress, ProjectionStore, StoreError, SubscriptionChange,
};
use super::{MemoryStore, ReadModels};

/// An open transaction of a [`MemoryStore`]; there is one at a time.
#[derive(Debug)]
pub struct MemoryWork {
    models: ReadModels,
    /// Dropped last: what was written is committed before the next begins.
    turn: OwnedMutexGuard<()>,
}

impl MemoryStore {
    /// The read models as they are committed.
    pub fn read_models(&self) -> &ReadModels {
        &self.inner.read_models
    }
}

impl ProjectionStore for MemoryStore {
    type Connection = ReadModels;
    type Work = MemoryWork;

    async fn begin_work(&self) -> Result<MemoryWork, StoreError> {
        self.inner.open()?;
        let turn = Arc::clone(&self.inner.turn).lock_owned().await;
        let models = self.inner.open()?.read_models.begin();
        Ok(MemoryWork { models, turn })
    }

    fn connection(work: &mut MemoryWork) -> &mut ReadModels {
        &mut work.models
    }

    async fn commit_work(
        &self,
        work: MemoryWork,
        progress: Progress,
    ) -> Result<Committed, StoreError> {
        let mut read_side = self.inner.read_side()?;
        let committed = read_side.commit(progress, self.inner.now());
        if committed == Committed::Done {
            work.commit();
        }
        Ok(committed)
    }

    async fn commit_change(
        &self,
        work: MemoryWork,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        let mut read_side = self.inner.read_side()?;
        let changed = read_side.change(changes, self.inner.now());
        if changed {
            work.commit();
        }
        Ok(changed)
    }

    async fn commit_append(
        &self,
        work: MemoryWork,
        append: Append,
    ) -> Result<Appended, StoreError> {
        self.inner.open()?.append(append, Some(work))
    }
}

impl MemoryWork {
    pub(super) fn commit(self) {
        self.models.commit();
        drop(self.turn);
    }
}
