//! The read side of the stores with a defect.

use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt;
use ordain::store::{
    Append, Appended, Block, BlockRequest, Claim, Committed, Heartbeat, InstanceQuery,
    InstanceRecord, Lease, LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Partitions, Progress,
    ProjectionStore, Share, SubscriptionChange, SubscriptionKey, SubscriptionRecord,
    SubscriptionStore, TimerQuery, TimerRecord, TimersDue,
};
use ordain::{CommandId, EventStore, MemoryStore, ReadModels, StoreError};
use ordain_testkit::contract::{MemoryFixture, SubscriptionFixture};

use super::{Defect, Store, With};

const ALL: Share = Share {
    partition: 0,
    partitions: 1,
};

impl SubscriptionFixture for With {
    async fn put(&self, models: &mut ReadModels, key: &str, number: i64) {
        MemoryFixture.put(models, key, number).await;
    }

    async fn get(&self, models: &mut ReadModels, key: &str) -> Option<i64> {
        MemoryFixture.get(models, key).await
    }
}

impl Store {
    async fn record_of(&self, key: &SubscriptionKey) -> Option<SubscriptionRecord> {
        let records = self.inner.subscriptions(Some(&key.name)).await.ok()?;
        records.into_iter().find(|record| record.key == *key)
    }

    /// The lease as it would be if it were not lost.
    async fn current(&self, mut lease: LeaseKey) -> LeaseKey {
        if let Some(record) = self.record_of(&lease.subscription).await
            && let Some(partition) = record.partitions.get(lease.partition as usize)
        {
            lease.epoch = partition.epoch;
        }
        lease
    }

    async fn current_all(&self, leases: Vec<LeaseKey>) -> Vec<LeaseKey> {
        let mut current = Vec::new();
        for lease in leases {
            current.push(self.current(lease).await);
        }
        current
    }

    async fn position_of(&self, lease: &LeaseKey) -> Option<ordain::GlobalPosition> {
        let record = self.record_of(&lease.subscription).await?;
        let partition = record.partitions.get(lease.partition as usize)?;
        Some(partition.position)
    }

    /// Whether anybody has issued this command.
    pub(crate) async fn has_issued(&self, command_id: CommandId) -> bool {
        let records = self.inner.subscriptions(None).await.unwrap();
        for record in records {
            let query = OutgoingQuery {
                subscription: record.key,
                share: ALL,
                after: None,
                limit: u32::MAX,
            };
            let commands = self.inner.outgoing(query).await.unwrap();
            if commands.iter().any(|it| it.command_id == command_id) {
                return true;
            }
        }
        false
    }

    fn seen(&self, key: &SubscriptionKey) -> SubscriptionKey {
        let version = if self.is(Defect::MixesVersions) {
            1
        } else {
            key.version
        };
        SubscriptionKey::new(&key.name, version)
    }
}

