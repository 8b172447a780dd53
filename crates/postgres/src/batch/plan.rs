//! What a batch rests on, and which of its appends the server has to judge.

use std::collections::HashMap;
use std::ops::Range;

use bytes::Bytes;
use ordain::store::{Append, CommandKey, NewOutcome, StreamWrite};
use ordain::{CommandId, EventId, ExpectedVersion, NewEvent, StreamId};

use super::ends::{StreamEnd, StreamEnds};
use crate::appender::Work;

/// How much of what this process knows of streams is relied on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Caution {
    /// Versions that this process has itself read or written are left to the unique index.
    Optimistic,
    /// Every version is looked up.
    Checked,
    /// Every version and every id is looked up.
    Thorough,
}

/// Appends and answers for one call of the server.
#[derive(Debug)]
pub(crate) struct Plan<'r> {
    pub(super) streams: Vec<PlannedStream<'r>>,
    pub(super) writes: Vec<PlannedWrite<'r>>,
    pub(super) items: Vec<Item<'r>>,
}

#[derive(Debug)]
pub(super) struct PlannedStream<'r> {
    pub(super) id: &'r StreamId,
    /// Its end before the batch; `None` if the server has to read it.
    pub(super) known: Option<StreamEnd>,
}

/// What goes to one stream.
#[derive(Debug)]
pub(super) struct PlannedWrite<'r> {
    pub(super) stream: usize,
    pub(super) expected: ExpectedVersion,
    pub(super) builds_on: Option<EventId>,
    pub(super) events: &'r [NewEvent],
    /// The version before it, where the stream's end is known.
    pub(super) base: i64,
    trusted: bool,
}

/// An append, or a command's answer without events.
#[derive(Debug)]
pub(super) struct Item<'r> {
    pub(super) writes: Range<usize>,
    /// The number of its chain in this batch; 0 without one.
    pub(super) chain: i32,
    pub(super) command: Option<&'r CommandKey>,
    pub(super) answer: Option<&'r Bytes>,
    pub(super) settles: Option<CommandId>,
    /// Whether the server judges it.
    pub(super) checked: bool,
}

impl<'r> Plan<'r> {
    /// The plan for these appends and answers.
    pub(crate) fn new(
        works: impl ExactSizeIterator<Item = &'r Work>,
        ends: &StreamEnds,
        caution: Caution,
    ) -> Self {
        let mut plan = Self {
            streams: Vec::new(),
            writes: Vec::with_capacity(works.len()),
            items: Vec::with_capacity(works.len()),
        };
        let known = |stream: &StreamId| match caution {
            Caution::Optimistic => ends.get(stream),
            Caution::Checked | Caution::Thorough => None,
        };
        Gathering::new(&mut plan).gather(works, known);
        plan.follow_ends();
        plan.spread_checks();
        plan
    }

    /// Whether the server judges anything.
    pub(super) fn is_checked(&self) -> bool {
        self.items.iter().any(|item| item.checked)
    }

    /// Whether any of it comes of a command that may have been dispatched before.
    pub(super) fn has_commands(&self) -> bool {
        self.items.iter().any(|item| item.command.is_some())
    }

    /// Whether any of it settles an outgoing command.
    pub(super) fn settles(&self) -> bool {
        self.items.iter().any(|item| item.settles.is_some())
    }

    /// Follows the ends of the known streams through the batch. A stream that a write does not find as
    /// it expects is known no more.
    fn follow_ends(&mut self) {
        let mut ends: Vec<_> = self.streams.iter().map(|stream| stream.known).collect();
        for write in &mut self.writes {
            let end = &mut ends[write.stream];
            let (Some(known), Some(last)) = (end.as_mut(), write.events.last()) else {
                *end = None;
                self.streams[write.stream].known = None;
                continue;
            };
            if !write.follows(known) {
                *end = None;
                self.streams[write.stream].known = None;
                continue;
            }
            write.base = known.version;
            known.version += write.events.len() as i64;
            known.entry = last.event_id;
        }
    }

