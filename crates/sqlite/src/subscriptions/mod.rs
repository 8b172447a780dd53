//! What the read side has to remember.

mod params;
mod read;
mod rows;

use std::time::Duration;

use async_trait::async_trait;
use ordain::StoreError;
use ordain::store::{
    Block, BlockRequest, Claim, Committed, Heartbeat, InstanceQuery, InstanceRecord, Lease,
    LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Progress, SubscriptionChange,
    SubscriptionKey, SubscriptionRecord, SubscriptionStore, TimerQuery, TimerRecord, TimersDue,
};

pub(crate) use self::params::{block_kind, block_request, json, keys_json, leases_json};
pub(crate) use self::rows::{lease, records};
use crate::SqliteStore;
use crate::writer::SubscriptionWork;

#[async_trait]
impl SubscriptionStore for SqliteStore {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        read::subscriptions(self.readers()?, name, self.now()).await
    }

    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        self.change(SubscriptionWork::Change(changes)).await
    }

    async fn remove_subscription(
        &self,
        subscription: &SubscriptionKey,
    ) -> Result<bool, StoreError> {
        self.change(SubscriptionWork::Remove(subscription.clone()))
            .await
    }

    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        self.change(SubscriptionWork::KeepAlive(beat)).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError> {
        self.change(SubscriptionWork::Claim(claim)).await
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        self.change(SubscriptionWork::Release(leases)).await
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        self.change(SubscriptionWork::Leave(owner)).await
    }

    async fn commit(&self, progress: Progress) -> Result<Committed, StoreError> {
        self.change(SubscriptionWork::Commit(progress)).await
    }

    async fn blocks(
        &self,
        subscription: &SubscriptionKey,
        limit: u32,
    ) -> Result<Vec<Block>, StoreError> {
        read::blocks(self.readers()?, subscription, limit).await
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        let work = SubscriptionWork::RequestBlocks {
            subscription: subscription.clone(),
            key: key.map(str::to_owned),
            request,
        };
        self.change(work).await
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        read::instances(self.readers()?, subscription, ids).await
    }

    async fn list_instances(
        &self,
        query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        read::list_instances(self.readers()?, &query).await
    }

    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        read::outgoing(self.readers()?, &query).await
    }

    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError> {
        read::timers_due(self.readers()?, &query, self.now()).await
    }

    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError> {
        read::timers(self.readers()?, subscription, instance).await
    }

    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError> {
        let subscription = subscription.clone();
        self.change(SubscriptionWork::SetTimer {
            subscription,
            timer,
        })
        .await
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        let work = SubscriptionWork::CancelTimer {
            subscription: subscription.clone(),
            instance: instance.to_owned(),
            key: key.to_owned(),
        };
        self.change(work).await
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        let work = SubscriptionWork::Prune {
            subscription: subscription.clone(),
            dead_letters,
            finished_instances,
        };
        self.change(work).await
    }
}
