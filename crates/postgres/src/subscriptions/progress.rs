//! A progress as arguments of the server's function.

use std::collections::{BTreeMap, BTreeSet};

use ordain::store::{
    Block, Change, InstanceRecord, OutgoingRecord, Progress, Requirement, TimerRecord, Trouble,
};
use uuid::Uuid;

use super::{blocks, of, text};
use crate::session::Statement;
use crate::sql::Sql;

/// What a progress leads to in the end: of each kind what is removed, then what is put. Nothing is put twice,
/// so that one statement does it, and all in the order of keys, so that no two wait for each other.
#[derive(Debug, Default)]
pub(super) struct Effect<'p> {
    required: Vec<Uuid>,
    required_timers: Vec<(&'p str, &'p str, i64)>,
    required_blocks: Vec<(&'p str, i64, Option<&'static str>)>,
    trouble: Option<Option<&'p Trouble>>,
    blocks: Kept<&'p str, &'p Block>,
    instances: Kept<&'p str, &'p InstanceRecord>,
    outgoing: Kept<Uuid, &'p OutgoingRecord>,
    settled_of: BTreeSet<&'p str>,
    timers: Kept<(&'p str, &'p str), &'p TimerRecord>,
    stopped_of: BTreeSet<&'p str>,
}

/// What is removed of a kind, and what is put then.
#[derive(Debug)]
struct Kept<K, V> {
    removed: BTreeSet<K>,
    put: BTreeMap<K, V>,
}

impl<K: Ord + Copy, V: Copy> Kept<K, V> {
    fn put(&mut self, key: K, value: V) {
        self.put.insert(key, value);
    }

    fn remove(&mut self, key: K) {
        self.put.remove(&key);
        self.removed.insert(key);
    }

    fn remove_all(&mut self, wanted: impl Fn(&V) -> bool) {
        let put = std::mem::take(&mut self.put);
        for (key, value) in put {
            match wanted(&value) {
                true => self.removed.insert(key),
                false => self.put.insert(key, value).is_none(),
            };
        }
    }

    fn removed(&self) -> Vec<K> {
        self.removed.iter().copied().collect()
    }

    fn column<T>(&self, of: impl Fn(V) -> T) -> Option<Vec<T>> {
        filled(self.put.values().map(|value| of(*value)))
    }
}

impl<K, V> Default for Kept<K, V> {
    fn default() -> Self {
        Self {
            removed: BTreeSet::new(),
            put: BTreeMap::new(),
        }
    }
}

impl<'p> Effect<'p> {
    pub(super) fn of(progress: &'p Progress) -> Self {
        let mut effect = Self::default();
        for requirement in &progress.requires {
            effect.require(requirement);
        }
        effect.required.sort_unstable();
        effect.required.dedup();
        effect.required_timers.sort_unstable();
        effect.required_timers.dedup();
        effect.required_blocks.sort_unstable();
        effect.required_blocks.dedup();
        for change in &progress.changes {
            effect.apply(change);
        }
        effect
    }

    fn require(&mut self, requirement: &'p Requirement) {
        match requirement {
            Requirement::Outgoing(command_id) => self.required.push(command_id.as_uuid()),
            Requirement::Timer {
                instance,
                key,
                generation,
            } => {
                let generation = generation.cast_signed();
                self.required_timers.push((instance, key, generation));
            }
            Requirement::Block {
                key,
                position,
                request,
            } => {
                let request = request.map(blocks::word_of);
                self.required_blocks.push((key, position.to_i64(), request));
            }
        }
    }

    fn apply(&mut self, change: &'p Change) {
        match change {
            Change::Block(block) => self.blocks.put(&block.key, block),
            Change::Unblock { key } => self.blocks.remove(key),
            Change::Trouble(trouble) => self.trouble = Some(trouble.as_ref()),
            Change::PutInstance(instance) => self.instances.put(&instance.id, instance),
            Change::RemoveInstance { id } => self.instances.remove(id),
            Change::PutOutgoing(command) => {
                self.outgoing.put(command.command_id.as_uuid(), command);
            }
            Change::RemoveOutgoing { command_id } => self.outgoing.remove(command_id.as_uuid()),
            Change::RemoveOutgoingOf { instance } => {
                self.outgoing.remove_all(|it| it.instance == *instance);
                self.settled_of.insert(instance);
            }
            Change::PutTimer(timer) => self.timers.put((&timer.instance, &timer.key), timer),
            Change::RemoveTimer { instance, key } => self.timers.remove((instance, key)),
            Change::RemoveTimersOf { instance } => {
                self.timers.remove_all(|it| it.instance == *instance);
                self.stopped_of.insert(instance);
            }
        }
    }

