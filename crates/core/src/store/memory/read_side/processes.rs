//! Process instances, their timers, and the commands they have issued.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::time::Duration;

use time::OffsetDateTime;

use super::super::super::{
    InstanceQuery, InstanceRecord, OutgoingQuery, OutgoingRecord, Share, SubscriptionKey,
    TimerQuery, TimerRecord, TimersDue,
};
use super::{Now, ReadSide};
use crate::CommandId;

/// The instances of a subscription, and their timers by instance and key.
#[derive(Debug, Default)]
pub(super) struct Processes {
    instances: BTreeMap<String, InstanceRecord>,
    timers: BTreeMap<(String, String), TimerRecord>,
}

/// The commands of all subscriptions that are not settled.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    by_id: HashMap<CommandId, (SubscriptionKey, OutgoingRecord)>,
    in_order: HashMap<SubscriptionKey, BTreeSet<Turn>>,
}

/// Instance and sequence, by which commands are dispatched.
type Turn = (String, u64, CommandId);

impl ReadSide {
    pub(super) fn processes_of(&mut self, subscription: &SubscriptionKey) -> &mut Processes {
        self.processes.entry(subscription.clone()).or_default()
    }

    pub(super) fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Vec<InstanceRecord> {
        let Some(processes) = self.processes.get(subscription) else {
            return Vec::new();
        };
        let ids: BTreeSet<_> = ids.iter().collect();
        let found = ids.into_iter().filter_map(|id| processes.instances.get(id));
        found.cloned().collect()
    }

    pub(super) fn list_instances(&self, query: &InstanceQuery) -> Vec<InstanceRecord> {
        let Some(processes) = self.processes.get(&query.subscription) else {
            return Vec::new();
        };
        let after = match &query.after {
            Some(id) => Bound::Excluded(id.as_str()),
            None => Bound::Unbounded,
        };
        let range = (after, Bound::Unbounded);
        let following = processes.instances.range::<str, _>(range);
        following
            .map(|(_, instance)| instance)
            .filter(|instance| query.finished.is_none_or(|it| it == instance.finished))
            .take(query.limit.max(1) as usize)
            .cloned()
            .collect()
    }

    pub(super) fn prune_instances(
        &mut self,
        subscription: &SubscriptionKey,
        age: Option<Duration>,
        now: OffsetDateTime,
    ) -> u64 {
        let Some(age) = age else {
            return 0;
        };
        let instances = &mut self.processes_of(subscription).instances;
        let before = instances.len();
        instances.retain(|_, instance| !instance.finished || now - instance.changed_at <= age);
        (before - instances.len()) as u64
    }

    pub(super) fn timers_due(&self, query: &TimerQuery, now: Now) -> TimersDue {
        let now = now.time;
        let processes = self.processes.get(&query.subscription);
        let timers = processes.into_iter().flat_map(|it| it.timers.values());
        let share = timers.filter(|timer| query.share.has(timer.bucket));
        let (mut due, later): (Vec<_>, Vec<_>) = share.partition(|timer| timer.due_at <= now);
        // The sort keeps the order of instances and keys where times are equal.
        due.sort_by_key(|timer| timer.due_at);
        due.truncate(query.limit.max(1) as usize);
        TimersDue {
            timers: due.into_iter().cloned().collect(),
            now,
            next: later.iter().map(|timer| timer.due_at).min(),
        }
    }

    pub(super) fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Vec<TimerRecord> {
        let Some(processes) = self.processes.get(subscription) else {
            return Vec::new();
        };
        let from = (instance.to_owned(), String::new());
        let timers = processes.timers.range(from..).map(|(_, timer)| timer);
        timers
            .take_while(|timer| timer.instance == instance)
            .cloned()
            .collect()
    }

    pub(super) fn set_timer(&mut self, subscription: &SubscriptionKey, timer: TimerRecord) {
        let id = (timer.instance.clone(), timer.key.clone());
        self.processes_of(subscription).timers.insert(id, timer);
    }

    pub(super) fn cancel_timer(
        &mut self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> bool {
        let id = (instance.to_owned(), key.to_owned());
        let timers = &mut self.processes_of(subscription).timers;
        timers.remove(&id).is_some()
    }

    pub(in super::super) fn has_outgoing(&self, command_id: CommandId) -> bool {
        self.outgoing.by_id.contains_key(&command_id)
    }

    pub(in super::super) fn settle(&mut self, command_id: CommandId) {
        self.outgoing.take(command_id);
    }
}

impl Processes {
    pub(super) fn put_instance(&mut self, mut record: InstanceRecord, now: OffsetDateTime) {
        record.changed_at = now;
        self.instances.insert(record.id.clone(), record);
    }

    pub(super) fn remove_instance(&mut self, id: &str) {
        self.instances.remove(id);
    }

    pub(super) fn remove_timers(&mut self, instance: &str) {
        self.timers.retain(|(of, _), _| of != instance);
    }
}

impl Outgoing {
    pub(super) fn has(&self, subscription: &SubscriptionKey, command_id: CommandId) -> bool {
        let found = self.by_id.get(&command_id);
        found.is_some_and(|(of, _)| of == subscription)
    }

    pub(super) fn list(&self, query: &OutgoingQuery) -> Vec<OutgoingRecord> {
        let Some(turns) = self.in_order.get(&query.subscription) else {
            return Vec::new();
        };
        let after = |turn: &&Turn| match &query.after {
            Some((instance, sequence)) => (&turn.0, turn.1) > (instance, *sequence),
            None => true,
        };
        let following = turns.iter().filter(after);
        following
            .filter_map(|(_, _, command_id)| self.by_id.get(command_id))
            .map(|(_, record)| record)
            .filter(|record| query.share.has(record.bucket))
            .take(query.limit.max(1) as usize)
            .cloned()
            .collect()
    }

    pub(super) fn put(&mut self, subscription: &SubscriptionKey, record: OutgoingRecord) {
        self.take(record.command_id);
        let turns = self.in_order.entry(subscription.clone()).or_default();
        turns.insert(turn_of(&record));
        let kept = (subscription.clone(), record);
        self.by_id.insert(kept.1.command_id, kept);
    }

    pub(super) fn remove(&mut self, subscription: &SubscriptionKey, command_id: CommandId) {
        if self.has(subscription, command_id) {
            self.take(command_id);
        }
    }

    pub(super) fn remove_of(&mut self, subscription: &SubscriptionKey, instance: &str) {
        let turns = self.in_order.get(subscription).into_iter().flatten();
        let own: Vec<_> = turns.filter(|(of, ..)| of == instance).cloned().collect();
        own.into_iter()
            .for_each(|(_, _, command_id)| self.take(command_id));
    }

    pub(super) fn remove_all(&mut self, subscription: &SubscriptionKey) {
        self.in_order.remove(subscription);
        self.by_id.retain(|_, (of, _)| of != subscription);
    }

    fn take(&mut self, command_id: CommandId) {
        let Some((subscription, record)) = self.by_id.remove(&command_id) else {
            return;
        };
        if let Some(turns) = self.in_order.get_mut(&subscription) {
            turns.remove(&turn_of(&record));
        }
    }
}

impl Share {
    fn has(self, bucket: u32) -> bool {
        bucket % self.partitions.max(1) == self.partition
    }
}

fn turn_of(record: &OutgoingRecord) -> Turn {
    (record.instance.clone(), record.sequence, record.command_id)
}