    /// Has the server judge every append that touches a stream which is not known, and what rests on
    /// such an append: the later ones of its chain, and of its other streams.
    fn spread_checks(&mut self) {
        let mut chains: Vec<bool> = vec![false; self.items.len() + 1];
        let mut settled = vec![false; self.items.len()];
        loop {
            let mut spread = false;
            for (item, settled) in self.items.iter_mut().zip(&mut settled) {
                let writes = &self.writes[item.writes.clone()];
                let is_open = |write: &PlannedWrite<'_>| self.streams[write.stream].known.is_none();
                item.checked |= chains[item.chain as usize] || writes.iter().any(is_open);
                if *settled || !item.checked {
                    continue;
                }
                (*settled, spread) = (true, true);
                chains[item.chain as usize] |= item.chain > 0;
                for write in writes {
                    self.streams[write.stream].known = None;
                }
            }
            if !spread {
                return;
            }
        }
    }
}

impl PlannedWrite<'_> {
    /// Whether it goes on from this end, as this process knows for itself.
    fn follows(&self, end: &StreamEnd) -> bool {
        let expected = match self.expected {
            ExpectedVersion::Exact(version) => version.to_i64() == end.version,
            _ => false,
        };
        self.trusted && expected && self.builds_on.is_none_or(|entry| entry == end.entry)
    }
}

/// Numbers the streams and chains of a batch.
struct Gathering<'p, 'r> {
    plan: &'p mut Plan<'r>,
    streams: HashMap<&'r StreamId, usize>,
    chains: HashMap<usize, i32>,
}

impl<'p, 'r> Gathering<'p, 'r> {
    fn new(plan: &'p mut Plan<'r>) -> Self {
        Self {
            plan,
            streams: HashMap::new(),
            chains: HashMap::new(),
        }
    }

    fn gather(
        mut self,
        works: impl Iterator<Item = &'r Work>,
        known: impl Fn(&StreamId) -> Option<StreamEnd>,
    ) {
        for work in works {
            match work {
                Work::Append(append) => self.append(append, &known),
                Work::Outcome(outcome) => self.outcome(outcome),
                _ => debug_assert!(false, "a request was planned out of place"),
            }
        }
    }

    fn append(&mut self, append: &'r Append, known: &impl Fn(&StreamId) -> Option<StreamEnd>) {
        let first = self.plan.writes.len();
        for write in &append.writes {
            let stream = self.stream(&write.stream, known);
            self.plan.writes.push(planned(write, stream));
        }
        let chain = append
            .chain
            .as_ref()
            .map_or(0, |link| self.chain(link.chain_id()));
        self.plan.items.push(Item {
            writes: first..self.plan.writes.len(),
            chain,
            command: append.command.as_ref(),
            answer: None,
            settles: append.settles,
            checked: append.settles.is_some() || !finds_its_repetition(append),
        });
    }

    fn outcome(&mut self, outcome: &'r NewOutcome) {
        let first = self.plan.writes.len();
        let stream = self.stream(&outcome.command.stream, &|_| None);
        self.plan.writes.push(PlannedWrite {
            stream,
            expected: ExpectedVersion::Exact(outcome.version),
            builds_on: outcome.entry,
            events: &[],
            base: 0,
            trusted: false,
        });
        self.plan.items.push(Item {
            writes: first..first + 1,
            chain: 0,
            command: Some(&outcome.command),
            answer: Some(&outcome.data),
            settles: None,
            checked: false,
        });
    }

    fn stream(
        &mut self,
        id: &'r StreamId,
        known: &impl Fn(&StreamId) -> Option<StreamEnd>,
    ) -> usize {
        *self.streams.entry(id).or_insert_with(|| {
            let known = known(id);
            self.plan.streams.push(PlannedStream { id, known });
            self.plan.streams.len() - 1
        })
    }

    fn chain(&mut self, id: usize) -> i32 {
        let next = self.chains.len() as i32 + 1;
        *self.chains.entry(id).or_insert(next)
    }
}

/// Whether a unique index would find a repetition of its command: it brings the command's first event.
fn finds_its_repetition(append: &Append) -> bool {
    let Some(command) = &append.command else {
        return true;
    };
    let mut events = append.writes.iter().flat_map(|write| &write.events);
    events.any(|event| event.event_id == command.first_event)
}

fn planned(write: &StreamWrite, stream: usize) -> PlannedWrite<'_> {
    PlannedWrite {
        stream,
        expected: write.expected,
        builds_on: write.builds_on,
        events: &write.events,
        base: 0,
        trusted: write.trusted,
    }
}
