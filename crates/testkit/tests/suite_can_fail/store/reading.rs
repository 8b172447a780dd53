//! The read side.

use std::sync::PoisonError;
use std::time::Duration;

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Block, BlockRequest, Change, Claim, Committed, Heartbeat, InstanceQuery,
    InstanceRecord, Lease, LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Progress,
    ProjectionStore, SubscriptionChange, SubscriptionKey, SubscriptionRecord, SubscriptionStore,
    TimerQuery, TimerRecord, TimersDue,
};
use ordain::{MemoryStore, StoreError};

use super::{Defect, Store};

#[async_trait]
impl SubscriptionStore for Store {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        self.inner.subscriptions(name).await
    }

    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        self.inner.change_subscriptions(changes).await
    }

    async fn remove_subscription(&self, key: &SubscriptionKey) -> Result<bool, StoreError> {
        self.inner.remove_subscription(key).await
    }

    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        let owner = beat.owner;
        let mut records = self.inner.keep_alive(beat).await?;
        if self.is(Defect::IgnoresOwner) {
            for partition in records.iter_mut().flat_map(|it| &mut it.partitions) {
                partition.owner = partition.owner.filter(|it| *it == owner);
            }
        }
        Ok(records)
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError> {
        if self.is(Defect::IgnoresOwner) {
            self.disown(&claim).await?;
        }
        self.inner.claim(claim).await
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        self.inner.release(leases).await
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        self.inner.leave(owner).await
    }

    async fn commit(&self, mut progress: Progress) -> Result<Committed, StoreError> {
        progress.changes.retain(|change| !self.loses(change));
        match self.defect {
            Defect::DelaysCommands => self.delay(&mut progress.changes),
            Defect::IgnoresRequirements => progress.requires.clear(),
            Defect::IgnoresEpoch => {
                progress.lease.epoch = self.current_epoch(&progress.lease).await?;
            }
            _ => {}
        }
        self.inner.commit(progress).await
    }

    async fn blocks(&self, key: &SubscriptionKey, limit: u32) -> Result<Vec<Block>, StoreError> {
        self.inner.blocks(key, limit).await
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        if self.is(Defect::IgnoresRequests) {
            return Ok(1);
        }
        self.inner.request_blocks(subscription, key, request).await
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        self.inner.instances(subscription, ids).await
    }

    async fn list_instances(
        &self,
        query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        self.inner.list_instances(query).await
    }

    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        self.inner.outgoing(query).await
    }

    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError> {
        self.inner.timers_due(query).await
    }

    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError> {
        self.inner.timers(subscription, instance).await
    }

    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError> {
        self.inner.set_timer(subscription, timer).await
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        let inner = self.inner.cancel_timer(subscription, instance, key);
        Ok(inner.await? || self.is(Defect::CancelsTwice))
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        self.inner
            .prune(subscription, dead_letters, finished_instances)
            .await
    }
}

impl ProjectionStore for Store {
    type Connection = <MemoryStore as ProjectionStore>::Connection;
    type Work = <MemoryStore as ProjectionStore>::Work;

    async fn begin_work(&self) -> Result<Self::Work, StoreError> {
        self.inner.begin_work().await
    }

    fn connection(work: &mut Self::Work) -> &mut Self::Connection {
        MemoryStore::connection(work)
    }

    async fn commit_work(
        &self,
        work: Self::Work,
        progress: Progress,
    ) -> Result<Committed, StoreError> {
        if self.is(Defect::DropsReadModel) {
            drop(work);
            return self.inner.commit(progress).await;
        }
        self.inner.commit_work(work, progress).await
    }

    async fn commit_change(
        &self,
        work: Self::Work,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        self.inner.commit_change(work, changes).await
    }

    async fn commit_append(
        &self,
        work: Self::Work,
        append: Append,
    ) -> Result<Appended, StoreError> {
        self.inner.commit_append(work, append).await
    }
}

impl Store {
    fn loses(&self, change: &Change) -> bool {
        match self.defect {
            Defect::DropsTimers => matches!(change, Change::PutTimer(_)),
            Defect::DropsInstances => matches!(change, Change::PutInstance(_)),
            Defect::DropsBlocks => matches!(change, Change::Block(_)),
            _ => false,
        }
    }

    /// Puts commands off, and hands over those that were put off before.
    fn delay(&self, changes: &mut Vec<Change>) {
        let is_command = |change: &mut Change| matches!(change, Change::PutOutgoing(_));
        let commands = changes.extract_if(.., is_command).collect();
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(std::mem::replace(&mut *delayed, commands));
    }

    async fn current_epoch(&self, lease: &LeaseKey) -> Result<u64, StoreError> {
        let records = self.inner.subscriptions(Some(&lease.subscription.name));
        let records = records.await?;
        let record = records.iter().find(|it| it.key == lease.subscription);
        let partition = record.and_then(|it| it.partitions.get(lease.partition as usize));
        Ok(partition.map_or(lease.epoch, |partition| partition.epoch))
    }

    /// Takes everything away from others.
    async fn disown(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut leases = Vec::new();
        for partition in &claim.partitions {
            let mut lease = LeaseKey {
                subscription: claim.subscription.clone(),
                partition: *partition,
                epoch: 0,
            };
            lease.epoch = self.current_epoch(&lease).await?;
            leases.push(lease);
        }
        self.inner.release(leases).await
    }
}
