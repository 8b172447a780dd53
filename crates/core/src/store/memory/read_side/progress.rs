//! Commits of what the owner of a partition has done.

use super::super::super::{Change, Committed, LeaseKey, Progress, Requirement, SubscriptionKey};
use super::{Now, ReadSide};

impl ReadSide {
    pub(in super::super) fn commit(&mut self, progress: Progress, now: Now) -> Committed {
        let lease = &progress.lease;
        let partition = self.partition_by(lease);
        if partition.is_none_or(|partition| partition.position != progress.from) {
            return Committed::LeaseLost;
        }
        let mut requires = progress.requires.iter();
        if !requires.all(|requirement| self.has(&lease.subscription, requirement)) {
            return Committed::Gone;
        }
        for change in progress.changes {
            self.apply(&progress.lease, change, now);
        }
        if let Some(partition) = self.partition_by(&progress.lease) {
            partition.move_to(progress.to, now);
        }
        Committed::Done
    }

    fn has(&self, subscription: &SubscriptionKey, requirement: &Requirement) -> bool {
        match requirement {
            Requirement::Outgoing(command_id) => self.outgoing.has(subscription, *command_id),
            Requirement::Timer {
                instance,
                key,
                generation,
            } => self
                .timers(subscription, instance)
                .iter()
                .any(|timer| timer.key == *key && timer.generation == *generation),
            Requirement::Block {
                key,
                position,
                request,
            } => self
                .block(subscription, key)
                .is_some_and(|block| block.position == *position && block.request == *request),
        }
    }

    fn apply(&mut self, lease: &LeaseKey, change: Change, now: Now) {
        let subscription = &lease.subscription;
        match change {
            Change::Block(block) => self.blocks_of(subscription).put(block, now.time),
            Change::Unblock { key } => self.blocks_of(subscription).remove(&key),
            Change::Trouble(trouble) => {
                if let Some(partition) = self.partition_by(lease) {
                    partition.trouble = trouble;
                }
            }
            Change::PutInstance(record) => {
                self.processes_of(subscription)
                    .put_instance(record, now.time);
            }
            Change::RemoveInstance { id } => self.processes_of(subscription).remove_instance(&id),
            Change::PutOutgoing(record) => self.outgoing.put(subscription, record),
            Change::RemoveOutgoing { command_id } => {
                self.outgoing.remove(subscription, command_id);
            }
            Change::RemoveOutgoingOf { instance } => {
                self.outgoing.remove_of(subscription, &instance);
            }
            Change::PutTimer(timer) => self.set_timer(subscription, timer),
            Change::RemoveTimer { instance, key } => {
                self.cancel_timer(subscription, &instance, &key);
            }
            Change::RemoveTimersOf { instance } => {
                self.processes_of(subscription).remove_timers(&instance);
            }
        }
    }
}
