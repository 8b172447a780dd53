//! What the read side has to remember, under one lock that is held for moments.

mod blocks;
mod leases;
mod processes;
mod progress;
mod subscriptions;

use std::collections::{BTreeMap, HashMap};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use time::OffsetDateTime;

use self::blocks::Blocks;
use self::processes::{Outgoing, Processes};
use self::subscriptions::Subscription;
use super::super::{
    Block, BlockRequest, Claim, Committed, Heartbeat, InstanceQuery, InstanceRecord, Lease,
    LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Progress, StoreError, SubscriptionChange,
    SubscriptionKey, SubscriptionRecord, SubscriptionStore, TimerQuery, TimerRecord, TimersDue,
};
use super::{Inner, MemoryStore};

/// What is kept of all subscriptions.
#[derive(Debug, Default)]
pub(super) struct ReadSide {
    subscriptions: BTreeMap<SubscriptionKey, Subscription>,
    /// Until when a process counts for a subscription.
    members: HashMap<(SubscriptionKey, OwnerId), Instant>,
    blocks: HashMap<SubscriptionKey, Blocks>,
    processes: HashMap<SubscriptionKey, Processes>,
    outgoing: Outgoing,
}

/// The store's time, of both kinds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    time: OffsetDateTime,
    /// Leases and members go by this one, which nobody sets back.
    instant: Instant,
}

impl Inner {
    pub(super) fn read_side(&self) -> Result<MutexGuard<'_, ReadSide>, StoreError> {
        let read_side = &self.open()?.read_side;
        // A panic under the lock is a defect of this module.
        Ok(read_side.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn now(&self) -> Now {
        Now {
            time: self.options.clock.now(),
            instant: self.options.clock.instant(),
        }
    }
}

#[async_trait]
impl SubscriptionStore for MemoryStore {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        let read_side = self.inner.read_side()?;
        Ok(read_side.subscriptions(name, self.inner.now()))
    }

    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        let mut read_side = self.inner.read_side()?;
        Ok(read_side.change(changes, self.inner.now()))
    }

    async fn remove_subscription(
        &self,
        subscription: &SubscriptionKey,
    ) -> Result<bool, StoreError> {
        Ok(self.inner.read_side()?.remove(subscription))
    }

    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        let mut read_side = self.inner.read_side()?;
        Ok(read_side.keep_alive(&beat, self.inner.now()))
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError> {
        let mut read_side = self.inner.read_side()?;
        Ok(read_side.claim(&claim, self.inner.now()))
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        self.inner.read_side()?.release(&leases);
        Ok(())
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        self.inner.read_side()?.leave(owner);
        Ok(())
    }

    async fn commit(&self, progress: Progress) -> Result<Committed, StoreError> {
        let mut read_side = self.inner.read_side()?;
        Ok(read_side.commit(progress, self.inner.now()))
    }

    async fn blocks(
        &self,
        subscription: &SubscriptionKey,
        limit: u32,
    ) -> Result<Vec<Block>, StoreError> {
        Ok(self.inner.read_side()?.blocks(subscription, limit))
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        let mut read_side = self.inner.read_side()?;
        Ok(read_side.request_blocks(subscription, key, request))
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        Ok(self.inner.read_side()?.instances(subscription, ids))
    }

    async fn list_instances(
        &self,
        query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        Ok(self.inner.read_side()?.list_instances(&query))
    }

    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        Ok(self.inner.read_side()?.outgoing.list(&query))
    }

    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError> {
        let read_side = self.inner.read_side()?;
        Ok(read_side.timers_due(&query, self.inner.now()))
    }

    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError> {
        Ok(self.inner.read_side()?.timers(subscription, instance))
    }

    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError> {
        self.inner.read_side()?.set_timer(subscription, timer);
        Ok(())
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        let mut read_side = self.inner.read_side()?;
        Ok(read_side.cancel_timer(subscription, instance, key))
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        let mut read_side = self.inner.read_side()?;
        let now = self.inner.now().time;
        let letters = read_side.prune_dead_letters(subscription, dead_letters, now);
        let instances = read_side.prune_instances(subscription, finished_instances, now);
        Ok(letters + instances)
    }
}