#[async_trait]
impl SubscriptionStore for Store {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        let mut records = self.inner.subscriptions(name).await?;
        match self.defect {
            Defect::ListsWithoutOrder => records.reverse(),
            Defect::ForgetsPartOfDefinition => {
                for record in &mut records {
                    record.definition.replayed.clear();
                }
            }
            Defect::CountsNoDeadLetters => {
                for record in &mut records {
                    record.dead_letters = 0;
                }
            }
            Defect::TouchesAlways => {
                for partition in records.iter_mut().flat_map(|it| &mut it.partitions) {
                    partition.moved_at = time::OffsetDateTime::now_utc();
                }
            }
            _ => {}
        }
        Ok(records)
    }

    async fn change_subscriptions(
        &self,
        mut changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        if self.is(Defect::ChangesOneByOne) {
            let mut made = true;
            for change in changes {
                made &= self.inner.change_subscriptions(vec![change]).await?;
            }
            return Ok(made);
        }
        for change in &mut changes {
            match self.defect {
                Defect::IgnoresGeneration => {
                    let record = self.record_of(&change.key).await;
                    change.expected = record.map_or(0, |record| record.generation);
                }
                Defect::IgnoresAtLeast => change.at_least = None,
                Defect::FencesNothing if change.partitions == Partitions::Fence => {
                    change.partitions = Partitions::Keep;
                }
                Defect::FencesAlways if change.partitions == Partitions::Keep => {
                    change.partitions = Partitions::Fence;
                }
                _ => {}
            }
        }
        self.inner.change_subscriptions(changes).await
    }

    async fn remove_subscription(
        &self,
        subscription: &SubscriptionKey,
    ) -> Result<bool, StoreError> {
        if self.is(Defect::RemovesAllVersions) {
            let other = SubscriptionKey::new(&subscription.name, 2);
            self.inner.remove_subscription(&other).await?;
        }
        self.inner.remove_subscription(subscription).await
    }

    async fn keep_alive(&self, mut beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        match self.defect {
            Defect::RenewsNothing => beat.leases.clear(),
            Defect::CountsForEver => beat.ttl = Duration::from_secs(3_600),
            Defect::RenewsWhatIsLost => {
                for lease in &beat.leases {
                    let claim = Claim {
                        owner: beat.owner,
                        ttl: beat.ttl,
                        subscription: lease.subscription.clone(),
                        partitions: vec![lease.partition],
                    };
                    self.inner.claim(claim).await?;
                }
            }
            _ => {}
        }
        self.inner.keep_alive(beat).await
    }

    async fn claim(&self, mut claim: Claim) -> Result<Vec<Lease>, StoreError> {
        match self.defect {
            Defect::ClaimsWhatIsHeld => {
                let held = claim.partitions.iter().map(|&partition| LeaseKey {
                    subscription: claim.subscription.clone(),
                    partition,
                    epoch: 0,
                });
                let held = self.current_all(held.collect()).await;
                self.inner.release(held).await?;
            }
            Defect::LeasesForEver => claim.ttl = Duration::from_secs(3_600),
            Defect::LeasesForNothing => claim.ttl = Duration::ZERO,
            Defect::ClaimsInAnyState => {
                let mut record = self.record_of(&claim.subscription).await;
                if let Some(record) = record.take_if(|it| !it.definition.state.is_claimable()) {
                    let change = SubscriptionChange {
                        key: record.key,
                        expected: record.generation,
                        at_least: None,
                        definition: record.definition,
                        partitions: Partitions::Keep,
                    };
                    let mut active = change.clone();
                    active.definition.state = ordain::store::SubscriptionState::Active;
                    self.inner.change_subscriptions(vec![active]).await?;
                }
            }
            _ => {}
        }
        let mut leases = self.inner.claim(claim).await?;
        if self.is(Defect::ForgetsTrouble) {
            leases.iter_mut().for_each(|lease| lease.trouble = None);
        }
        Ok(leases)
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        let leases = match self.defect {
            Defect::ReleasesNothing => Vec::new(),
            Defect::ReleasesWhatIsLost => self.current_all(leases).await,
            _ => leases,
        };
        self.inner.release(leases).await
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        match self.defect {
            Defect::LeavesNothing => Ok(()),
            _ => self.inner.leave(owner).await,
        }
    }

    async fn commit(&self, mut progress: Progress) -> Result<Committed, StoreError> {
        match self.defect {
            Defect::IgnoresEpoch => progress.lease = self.current(progress.lease).await,
            Defect::IgnoresFrom => {
                if let Some(position) = self.position_of(&progress.lease).await {
                    progress.from = position;
                }
            }
            Defect::IgnoresRequirements => progress.requires.clear(),
            Defect::ReversesChanges => progress.changes.reverse(),
            Defect::StandsStill => progress.to = progress.from,
            Defect::CommitsChangesApart => {
                let lease = self.current(progress.lease.clone()).await;
                if let Some(at) = self.position_of(&lease).await {
                    let changes = std::mem::take(&mut progress.changes);
                    let apart = Progress {
                        changes,
                        ..Progress::new(lease, at, at)
                    };
                    self.inner.commit(apart).await?;
                }
            }
            _ => {}
        }
        self.inner.commit(progress).await
    }

    async fn blocks(
        &self,
        subscription: &SubscriptionKey,
        limit: u32,
    ) -> Result<Vec<Block>, StoreError> {
        let mut blocks = self.inner.blocks(subscription, limit).await?;
        if self.is(Defect::KeepsGivenTimes) {
            for block in &mut blocks {
                block.since = time::OffsetDateTime::UNIX_EPOCH;
            }
        }
        Ok(blocks)
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        let key = key.filter(|_| !self.is(Defect::RequestsAll));
        self.inner.request_blocks(subscription, key, request).await
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        let mut instances = self.inner.instances(subscription, ids).await?;
        if self.is(Defect::KeepsGivenTimes) {
            for instance in &mut instances {
                instance.changed_at = time::OffsetDateTime::UNIX_EPOCH;
            }
        }
        Ok(instances)
    }

    async fn list_instances(
        &self,
        mut query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        if self.is(Defect::BeginsPagesAnew) {
            query.after = None;
        }
        self.inner.list_instances(query).await
    }

    async fn outgoing(&self, mut query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        query.subscription = self.seen(&query.subscription);
        match self.defect {
            Defect::BeginsPagesAnew => query.after = None,
            Defect::IgnoresShare => query.share = ALL,
            _ => {}
        }
        let mut commands = self.inner.outgoing(query).await?;
        if self.is(Defect::OrdersAsPeopleDo) {
            commands.sort_by_key(|command| command.instance.to_lowercase());
        }
        Ok(commands)
    }

    async fn timers_due(&self, mut query: TimerQuery) -> Result<TimersDue, StoreError> {
        if self.is(Defect::IgnoresShare) {
            query.share = ALL;
        }
        let mut due = self.inner.timers_due(query).await?;
        match self.defect {
            Defect::TellsNoNextTimer => due.next = None,
            Defect::OrdersAsPeopleDo => due.timers.sort_by_key(|it| it.instance.to_lowercase()),
            _ => {}
        }
        Ok(due)
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
        if self.is(Defect::KeepsOldTimer) {
            let set = self.inner.timers(subscription, &timer.instance).await?;
            if set.iter().any(|it| it.key == timer.key) {
                return Ok(());
            }
        }
        self.inner.set_timer(subscription, timer).await
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        self.inner.cancel_timer(subscription, instance, key).await
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        let (dead_letters, finished_instances) = match self.defect {
            Defect::PrunesTooMuch => (Some(Duration::ZERO), Some(Duration::ZERO)),
            _ => (dead_letters, finished_instances),
        };
        let pruned = self
            .inner
            .prune(subscription, dead_letters, finished_instances)
            .await;
        match pruned {
            Err(StoreError::Closed) if self.is(Defect::AnswersWhenClosed) => Ok(0),
            pruned => pruned,
        }
    }
}