    /// The call that makes the progress, under an id of its own.
    pub(super) fn statement<'q>(&self, sql: &Sql, progress: &Progress, id: Uuid) -> Statement<'q> {
        let query = of(sql, &progress.lease.subscription)
            .bind(i64::from(progress.lease.partition))
            .bind(progress.lease.epoch.cast_signed())
            .bind(progress.from.to_i64())
            .bind(progress.to.to_i64())
            .bind(id);
        let query = self.bind_requirements(query);
        let query = self.bind_trouble(query);
        let query = self.bind_blocks(query);
        let query = self.bind_instances(query);
        let query = self.bind_outgoing(query);
        self.bind_timers(query)
    }

    fn bind_requirements<'q>(&self, query: Statement<'q>) -> Statement<'q> {
        let timers = || self.required_timers.iter();
        let blocks = || self.required_blocks.iter();
        query
            .bind(filled(self.required.iter().copied()))
            .bind(filled(timers().map(|timer| timer.0.to_owned())))
            .bind(filled(timers().map(|timer| timer.1.to_owned())))
            .bind(filled(timers().map(|timer| timer.2)))
            .bind(filled(blocks().map(|block| block.0.to_owned())))
            .bind(filled(blocks().map(|block| block.1)))
            .bind(filled(blocks().map(|block| block.2)))
    }

    fn bind_trouble<'q>(&self, query: Statement<'q>) -> Statement<'q> {
        let trouble = self.trouble.flatten();
        query
            .bind(self.trouble.is_some())
            .bind(trouble.map(|trouble| trouble.position.to_i64()))
            .bind(trouble.map(|trouble| text(&trouble.error)))
            .bind(trouble.map(|trouble| i64::from(trouble.attempts)))
            .bind(trouble.and_then(|trouble| trouble.next_attempt))
    }

    fn bind_blocks<'q>(&self, query: Statement<'q>) -> Statement<'q> {
        let blocks = &self.blocks;
        let query = bind_strings(query, blocks.removed().into_iter());
        query
            .bind(blocks.column(|block| block.key.clone()))
            .bind(blocks.column(|block| blocks::word(block.kind)))
            .bind(blocks.column(|block| block.position.to_i64()))
            .bind(blocks.column(|block| block.event_id.map(|id| id.as_uuid())))
            .bind(blocks.column(|block| text(&block.error)))
            .bind(blocks.column(|block| i64::from(block.attempts)))
            .bind(blocks.column(|block| block.request.map(blocks::word_of)))
    }

    fn bind_instances<'q>(&self, query: Statement<'q>) -> Statement<'q> {
        let instances = &self.instances;
        let query = bind_strings(query, instances.removed().into_iter());
        query
            .bind(instances.column(|instance| instance.id.clone()))
            .bind(instances.column(|instance| i64::from(instance.bucket)))
            .bind(instances.column(|instance| instance.position.to_i64()))
            .bind(instances.column(|instance| instance.finished))
            .bind(instances.column(|instance| instance.data.to_vec()))
    }

    fn bind_outgoing<'q>(&self, query: Statement<'q>) -> Statement<'q> {
        let commands = &self.outgoing;
        let query = bind_strings(query, self.settled_of.iter().copied());
        query
            .bind(filled(commands.removed().into_iter()))
            .bind(commands.column(|command| command.command_id.as_uuid()))
            .bind(commands.column(|command| command.instance.clone()))
            .bind(commands.column(|command| i64::from(command.bucket)))
            .bind(commands.column(|command| command.sequence.cast_signed()))
            .bind(commands.column(|command| i64::from(command.attempts)))
            .bind(commands.column(|command| command.data.to_vec()))
    }

    fn bind_timers<'q>(&self, query: Statement<'q>) -> Statement<'q> {
        let timers = &self.timers;
        let query = bind_strings(query, self.stopped_of.iter().copied());
        let removed = timers.removed();
        let query = bind_strings(query, removed.iter().map(|(instance, _)| *instance));
        let query = bind_strings(query, removed.iter().map(|(_, key)| *key));
        query
            .bind(timers.column(|timer| timer.instance.clone()))
            .bind(timers.column(|timer| timer.key.clone()))
            .bind(timers.column(|timer| i64::from(timer.bucket)))
            .bind(timers.column(|timer| timer.generation.cast_signed()))
            .bind(timers.column(|timer| timer.due_at))
            .bind(timers.column(|timer| timer.data.to_vec()))
    }
}

fn bind_strings<'q, 'a>(
    query: Statement<'q>,
    strings: impl Iterator<Item = &'a str>,
) -> Statement<'q> {
    query.bind(filled(strings.map(str::to_owned)))
}

/// `None`, which is SQL's null, if there is nothing.
fn filled<T>(values: impl Iterator<Item = T>) -> Option<Vec<T>> {
    let values: Vec<_> = values.collect();
    Some(values).filter(|values| !values.is_empty())
}
