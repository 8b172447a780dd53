//! A projection, as what a subscription delivers to.

use super::setup::persistently;
use super::{Projected, Projection};
use crate::handler::{Decoder, Failure, FailureAction, FailureCause, Ordering, key_of};
use crate::store::{Committed, Progress, ProjectionStore, SubscriptionChange};
use crate::subscription::{Consumer, Hub, Incoming, Unit, UnitFailure, Written};
use crate::{BoxError, StartError, StoreError};

/// A projection, with the store it writes to.
pub(crate) struct Projecting<S, P> {
    pub(crate) store: S,
    pub(crate) projection: P,
    pub(crate) decoder: Decoder,
}

impl<S: ProjectionStore, P: Projection<S::Connection>> Projecting<S, P> {
    /// Makes the tables.
    pub(crate) async fn setup(&self) -> Result<(), StartError> {
        persistently(P::NAME, || self.make_tables()).await
    }

    async fn make_tables(&self) -> Result<(), StartError> {
        let mut work = self.store.begin_work().await?;
        let connection = S::connection(&mut work);
        self.projection
            .setup(connection)
            .await
            .map_err(|source| StartError::Tables {
                projection: P::NAME,
                source,
            })?;
        self.store.commit_change(work, Vec::new()).await?;
        Ok(())
    }

    fn failure(error: BoxError) -> UnitFailure {
        if S::is_transient(&error) {
            UnitFailure::Store(StoreError::unavailable(error))
        } else {
            FailureCause::Error(error).into()
        }
    }

    /// What could not be committed is the events' fault only if the store says so.
    fn refused(error: StoreError) -> UnitFailure {
        if error.is_refused() {
            FailureCause::Error(error.into()).into()
        } else {
            UnitFailure::Store(error)
        }
    }
}

impl<S: ProjectionStore, P: Projection<S::Connection>> Consumer for Projecting<S, P> {
    fn unit(&self) -> Unit {
        Unit::Many
    }

    fn wants_replays(&self) -> bool {
        true
    }

    fn ordering(&self, incoming: &Incoming) -> Ordering {
        if P::ORDERED_BY_STREAM {
            return Ordering::Stream;
        }
        key_of(&self.decoder, incoming, |event, context| {
            self.projection.ordering(event, context)
        })
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        self.projection.on_failure(failure)
    }

    async fn handle(
        &self,
        unit: &[Incoming],
        attempt: u32,
        progress: Progress,
    ) -> Result<Written, UnitFailure> {
        let mut events = Vec::with_capacity(unit.len());
        for incoming in unit {
            let parts = self.decoder.parts::<P::Events>(&incoming.event)?;
            events.extend(parts.into_iter().map(|part| {
                let context = incoming.context(part.index, attempt);
                (part.event, context)
            }));
        }
        let lent = events
            .iter()
            .map(|(event, context)| Projected { event, context });
        let lent: Vec<_> = lent.collect();
        let mut work = self.store.begin_work().await.map_err(UnitFailure::Store)?;
        let connection = S::connection(&mut work);
        self.projection
            .project_batch(&lent, connection)
            .await
            .map_err(Self::failure)?;
        let committed = self.store.commit_work(work, progress).await;
        match committed.map_err(Self::refused)? {
            Committed::Done => Ok(Written::Together),
            Committed::LeaseLost | Committed::Gone => Ok(Written::Lost),
        }
    }

    async fn reset(&self, _: &Hub, change: SubscriptionChange) -> Result<bool, StoreError> {
        let mut work = self.store.begin_work().await?;
        let connection = S::connection(&mut work);
        self.projection
            .reset(connection)
            .await
            .map_err(StoreError::unavailable)?;
        self.store.commit_change(work, vec![change]).await
    }

    async fn take_over(
        &self,
        _: &Hub,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        let mut work = self.store.begin_work().await?;
        let connection = S::connection(&mut work);
        self.projection
            .take_over(connection)
            .await
            .map_err(StoreError::unavailable)?;
        self.store.commit_change(work, changes).await
    }
}
