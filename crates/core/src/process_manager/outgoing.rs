//! The commands of a partition that are not settled, in memory.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Instant;

use tokio::task::JoinSet;

use crate::dispatch::{DispatchError, ErasedReceipt, Rejection};
use crate::store::OutgoingRecord;
use crate::{CommandId, EventId, RecordedEvent};

/// The commands of a partition that are not settled: those of an instance one after the other, those of
/// different instances side by side.
///
/// Of an instance that has some, the first is ready, waits for another attempt, is under way, or is withheld.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    queues: HashMap<String, VecDeque<OutgoingRecord>>,
    count: usize,
    ready: VecDeque<String>,
    waiting: BTreeSet<(Instant, String)>,
    sent: HashSet<CommandId>,
    pub(super) under_way: JoinSet<Done>,
}

/// What became of a dispatch.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) instance: String,
    pub(super) command_id: CommandId,
    pub(super) result: Result<ErasedReceipt, DispatchError<Rejection>>,
}

impl Outgoing {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Whether an instance has some.
    pub(super) fn has(&self, instance: &str) -> bool {
        self.queues.contains_key(instance)
    }

    /// The first of an instance.
    pub(super) fn head(&self, instance: &str) -> Option<&OutgoingRecord> {
        self.queues.get(instance)?.front()
    }

    /// Adds one, behind those of its instance.
    pub(super) fn push(&mut self, record: OutgoingRecord) {
        self.count += 1;
        let instance = record.instance.clone();
        let queue = self.queues.entry(record.instance.clone()).or_default();
        queue.push_back(record);
        if queue.len() == 1 {
            self.ready.push_back(instance);
        }
    }

    /// Has the first of an instance dispatched.
    pub(super) fn make_ready(&mut self, instance: &str) {
        if self.has(instance) {
            self.ready.push_back(instance.to_owned());
        }
    }

    /// Has the first of an instance dispatched then.
    pub(super) fn wait(&mut self, instance: &str, until: Instant) {
        self.waiting.insert((until, instance.to_owned()));
    }

    /// When the first that waits is to be tried again.
    pub(super) fn next_attempt(&self) -> Option<Instant> {
        self.waiting.first().map(|(until, _)| *until)
    }

    /// Makes those ready whose next attempt is due.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some((until, _)) = self.waiting.first()
            && *until <= now
        {
            let due = self.waiting.pop_first();
            self.ready.extend(due.map(|(_, instance)| instance));
        }
    }

    /// The command that may be dispatched next, of an instance that is not withheld.
    pub(super) fn next_ready(
        &mut self,
        is_withheld: impl Fn(&str) -> bool,
    ) -> Option<OutgoingRecord> {
        while let Some(instance) = self.ready.pop_front() {
            if is_withheld(&instance) {
                continue;
            }
            let head = self.queues.get(&instance).and_then(VecDeque::front);
            if let Some(head) = head
                && self.sent.insert(head.command_id)
            {
                return Some(head.clone());
            }
        }
        None
    }

    /// Takes note of the end of a dispatch; returns its command if it is still the first of its instance.
    pub(super) fn ended(&mut self, done: &Done) -> Option<OutgoingRecord> {
        self.sent.remove(&done.command_id);
        let head = self.head(&done.instance)?;
        (head.command_id == done.command_id).then(|| head.clone())
    }

    /// Notes how often the first of an instance was tried.
    pub(super) fn tried(&mut self, instance: &str, attempts: u32) {
        let queue = self.queues.get_mut(instance);
        if let Some(head) = queue.and_then(|queue| queue.front_mut()) {
            head.attempts = attempts;
        }
    }

    /// Takes the first of an instance away; the next is ready. Says whether there is a next one.
    pub(super) fn settled(&mut self, instance: &str) -> bool {
        let Some(queue) = self.queues.get_mut(instance) else {
            return false;
        };
        self.count -= usize::from(queue.pop_front().is_some());
        self.waiting.retain(|(_, waiting)| waiting != instance);
        let has_next = !queue.is_empty();
        if has_next {
            self.ready.push_back(instance.to_owned());
        } else {
            self.queues.remove(instance);
        }
        has_next
    }

    /// Takes all of an instance away.
    pub(super) fn settled_all(&mut self, instance: &str) {
        let queue = self.queues.remove(instance).unwrap_or_default();
        self.count -= queue.len();
        self.waiting.retain(|(_, waiting)| waiting != instance);
    }

    /// Whether an event came of the first command of an instance, which is settled then.
    pub(super) fn is_settled_by(&self, instance: &str, event: &RecordedEvent) -> bool {
        const INDEX_BITS: u32 = 16;
        let Some(head) = self.head(instance) else {
            return false;
        };
        let first = EventId::of_command(head.command_id, &event.stream).first();
        let base = |id: EventId| id.as_uuid().as_u128() >> INDEX_BITS;
        base(first) == base(event.event_id)
    }
}
