//! Appends, links and remembered answers.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};

use time::OffsetDateTime;

use super::super::{
    Append, Appended, CommandKey, Deletion, NewLinks, NewOutcome, Repeat, StoreError, StreamWrite,
};
use super::entry::{Entry, Place, StreamState};
use super::{Inner, MemoryWork, Outcome, ReadSide, lock};
use crate::{
    CommandId, EventId, ExpectedVersion, GlobalPosition, RecordedEvent, Snapshot, StreamId,
    StreamVersion,
};

impl Inner {
    /// Appends events, and commits with them what was written to read models.
    pub(super) fn append(
        &self,
        append: Append,
        work: Option<MemoryWork>,
    ) -> Result<Appended, StoreError> {
        let chain = append.chain.clone();
        let appended = self.decide(append, work);
        if let (Err(_), Some(chain)) = (&appended, chain) {
            chain.break_off();
        }
        appended
    }

    fn decide(&self, append: Append, work: Option<MemoryWork>) -> Result<Appended, StoreError> {
        self.check_request(&append)?;
        let states = self.states_of(&append);
        // Locked in the order of names, so that two appends never wait for each other.
        let mut locked: BTreeMap<_, _> = states
            .iter()
            .map(|(stream, state)| (stream, lock(state)))
            .collect();
        if let Some(repeat) = append
            .command
            .as_ref()
            .and_then(|command| self.repeat_of(command))
        {
            return Err(StoreError::Repeated(repeat));
        }
        let mut settling = append.settles.map(|id| self.unsettled(id)).transpose()?;
        for write in &append.writes {
            check(write, &locked[&write.stream])?;
        }
        let ids = append
            .writes
            .iter()
            .flat_map(|write| &write.events)
            .map(|event| event.event_id);
        self.reserve(ids)?;
        if let (Some(read_side), Some(command_id)) = (&mut settling, append.settles) {
            read_side.settle(command_id);
        }
        if let Some(work) = work {
            work.commit();
        }
        Ok(self.store(append.writes, &mut locked))
    }

    fn check_request(&self, append: &Append) -> Result<(), StoreError> {
        self.options.limits.check(append, &self.options.codec)?;
        if append
            .deadline
            .is_some_and(|deadline| self.options.clock.instant() >= deadline)
        {
            return Err(StoreError::DeadlinePassed);
        }
        append.check_chain()
    }

