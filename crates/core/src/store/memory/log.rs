//! The log: all entries in the order of their positions.

use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use time::OffsetDateTime;

use super::super::{Arrivals, LogPage, ReadAll};
use super::entry::Entry;
use crate::clock::Clock;
use crate::{GlobalPosition, LinkPlace, RecordedEvent};

/// The entry of position p is at index p - 1.
#[derive(Debug, Default)]
pub(super) struct Log {
    entries: RwLock<Vec<Arc<Entry>>>,
    arrivals: Arrivals,
}

impl Log {
    /// Takes in entries that nobody else holds yet, and tells them their places.
    ///
    /// Returns the position of the first.
    pub(super) fn append(&self, entries: &mut [Arc<Entry>], clock: &dyn Clock) -> GlobalPosition {
        let now = clock.now();
        let mut log = self.write();
        let first = GlobalPosition::new(log.len() as u64 + 1);
        let last_time = log
            .last()
            .map_or(OffsetDateTime::UNIX_EPOCH, |last| last.recorded_at());
        let recorded_at = now.max(last_time);
        for (offset, entry) in entries.iter_mut().enumerate() {
            if let Some(entry) = Arc::get_mut(entry) {
                entry.place(first.plus(offset as u64), recorded_at);
            }
        }
        log.extend_from_slice(entries);
        // Under the lock, so that events are told in order.
        self.tell(entries);
        first
    }

    pub(super) fn arrivals(&self) -> &Arrivals {
        &self.arrivals
    }

    /// Hands over the events; entries without any are only announced.
    fn tell(&self, entries: &[Arc<Entry>]) {
        if !self.arrivals.is_followed() {
            return;
        }
        let events = entries.iter().filter_map(|entry| match &**entry {
            Entry::Event(event) => Some(event.clone()),
            _ => None,
        });
        self.arrivals.hand_over(events.collect::<Vec<_>>());
    }

    pub(super) fn erase(&self, entries: &[Arc<Entry>]) {
        let mut log = self.write();
        for entry in entries {
            let index = entry.position().get() as usize - 1;
            log[index] = Arc::new(Entry::Erased {
                recorded_at: entry.recorded_at(),
            });
        }
    }

    pub(super) fn head(&self) -> GlobalPosition {
        GlobalPosition::new(self.read_lock().len() as u64)
    }

    pub(super) fn position_at(&self, time: OffsetDateTime) -> GlobalPosition {
        let log = self.read_lock();
        GlobalPosition::new(log.partition_point(|entry| entry.recorded_at() <= time) as u64)
    }

    pub(super) fn read(&self, read: &ReadAll) -> LogPage {
        let limit = u64::from(read.limit.max(1));
        if read.direction.is_forward() {
            self.read_forward(read, limit)
        } else {
            self.read_backward(read, limit)
        }
    }

    fn read_forward(&self, read: &ReadAll, limit: u64) -> LogPage {
        let log = self.read_lock();
        let head = log.len() as u64;
        let from = read.after.get().min(head);
        let to = from.saturating_add(limit).min(head);
        let page = log[from as usize..to as usize].iter();
        let events = wanted(page, &log, read);
        LogPage {
            events,
            examined: read.after.max(to.into()),
            at_end: to == head,
        }
    }

    fn read_backward(&self, read: &ReadAll, limit: u64) -> LogPage {
        let log = self.read_lock();
        let to = read.after.get().saturating_sub(1).min(log.len() as u64);
        let from = to.saturating_sub(limit);
        let page = log[from as usize..to as usize].iter().rev();
        let events = wanted(page, &log, read);
        LogPage {
            events,
            examined: GlobalPosition::new(from + 1),
            at_end: from == 0,
        }
    }

    /// The events that the entries stand for: links lead to their targets.
    pub(super) fn resolve(&self, entries: &[Arc<Entry>]) -> Vec<RecordedEvent> {
        if entries
            .iter()
            .all(|entry| matches!(**entry, Entry::Event(_)))
        {
            return entries
                .iter()
                .filter_map(|entry| event_of(entry, &[]))
                .collect();
        }
        let log = self.read_lock();
        entries
            .iter()
            .filter_map(|entry| event_of(entry, &log))
            .collect()
    }

    fn read_lock(&self) -> RwLockReadGuard<'_, Vec<Arc<Entry>>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Vec<Arc<Entry>>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wanted<'a>(
    page: impl Iterator<Item = &'a Arc<Entry>>,
    log: &[Arc<Entry>],
    read: &ReadAll,
) -> Vec<RecordedEvent> {
    let shown = page.filter(|entry| read.filter.links || !matches!(***entry, Entry::Link { .. }));
    shown
        .filter_map(|entry| event_of(entry, log))
        .filter(|event| read.filter.accepts(event))
        .collect()
}

fn event_of(entry: &Entry, log: &[Arc<Entry>]) -> Option<RecordedEvent> {
    match entry {
        Entry::Event(event) => Some(event.clone()),
        Entry::Link { place, target } => {
            let Entry::Event(event) = &*log[target.get() as usize - 1] else {
                return None;
            };
            let mut event = event.clone();
            event.link = Some(LinkPlace {
                stream: place.stream.clone(),
                version: place.version,
                position: place.position,
            });
            Some(event)
        }
        Entry::Tombstone(_) | Entry::Erased { .. } => None,
    }
}
