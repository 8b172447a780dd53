//! What a store would hold of a process manager.

use std::collections::BTreeMap;

use ordain::store::{Change, InstanceRecord, OutgoingRecord, TimerRecord};
use ordain::{ProcessInstance, ProcessManager, ProcessOutgoing, ProcessSteps, ProcessTimer};
use serde_json::Value;
use time::OffsetDateTime;

/// What a store would hold of a process manager.
#[derive(Debug, Default)]
pub(super) struct Kept {
    pub(super) instances: BTreeMap<String, InstanceRecord>,
    /// By instance and key.
    pub(super) timers: BTreeMap<(String, String), SetTimer>,
    /// Commands that are not settled, in the order in which they were issued.
    pub(super) outgoing: Vec<OutgoingRecord>,
    /// Instances that are put aside, and why.
    pub(super) aside: BTreeMap<String, String>,
}

/// A timer, and when that happened which has set it.
#[derive(Debug)]
pub(super) struct SetTimer {
    pub(super) record: TimerRecord,
    pub(super) set_at: OffsetDateTime,
}

/// What is new by some changes.
#[derive(Debug, Default)]
pub(super) struct New {
    /// The commands, each with its instance.
    pub(super) commands: Vec<(String, ProcessOutgoing)>,
    /// The timers that were set, by instance and key.
    pub(super) timers: Vec<(String, String)>,
}

impl New {
    pub(super) fn absorb(&mut self, other: Self) {
        self.commands.extend(other.commands);
        self.timers.extend(other.timers);
    }
}

impl Kept {
    /// Makes changes because of something that happened then.
    #[track_caller]
    pub(super) fn change<P: ProcessManager>(
        &mut self,
        steps: &ProcessSteps<P>,
        changes: Vec<Change>,
        at: OffsetDateTime,
    ) -> New {
        let mut new = New::default();
        for change in changes {
            match change {
                Change::PutInstance(record) => {
                    check_state(steps, &record);
                    self.instances.insert(record.id.clone(), record);
                }
                Change::PutTimer(record) => {
                    check_timer::<P>(&record);
                    let place = (record.instance.clone(), record.key.clone());
                    new.timers.push(place.clone());
                    self.timers.insert(place, SetTimer { record, set_at: at });
                }
                Change::PutOutgoing(record) => {
                    let command = ProcessOutgoing::from(&record);
                    new.commands.push((record.instance.clone(), command));
                    self.outgoing.push(record);
                }
                other => self.remove(other),
            }
        }
        new
    }

    fn remove(&mut self, change: Change) {
        match change {
            Change::RemoveTimer { instance, key } => {
                self.timers.remove(&(instance, key));
            }
            Change::RemoveTimersOf { instance } => {
                self.timers.retain(|(owner, _), _| *owner != instance);
            }
            Change::RemoveOutgoing { command_id } => {
                self.outgoing
                    .retain(|command| command.command_id != command_id);
            }
            Change::RemoveOutgoingOf { instance } => {
                self.outgoing.retain(|command| command.instance != instance);
            }
            other => unreachable!("no step of an instance makes this change: {other:?}"),
        }
    }

    /// Settles all commands, but not those of instances that are put aside.
    pub(super) fn settle(&mut self) {
        let aside = &self.aside;
        self.outgoing
            .retain(|command| aside.contains_key(&command.instance));
    }

    /// Settles a command.
    pub(super) fn remove_outgoing(&mut self, command: &OutgoingRecord) {
        let id = command.command_id;
        self.outgoing.retain(|command| command.command_id != id);
    }

    /// Notes that a command was tried once more.
    pub(super) fn tried(&mut self, command: &OutgoingRecord) {
        let id = command.command_id;
        let own = self.outgoing.iter_mut().find(|it| it.command_id == id);
        own.into_iter().for_each(|it| it.attempts += 1);
    }

