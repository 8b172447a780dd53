//! Which requests are accepted, and what they write. No input or output.

use ordain::store::{Append, Appended, CommandKey, NewOutcome, StreamWrite};
use ordain::{Clock, EventId, ExpectedVersion, StoreError, StreamId};

use super::insert::{Content, Entry, Rows};
use super::probe::{Known, StreamEnd, Wanted};
use super::work::{Answer, Verdict, Work};
use crate::micros;
use crate::options::SqliteOptions;

/// Judges requests one after the other, each on the state that those before it leave.
pub(super) struct Plan<'a> {
    known: Known<'a>,
    clock: &'a dyn Clock,
    rows: Rows<'a>,
}

/// What has to be known to judge these requests.
pub(super) fn wanted<'a>(works: impl Iterator<Item = &'a Work>) -> Wanted<'a> {
    let mut wanted = Wanted::default();
    for work in works {
        match work {
            Work::Append(append) => want_append(&mut wanted, append),
            Work::Outcome(outcome) => {
                wanted.stream(&outcome.command.stream);
                wanted.command(&outcome.command);
            }
            _ => {}
        }
    }
    wanted
}

fn want_append<'a>(wanted: &mut Wanted<'a>, append: &'a Append) {
    for write in &append.writes {
        wanted.stream(&write.stream);
        for event in &write.events {
            wanted.id(event.event_id);
        }
    }
    if let Some(command) = &append.command {
        wanted.command(command);
    }
    if let Some(command_id) = append.settles {
        wanted.outgoing(command_id);
    }
}

impl<'a> Plan<'a> {
    pub(super) fn new(known: Known<'a>, options: &'a SqliteOptions) -> Self {
        Self {
            known,
            clock: &*options.clock,
            rows: Rows::new(&options.codec),
        }
    }

    /// What is to be written.
    pub(super) fn into_rows(self) -> Rows<'a> {
        self.rows
    }

    /// Judges a request; accepted, it counts for those that follow.
    pub(super) fn judge(&mut self, work: &'a Work) -> Verdict {
        match work {
            Work::Append(append) => {
                let verdict = self.append(append);
                if verdict.is_err() {
                    append.break_chain();
                }
                verdict
            }
            Work::Outcome(outcome) => self.outcome(outcome),
            _ => Err(StoreError::internal("a request was judged out of place")),
        }
    }

    fn append(&mut self, append: &'a Append) -> Verdict {
        let late = |deadline| self.clock.instant() >= deadline;
        if append.deadline.is_some_and(late) {
            return Err(StoreError::DeadlinePassed);
        }
        append.check_chain()?;
        self.check_repeat(append.command.as_ref())?;
        self.check_settled(append)?;
        for write in &append.writes {
            self.check(write)?;
        }
        self.check_ids(append)?;
        Ok(Answer::Appended(self.accept(append)))
    }

    fn check_repeat(&self, command: Option<&'a CommandKey>) -> Result<(), StoreError> {
        match command.and_then(|command| self.known.repeat_of(command)) {
            Some(repeat) => Err(StoreError::Repeated(repeat)),
            None => Ok(()),
        }
    }

    fn check_settled(&self, append: &Append) -> Result<(), StoreError> {
        match append.settles {
            Some(command_id) if !self.known.outgoing.contains(&command_id) => {
                Err(StoreError::Settled { command_id })
            }
            _ => Ok(()),
        }
    }

    fn check(&self, write: &StreamWrite) -> Result<(), StoreError> {
        let end = self.known.stream(&write.stream);
        end.check_open(&write.stream)?;
        if end.holds_links {
            return Err(StoreError::EventsAndLinks {
                stream: write.stream.clone(),
                links: true,
            });
        }
        check_expected(&write.stream, write.expected, &end)?;
        if write.builds_on.is_some() && write.builds_on != end.entry {
            return Err(conflict(&write.stream, write.expected, &end));
        }
        Ok(())
    }

    fn check_ids(&self, append: &Append) -> Result<(), StoreError> {
        let mut events = append.writes.iter().flat_map(|write| &write.events);
        match events.find(|event| self.known.ids.contains_key(&event.event_id)) {
            Some(event) => Err(StoreError::DuplicateEvent {
                event_id: event.event_id,
            }),
            None => Ok(()),
        }
    }

    fn accept(&mut self, append: &'a Append) -> Appended {
        if let Some(command_id) = append.settles {
            self.known.outgoing.remove(&command_id);
            self.rows.settled(command_id);
        }
        let recorded_at = self.tick();
        let first_position = self.known.log.position + 1;
        let versions = append.writes.iter().map(|write| {
            let contents = write.events.iter();
            let contents = contents.map(|event| (event.event_id, Content::Event(event)));
            self.add(&write.stream, false, recorded_at, contents)
                .version
                .into()
        });
        let versions = versions.collect();
        Appended {
            first_position: first_position.into(),
            last_position: self.known.log.position.into(),
            recorded_at: micros::to_time(recorded_at),
            versions,
        }
    }

    /// The time of what is recorded next, which never runs backwards.
    pub(super) fn tick(&mut self) -> i64 {
        let log = &mut self.known.log;
        log.recorded_at = micros::floor(self.clock.now()).max(log.recorded_at);
        log.recorded_at
    }

    /// Adds entries at the end of a stream and of the log; returns the stream's new end.
    pub(super) fn add(
        &mut self,
        stream: &'a StreamId,
        holds_links: bool,
        recorded_at: i64,
        contents: impl Iterator<Item = (EventId, Content<'a>)>,
    ) -> StreamEnd {
        let Known {
            log, streams, ids, ..
        } = &mut self.known;
        let end = streams.entry(stream.as_str()).or_default();
        let key = *end.key.get_or_insert_with(|| {
            log.stream_key += 1;
            self.rows
                .stream(log.stream_key, stream, recorded_at, holds_links);
            log.stream_key
        });
        end.holds_links |= holds_links;
        for (event_id, content) in contents {
            log.position += 1;
            end.version += 1;
            (end.entry, end.position) = (Some(event_id), log.position);
            let is_event = matches!(content, Content::Event(_));
            ids.insert(event_id, is_event.then(|| end.version.into()));
            self.rows.entry(Entry {
                position: log.position,
                stream: key,
                version: end.version,
                event_id,
                recorded_at,
                content,
            });
        }
        end.clone()
    }

    fn outcome(&mut self, outcome: &'a NewOutcome) -> Verdict {
        let command = &outcome.command;
        self.check_repeat(Some(command))?;
        let end = self.known.stream(&command.stream);
        if (end.version, end.entry) != (outcome.version.get(), outcome.entry) {
            let expected = ExpectedVersion::Exact(outcome.version);
            return Err(conflict(&command.stream, expected, &end));
        }
        let recorded_at = micros::floor(self.clock.now());
        let key = (command.stream.as_str(), command.id);
        self.known.outcomes.insert(key, outcome.data.clone());
        self.rows.outcome(outcome, recorded_at);
        Ok(Answer::Done)
    }

    pub(super) fn known(&self) -> &Known<'a> {
        &self.known
    }
}

pub(super) fn check_expected(
    stream: &StreamId,
    expected: ExpectedVersion,
    end: &StreamEnd,
) -> Result<(), StoreError> {
    if expected.accepts(end.version.into()) {
        return Ok(());
    }
    Err(conflict(stream, expected, end))
}

fn conflict(stream: &StreamId, expected: ExpectedVersion, end: &StreamEnd) -> StoreError {
    StoreError::Conflict {
        stream: stream.clone(),
        expected,
        actual: end.version.into(),
    }
}
