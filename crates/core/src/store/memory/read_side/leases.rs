//! Who works on what.

use super::super::super::{Claim, Heartbeat, Lease, LeaseKey, OwnerId, SubscriptionRecord};
use super::subscriptions::{Holder, Partition};
use super::{Now, ReadSide};

impl ReadSide {
    pub(super) fn keep_alive(&mut self, beat: &Heartbeat, now: Now) -> Vec<SubscriptionRecord> {
        let until = now.instant + beat.ttl;
        self.members.retain(|_, until| *until > now.instant);
        for subscription in &beat.subscriptions {
            let member = (subscription.clone(), beat.owner);
            self.members.insert(member, until);
        }
        for lease in &beat.leases {
            if let Some(holder) = self.holder_by(lease)
                && holder.owner == beat.owner
            {
                holder.until = until;
            }
        }
        let known = beat.subscriptions.iter();
        known
            .filter_map(|key| Some(self.record(key, self.subscriptions.get(key)?, now)))
            .collect()
    }

    pub(super) fn claim(&mut self, claim: &Claim, now: Now) -> Vec<Lease> {
        let subscription = self.subscriptions.get_mut(&claim.subscription);
        let Some(subscription) = subscription.filter(|it| it.definition.state.is_claimable())
        else {
            return Vec::new();
        };
        let mut leases = Vec::new();
        for &number in &claim.partitions {
            if let Some(partition) = subscription.partition(number)
                && partition.is_free(now)
            {
                leases.push(partition.lease_to(claim, number, now));
            }
        }
        leases
    }

    pub(super) fn release(&mut self, leases: &[LeaseKey]) {
        for lease in leases {
            if let Some(partition) = self.partition_by(lease) {
                partition.free();
            }
        }
    }

    pub(super) fn leave(&mut self, owner: OwnerId) {
        self.members.retain(|(_, member), _| *member != owner);
        let subscriptions = self.subscriptions.values_mut();
        let partitions = subscriptions.flat_map(|subscription| &mut subscription.partitions);
        partitions
            .filter(|partition| partition.is_held_by(owner))
            .for_each(Partition::free);
    }

    /// The partition, if it has not been claimed again, nor freed, since the lease was given.
    pub(super) fn partition_by(&mut self, lease: &LeaseKey) -> Option<&mut Partition> {
        let subscription = self.subscriptions.get_mut(&lease.subscription)?;
        let partition = subscription.partition(lease.partition)?;
        (partition.epoch == lease.epoch && partition.holder.is_some()).then_some(partition)
    }

    fn holder_by(&mut self, lease: &LeaseKey) -> Option<&mut Holder> {
        self.partition_by(lease)?.holder.as_mut()
    }
}

impl Partition {
    fn lease_to(&mut self, claim: &Claim, number: u32, now: Now) -> Lease {
        self.epoch += 1;
        self.holder = Some(Holder {
            owner: claim.owner,
            until: now.instant + claim.ttl,
        });
        Lease {
            key: LeaseKey {
                subscription: claim.subscription.clone(),
                partition: number,
                epoch: self.epoch,
            },
            position: self.position,
            trouble: self.trouble.clone(),
        }
    }

    fn is_held_by(&self, owner: OwnerId) -> bool {
        let holder = self.holder.as_ref();
        holder.is_some_and(|holder| holder.owner == owner)
    }
}
