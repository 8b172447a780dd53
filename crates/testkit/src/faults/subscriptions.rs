//! Faults of what the read side remembers.

use std::time::Duration;

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Block, BlockRequest, Claim, Committed, Heartbeat, InstanceQuery,
    InstanceRecord, Lease, LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Progress,
    ProjectionStore, SubscriptionChange, SubscriptionKey, SubscriptionRecord, SubscriptionStore,
    TimerQuery, TimerRecord, TimersDue,
};
use ordain::{BoxError, StoreError};

use super::{Call, FaultyStore, no_conflict};

macro_rules! faulty {
    ($self:ident, $call:ident, $inner:expr) => {{
        let inner = $inner;
        $self.around(Call::$call, no_conflict, inner).await
    }};
}

#[async_trait]
impl<S: SubscriptionStore> SubscriptionStore for FaultyStore<S> {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        faulty!(self, Subscriptions, self.inner.subscriptions(name))
    }

    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        faulty!(
            self,
            ChangeSubscriptions,
            self.inner.change_subscriptions(changes)
        )
    }

    async fn remove_subscription(&self, key: &SubscriptionKey) -> Result<bool, StoreError> {
        faulty!(
            self,
            RemoveSubscription,
            self.inner.remove_subscription(key)
        )
    }

    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        faulty!(self, KeepAlive, self.inner.keep_alive(beat))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError> {
        faulty!(self, Claim, self.inner.claim(claim))
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        faulty!(self, Release, self.inner.release(leases))
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        faulty!(self, Leave, self.inner.leave(owner))
    }

    async fn commit(&self, progress: Progress) -> Result<Committed, StoreError> {
        faulty!(self, Commit, self.inner.commit(progress))
    }

    async fn blocks(&self, key: &SubscriptionKey, limit: u32) -> Result<Vec<Block>, StoreError> {
        faulty!(self, Blocks, self.inner.blocks(key, limit))
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        let inner = self.inner.request_blocks(subscription, key, request);
        faulty!(self, RequestBlocks, inner)
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        faulty!(self, Instances, self.inner.instances(subscription, ids))
    }

    async fn list_instances(
        &self,
        query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        faulty!(self, ListInstances, self.inner.list_instances(query))
    }

    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        faulty!(self, Outgoing, self.inner.outgoing(query))
    }

    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError> {
        faulty!(self, TimersDue, self.inner.timers_due(query))
    }

    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError> {
        faulty!(self, Timers, self.inner.timers(subscription, instance))
    }

    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError> {
        faulty!(self, SetTimer, self.inner.set_timer(subscription, timer))
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        let inner = self.inner.cancel_timer(subscription, instance, key);
        faulty!(self, CancelTimer, inner)
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        let inner = self
            .inner
            .prune(subscription, dead_letters, finished_instances);
        faulty!(self, Prune, inner)
    }
}

impl<S: ProjectionStore> ProjectionStore for FaultyStore<S> {
    type Connection = S::Connection;
    type Work = S::Work;

    fn is_transient(error: &BoxError) -> bool {
        S::is_transient(error)
    }

    async fn begin_work(&self) -> Result<Self::Work, StoreError> {
        faulty!(self, BeginWork, self.inner.begin_work())
    }

    fn connection(work: &mut Self::Work) -> &mut Self::Connection {
        S::connection(work)
    }

    async fn commit_work(
        &self,
        work: Self::Work,
        progress: Progress,
    ) -> Result<Committed, StoreError> {
        faulty!(self, CommitWork, self.inner.commit_work(work, progress))
    }

    async fn commit_change(
        &self,
        work: Self::Work,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        faulty!(self, CommitChange, self.inner.commit_change(work, changes))
    }

    async fn commit_append(
        &self,
        work: Self::Work,
        append: Append,
    ) -> Result<Appended, StoreError> {
        faulty!(self, CommitAppend, self.inner.commit_append(work, append))
    }
}