/// A transaction that may be committed when it is dropped.
pub(crate) struct Work {
    inner: Option<<MemoryStore as ProjectionStore>::Work>,
    committed_by_drop: Option<MemoryStore>,
}

impl Work {
    fn take(mut self) -> <MemoryStore as ProjectionStore>::Work {
        self.inner.take().unwrap()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let (Some(work), Some(store)) = (self.inner.take(), &self.committed_by_drop) {
            let _ = store.commit_change(work, Vec::new()).now_or_never();
        }
    }
}

impl ProjectionStore for Store {
    type Connection = ReadModels;
    type Work = Work;

    async fn begin_work(&self) -> Result<Work, StoreError> {
        let commits = self.is(Defect::CommitsWhatIsDropped);
        Ok(Work {
            inner: Some(self.inner.begin_work().await?),
            committed_by_drop: commits.then(|| self.inner.clone()),
        })
    }

    fn connection(work: &mut Work) -> &mut ReadModels {
        MemoryStore::connection(work.inner.as_mut().unwrap())
    }

    async fn commit_work(&self, work: Work, progress: Progress) -> Result<Committed, StoreError> {
        if self.is(Defect::CommitsReadModelsApart) {
            self.inner.commit_change(work.take(), Vec::new()).await?;
            return self.inner.commit(progress).await;
        }
        self.inner.commit_work(work.take(), progress).await
    }

    async fn commit_change(
        &self,
        work: Work,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        if self.is(Defect::CommitsReadModelsApart) {
            self.inner.commit_change(work.take(), Vec::new()).await?;
            return self.inner.change_subscriptions(changes).await;
        }
        self.inner.commit_change(work.take(), changes).await
    }

    async fn commit_append(&self, work: Work, append: Append) -> Result<Appended, StoreError> {
        if self.is(Defect::CommitsReadModelsApart) {
            self.inner.commit_change(work.take(), Vec::new()).await?;
            return self.inner.append(append).await;
        }
        self.inner.commit_append(work.take(), append).await
    }
}