    /// Has the command stay as it is until the append is stored.
    fn unsettled(&self, command_id: CommandId) -> Result<MutexGuard<'_, ReadSide>, StoreError> {
        let read_side = self.read_side()?;
        if read_side.has_outgoing(command_id) {
            Ok(read_side)
        } else {
            Err(StoreError::Settled { command_id })
        }
    }

    fn states_of(&self, append: &Append) -> BTreeMap<StreamId, Arc<Mutex<StreamState>>> {
        let streams = append.writes.iter().map(|write| &write.stream);
        let streams = streams.chain(append.command.as_ref().map(|command| &command.stream));
        streams
            .map(|stream| (stream.clone(), self.find_or_make_stream(stream)))
            .collect()
    }

    /// Claims the ids, all or none.
    fn reserve(&self, ids: impl Iterator<Item = EventId> + Clone) -> Result<(), StoreError> {
        for (claimed, event_id) in ids.clone().enumerate() {
            let mut taken = true;
            self.event_ids.entry(event_id).or_insert_with(|| {
                taken = false;
                None
            });
            if taken {
                ids.take(claimed)
                    .for_each(|event_id| drop(self.event_ids.remove(&event_id)));
                return Err(StoreError::DuplicateEvent { event_id });
            }
        }
        Ok(())
    }

    fn store(
        &self,
        writes: Vec<StreamWrite>,
        locked: &mut BTreeMap<&StreamId, MutexGuard<'_, StreamState>>,
    ) -> Appended {
        let lens: Vec<_> = writes
            .iter()
            .map(|write| (write.stream.clone(), write.events.len()))
            .collect();
        let mut entries = Vec::with_capacity(lens.iter().map(|(_, len)| len).sum());
        for write in writes {
            let from = locked[&write.stream].version().next();
            entries.extend(entries_of(write, from));
        }
        let first_position = self.log.append(&mut entries, &*self.options.clock);
        let mut rest = entries.as_slice();
        let mut versions = Vec::with_capacity(lens.len());
        for (stream, len) in &lens {
            let (own, others) = rest.split_at(*len);
            let Some(state) = locked.get_mut(stream) else {
                continue;
            };
            state.extend(own);
            versions.push(state.version());
            rest = others;
        }
        self.index(&entries);
        appended(first_position, &entries, versions)
    }

    fn index(&self, entries: &[Arc<Entry>]) {
        for entry in entries {
            if let Some(id) = entry.id() {
                self.event_ids.insert(id, Some(Arc::clone(entry)));
            }
        }
    }

    /// Appends entries other than events to a locked stream.
    pub(super) fn store_entries(
        &self,
        mut entries: Vec<Arc<Entry>>,
        state: &mut StreamState,
    ) -> Appended {
        let first_position = self.log.append(&mut entries, &*self.options.clock);
        state.extend(&entries);
        self.index(&entries);
        appended(first_position, &entries, vec![state.version()])
    }

    pub(super) fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        self.options.limits.check_links(&links)?;
        let state = self.find_or_make_stream(&links.stream);
        let mut state = lock(&state);
        check_linkable(&links, &state)?;
        let targets = self.targets(&links.targets)?;
        let mut linked = state.links.take().unwrap_or_default();
        let twice = targets
            .iter()
            .find(|(id, _)| linked.contains(id))
            .map(|(id, _)| *id);
        if twice.is_none() {
            linked.extend(targets.iter().map(|(id, _)| id));
        }
        state.links = Some(linked).filter(|linked| !linked.is_empty());
        if let Some(event_id) = twice {
            return Err(StoreError::DuplicateEvent { event_id });
        }
        let mut version = state.version();
        let entries = targets.into_iter().map(|(_, target)| {
            version = version.next();
            Arc::new(Entry::Link {
                place: Place::new(links.stream.clone(), version),
                target,
            })
        });
        let entries = entries.collect();
        Ok(self.store_entries(entries, &mut state))
    }

    /// The events behind the ids; links are followed.
    fn targets(&self, ids: &[EventId]) -> Result<Vec<(EventId, GlobalPosition)>, StoreError> {
        let mut targets = Vec::with_capacity(ids.len());
        for &event_id in ids {
            let entry = self
                .event_ids
                .get(&event_id)
                .and_then(|entry| entry.clone());
            let target = entry.as_ref().and_then(|entry| self.target(entry));
            targets.push(target.ok_or(StoreError::LinkTargetNotFound { event_id })?);
        }
        if let Some(event_id) = first_twice(targets.iter().map(|(id, _)| *id)) {
            return Err(StoreError::DuplicateEvent { event_id });
        }
        Ok(targets)
    }

    fn target(&self, entry: &Arc<Entry>) -> Option<(EventId, GlobalPosition)> {
        let event = self.log.resolve(std::slice::from_ref(entry)).pop()?;
        Some((event.event_id, event.position))
    }

    pub(super) fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        let stream = outcome.command.stream.clone();
        let state = self.find_or_make_stream(&stream);
        let state = lock(&state);
        if let Some(repeat) = self.repeat_of(&outcome.command) {
            return Err(StoreError::Repeated(repeat));
        }
        let head = state.head();
        if (head.version, head.entry) != (outcome.version, outcome.entry) {
            let expected = ExpectedVersion::Exact(outcome.version);
            return Err(StoreError::Conflict {
                stream,
                expected,
                actual: head.version,
            });
        }
        let recorded_at = self.options.clock.now();
        let kept = Outcome {
            data: outcome.data,
            recorded_at,
        };
        self.outcomes.insert((stream, outcome.command.id), kept);
        Ok(())
    }

    pub(super) fn find_repeat(&self, command: &CommandKey) -> Option<Repeat> {
        let state = self.find_stream(&command.stream)?;
        let _state = lock(&state);
        self.repeat_of(command)
    }

    /// Asked under the lock of the command's stream, through which all its traces come.
    fn repeat_of(&self, command: &CommandKey) -> Option<Repeat> {
        if let Some(entry) = self.event_ids.get(&command.first_event)
            && let Some(Entry::Event(event)) = entry.as_deref()
        {
            return Some(Repeat::Events(event.version));
        }
        let outcome = self.outcomes.get(&(command.stream.clone(), command.id))?;
        Some(Repeat::Outcome(outcome.data.clone()))
    }

    pub(super) fn forget_outcomes(&self, before: OffsetDateTime) -> u64 {
        let mut forgotten = 0;
        self.outcomes.retain(|_, outcome| {
            let keep = outcome.recorded_at >= before;
            forgotten += u64::from(!keep);
            keep
        });
        forgotten
    }

    pub(super) fn record_snapshot(&self, snapshot: Snapshot) {
        let Some(state) = self.find_stream(&snapshot.stream) else {
            return;
        };
        let state = lock(&state);
        if state.entries.is_empty() || state.deleted == Some(Deletion::Hard) {
            return;
        }
        let mut kept = self
            .snapshots
            .entry(snapshot.stream.clone())
            .or_insert(snapshot.clone());
        if kept.version < snapshot.version || kept.schema_version != snapshot.schema_version {
            kept.clone_from(&snapshot);
        }
    }
}

