//! Subscriptions and their partitions.

use std::time::Instant;

use time::OffsetDateTime;

use super::super::super::{
    Definition, OwnerId, PartitionRecord, Partitions, SubscriptionChange, SubscriptionKey,
    SubscriptionRecord, Trouble,
};
use super::{Now, ReadSide};
use crate::GlobalPosition;

#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) generation: u64,
    pub(super) definition: Definition,
    pub(super) partitions: Vec<Partition>,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) position: GlobalPosition,
    pub(super) epoch: u64,
    pub(super) holder: Option<Holder>,
    pub(super) trouble: Option<Trouble>,
    moved_at: OffsetDateTime,
}

/// Who has claimed a partition, and until when.
#[derive(Debug)]
pub(super) struct Holder {
    pub(super) owner: OwnerId,
    pub(super) until: Instant,
}

impl ReadSide {
    pub(super) fn subscriptions(&self, name: Option<&str>, now: Now) -> Vec<SubscriptionRecord> {
        self.subscriptions
            .iter()
            .filter(|(key, _)| name.is_none_or(|name| *key.name == *name))
            .map(|(key, subscription)| self.record(key, subscription, now))
            .collect()
    }

    pub(super) fn record(
        &self,
        key: &SubscriptionKey,
        subscription: &Subscription,
        now: Now,
    ) -> SubscriptionRecord {
        let blocks = self.blocks.get(key);
        let counts = blocks.map(|blocks| blocks.counts()).unwrap_or_default();
        SubscriptionRecord {
            key: key.clone(),
            generation: subscription.generation,
            definition: subscription.definition.clone(),
            members: self.members_of(key, now),
            partitions: subscription.partition_records(now),
            dead_letters: counts.dead_letters,
            parked: counts.parked,
            requests: counts.requests,
        }
    }

    fn members_of(&self, subscription: &SubscriptionKey, now: Now) -> u32 {
        let members = self.members.iter();
        let alive = members.filter(|((of, _), until)| of == subscription && **until > now.instant);
        alive.count() as u32
    }

    pub(in super::super) fn change(&mut self, changes: Vec<SubscriptionChange>, now: Now) -> bool {
        if !changes.iter().all(|change| self.is_expected(change)) {
            return false;
        }
        for change in changes {
            self.make(change, now);
        }
        true
    }

    fn is_expected(&self, change: &SubscriptionChange) -> bool {
        let Some(subscription) = self.subscriptions.get(&change.key) else {
            return change.expected == 0;
        };
        let mut partitions = subscription.partitions.iter();
        let at_least = change.at_least.unwrap_or_default();
        subscription.generation == change.expected
            && partitions.all(|partition| partition.position >= at_least)
    }

    fn make(&mut self, change: SubscriptionChange, now: Now) {
        let made = self.subscriptions.entry(change.key);
        let subscription = made.or_insert_with(|| Subscription {
            generation: 0,
            definition: change.definition.clone(),
            partitions: Vec::new(),
        });
        subscription.generation += 1;
        subscription.definition = change.definition;
        match change.partitions {
            Partitions::Keep => {}
            Partitions::Fence => subscription.partitions.iter_mut().for_each(Partition::free),
            Partitions::Replace(positions) => subscription.replace(&positions, now),
        }
    }

    pub(super) fn remove(&mut self, subscription: &SubscriptionKey) -> bool {
        self.members.retain(|(of, _), _| of != subscription);
        self.blocks.remove(subscription);
        self.processes.remove(subscription);
        self.outgoing.remove_all(subscription);
        self.subscriptions.remove(subscription).is_some()
    }
}

impl Subscription {
    pub(super) fn partition(&mut self, partition: u32) -> Option<&mut Partition> {
        self.partitions.get_mut(partition as usize)
    }

    fn partition_records(&self, now: Now) -> Vec<PartitionRecord> {
        let numbered = (0..).zip(&self.partitions);
        numbered
            .map(|(partition, kept)| kept.record(partition, now))
            .collect()
    }

    fn replace(&mut self, positions: &[GlobalPosition], now: Now) {
        let epochs = self.partitions.iter().map(|partition| partition.epoch);
        // Without a partition before, the time: a subscription that was removed may have had any.
        let first = now.time.unix_timestamp_nanos() / 1_000;
        let first = || u64::try_from(first).unwrap_or_default();
        let epoch = epochs.max().unwrap_or_else(first) + 1;
        let partitions = positions.iter().map(|&position| Partition {
            position,
            epoch,
            holder: None,
            trouble: None,
            moved_at: now.time,
        });
        self.partitions = partitions.collect();
    }
}

impl Partition {
    fn record(&self, partition: u32, now: Now) -> PartitionRecord {
        let holder = self.holder.as_ref().filter(|_| !self.is_free(now));
        PartitionRecord {
            partition,
            position: self.position,
            epoch: self.epoch,
            owner: holder.map(|holder| holder.owner),
            trouble: self.trouble.clone(),
            moved_at: self.moved_at,
        }
    }

    /// Whether nobody holds it, or not any more.
    pub(super) fn is_free(&self, now: Now) -> bool {
        let holder = self.holder.as_ref();
        holder.is_none_or(|holder| holder.until <= now.instant)
    }

    /// Takes it from whoever has claimed it, so that nothing is committed under the lease any more.
    pub(super) fn free(&mut self) {
        self.holder = None;
        self.epoch += 1;
    }

    pub(super) fn move_to(&mut self, position: GlobalPosition, now: Now) {
        if self.position != position {
            self.position = position;
            self.moved_at = now.time;
        }
    }
}