    /// The first command that may be dispatched, of this instance or of any.
    pub(super) fn outstanding(&self, instance: Option<&str>) -> Option<&OutgoingRecord> {
        let mut of = self.outgoing.iter().filter(|command| {
            let is_wanted = instance.is_none_or(|wanted| command.instance == wanted);
            is_wanted && !self.aside.contains_key(&command.instance)
        });
        of.next()
    }

    /// Whether a timer is still there.
    pub(super) fn has(&self, timer: &TimerRecord) -> bool {
        let place = (timer.instance.clone(), timer.key.clone());
        self.timers
            .get(&place)
            .is_some_and(|it| it.record == *timer)
    }

    /// The timer that is due first, of instances that wait for nothing, but none of these.
    pub(super) fn due(&self, now: OffsetDateTime, but: &[&TimerRecord]) -> Option<TimerRecord> {
        let may_fire = |timer: &&TimerRecord| {
            let is_held = self.outgoing.iter().any(|it| it.instance == timer.instance);
            !is_held && !self.aside.contains_key(&timer.instance) && !but.contains(timer)
        };
        let timers = self.timers.values().map(|timer| &timer.record);
        let due = timers.filter(|timer| timer.due_at <= now).filter(may_fire);
        // Of those due at the same time, the first is taken: as a store orders them.
        due.min_by_key(|timer| timer.due_at).cloned()
    }

    /// The instances that have begun and not ended.
    pub(super) fn living(&self) -> Vec<&str> {
        let living = self.instances.values().filter(|record| !record.finished);
        living.map(|record| record.id.as_str()).collect()
    }

    /// How an instance stands.
    pub(super) fn get(&self, id: &str) -> Option<ProcessInstance> {
        let mut instance = ProcessInstance::from(self.instances.get(id)?);
        let timers = self.timers.values().filter(|it| it.record.instance == id);
        instance.timers = timers.map(|it| ProcessTimer::from(&it.record)).collect();
        let outgoing = self.outgoing.iter().filter(|it| it.instance == id);
        instance.outgoing = outgoing.map(ProcessOutgoing::from).collect();
        Some(instance)
    }
}

/// A state that is lost, or changes, on its way through the store fails the test.
#[track_caller]
fn check_state<P: ProcessManager>(steps: &ProcessSteps<P>, record: &InstanceRecord) {
    let (id, stored) = (&record.id, ProcessInstance::from(record).state);
    let read = match steps.state(record) {
        Ok(state) => serde_json::to_value(state).unwrap_or_default(),
        Err(error) => {
            panic!("the state of `{id}` cannot be read back: {error}; stored was {stored}")
        }
    };
    assert!(
        are_alike(&stored, &read),
        "the state of `{id}` changes when it is stored and read back: stored was {stored}, read was {read}"
    );
}

/// The same for what a timer carries.
#[track_caller]
fn check_timer<P: ProcessManager>(record: &TimerRecord) {
    let (key, stored) = (&record.key, ProcessTimer::from(record).payload);
    let read = match serde_json::from_value::<P::Timer>(stored.clone()) {
        Ok(payload) => serde_json::to_value(payload).unwrap_or_default(),
        Err(error) => {
            panic!(
                "what the timer `{key}` carries cannot be read back: {error}; stored was {stored}"
            )
        }
    };
    assert!(
        are_alike(&stored, &read),
        "what the timer `{key}` carries changes when it is stored and read back: stored was {stored}, read was {read}"
    );
}

/// Whether both are the same JSON. The order within lists may differ, as that of a `HashSet` does.
pub(super) fn are_alike(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            let mut right: Vec<_> = right.iter().collect();
            let mut take = |wanted: &Value| {
                let place = right.iter().position(|value| are_alike(wanted, value));
                place.map(|place| right.swap_remove(place)).is_some()
            };
            left.iter().all(&mut take) && right.is_empty()
        }
        (Value::Object(left), Value::Object(right)) => {
            let is_in = |(key, value): (&String, &Value)| {
                right.get(key).is_some_and(|other| are_alike(value, other))
            };
            left.len() == right.len() && left.iter().all(is_in)
        }
        _ => left == right,
    }
}