fn check(write: &StreamWrite, state: &StreamState) -> Result<(), StoreError> {
    state.check_open(&write.stream)?;
    if state.links.is_some() {
        return Err(StoreError::EventsAndLinks {
            stream: write.stream.clone(),
            links: true,
        });
    }
    check_expected(&write.stream, write.expected, state)?;
    if write.builds_on.is_some() && write.builds_on != state.head().entry {
        return Err(conflict(&write.stream, write.expected, state.version()));
    }
    Ok(())
}

fn check_linkable(links: &NewLinks, state: &StreamState) -> Result<(), StoreError> {
    state.check_open(&links.stream)?;
    if state.links.is_none() && !state.entries.is_empty() {
        return Err(StoreError::EventsAndLinks {
            stream: links.stream.clone(),
            links: false,
        });
    }
    check_expected(&links.stream, links.expected, state)
}

fn check_expected(
    stream: &StreamId,
    expected: ExpectedVersion,
    state: &StreamState,
) -> Result<(), StoreError> {
    if expected.accepts(state.version()) {
        return Ok(());
    }
    Err(conflict(stream, expected, state.version()))
}

fn conflict(stream: &StreamId, expected: ExpectedVersion, actual: StreamVersion) -> StoreError {
    StoreError::Conflict {
        stream: stream.clone(),
        expected,
        actual,
    }
}

fn entries_of(write: StreamWrite, from: StreamVersion) -> impl Iterator<Item = Arc<Entry>> {
    let stream = write.stream;
    write
        .events
        .into_iter()
        .enumerate()
        .map(move |(offset, event)| {
            let version = from.plus(offset as u64);
            let (position, time) = (GlobalPosition::ORIGIN, OffsetDateTime::UNIX_EPOCH);
            let event = RecordedEvent::record(event, stream.clone(), version, position, time);
            Arc::new(Entry::Event(event))
        })
}

fn appended(
    first_position: GlobalPosition,
    entries: &[Arc<Entry>],
    versions: Vec<StreamVersion>,
) -> Appended {
    let last = entries.last();
    Appended {
        first_position,
        last_position: last.map_or(first_position, |entry| entry.position()),
        recorded_at: last.map_or(OffsetDateTime::UNIX_EPOCH, |entry| entry.recorded_at()),
        versions,
    }
}

fn first_twice(ids: impl Iterator<Item = EventId>) -> Option<EventId> {
    let mut seen = HashSet::new();
    ids.into_iter().find(|id| !seen.insert(*id))
}
