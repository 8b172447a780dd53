//! What is asked of a store when something is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use bytes::Bytes;
use time::OffsetDateTime;

use super::StoreError;
use crate::{
    CommandId, EventId, ExpectedVersion, GlobalPosition, NewEvent, StreamId, StreamVersion,
};

/// Events for one or several streams, to be appended together or not at all.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Append {
    /// What goes to which stream; no stream twice.
    pub writes: Vec<StreamWrite>,
    /// The command it comes from, if its repetition is to be recognised.
    pub command: Option<CommandKey>,
    /// After this instant the store does not begin with it any more.
    pub deadline: Option<Instant>,
    /// The appends that it rests on, if some may still be under way.
    pub chain: Option<ChainLink>,
    /// The outgoing command of a process manager, in the same store, that this append settles: it is
    /// removed together with the append, and the append is refused if it is not there.
    pub settles: Option<CommandId>,
}

impl Append {
    /// Events for one stream.
    pub fn new(stream: StreamId, expected: ExpectedVersion, events: Vec<NewEvent>) -> Self {
        Self::several(vec![StreamWrite::new(stream, expected, events)])
    }

    /// Events for several streams.
    pub fn several(writes: Vec<StreamWrite>) -> Self {
        Self {
            writes,
            command: None,
            deadline: None,
            chain: None,
            settles: None,
        }
    }

    /// Has a repetition of this command recognised.
    #[must_use]
    pub fn for_command(mut self, command: CommandKey) -> Self {
        self.command = Some(command);
        self
    }

    /// Has it settle an outgoing command.
    #[must_use]
    pub fn settling(mut self, command_id: Option<CommandId>) -> Self {
        self.settles = command_id;
        self
    }

    /// Has the store not begin with it after `deadline`.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Option<Instant>) -> Self {
        self.deadline = deadline;
        self
    }

    /// Has it fail if an append before it in the chain failed, and those after it if it fails itself.
    #[must_use]
    pub fn in_chain(mut self, link: ChainLink) -> Self {
        self.chain = Some(link);
        self
    }

    /// Whether no append failed that it rests on; asked by the store when it decides.
    ///
    /// # Errors
    /// [`StoreError::PredecessorFailed`].
    pub fn check_chain(&self) -> Result<(), StoreError> {
        match &self.chain {
            Some(link) if link.is_cut_off() => Err(StoreError::PredecessorFailed),
            _ => Ok(()),
        }
    }

    /// Notes that it failed, so that what rests on it fails too; called by the store before it decides
    /// any later append.
    pub fn break_chain(&self) {
        if let Some(link) = &self.chain {
            link.break_off();
        }
    }
}

/// Joins the appends of one writer that rest on each other while they are under way.
///
/// The entry that an append [builds on](StreamWrite::builds_on) is not enough for that: where a command
/// is sent by two processes, its events have the same ids in two histories.
#[derive(Debug, Clone)]
pub struct Chain {
    links: u64,
    /// The first link that failed.
    failed: Arc<AtomicU64>,
}

/// One append's place in a [`Chain`].
#[derive(Debug, Clone)]
pub struct ChainLink {
    number: u64,
    failed: Arc<AtomicU64>,
}

impl Chain {
    /// A chain without appends.
    pub fn new() -> Self {
        Self {
            links: 0,
            failed: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    /// The place of the next append, which rests on all before it.
    pub fn link(&mut self) -> ChainLink {
        self.links += 1;
        ChainLink {
            number: self.links,
            failed: Arc::clone(&self.failed),
        }
    }

    /// Whether an append of it has failed.
    pub fn is_broken(&self) -> bool {
        self.failed.load(Ordering::Acquire) != u64::MAX
    }
}

impl Default for Chain {
    fn default() -> Self {
        Self::new()
    }
}

impl ChainLink {
    /// Whether an append before it has failed.
    pub fn is_cut_off(&self) -> bool {
        self.failed.load(Ordering::Acquire) < self.number
    }

    /// Tells its chain from all others alive.
    pub fn chain_id(&self) -> usize {
        Arc::as_ptr(&self.failed).addr()
    }

    /// Has all appends after it fail.
    pub fn break_off(&self) {
        self.failed.fetch_min(self.number, Ordering::AcqRel);
    }
}

/// Events for one stream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StreamWrite {
    /// The stream.
    pub stream: StreamId,
    /// What it must look like.
    pub expected: ExpectedVersion,
    /// The id of the entry at the expected version, where the writer knows it: the append is
    /// refused as a conflict if another entry stands there.
    pub builds_on: Option<EventId>,
    /// Whether the expected version is one that this process has itself read or written.
    ///
    /// A store may then leave the check to a unique index.
    pub trusted: bool,
    /// The events, at least one.
    pub events: Vec<NewEvent>,
}

impl StreamWrite {
    /// Events for a stream that must look like this.
    pub fn new(stream: StreamId, expected: ExpectedVersion, events: Vec<NewEvent>) -> Self {
        Self {
            stream,
            expected,
            builds_on: None,
            trusted: false,
            events,
        }
    }

    /// Events that follow on the entry with this id, at the expected version.
    #[must_use]
    pub fn building_on(mut self, entry: Option<EventId>) -> Self {
        self.builds_on = entry;
        self
    }

    /// Says whether this process knows the expected version itself.
    #[must_use]
    pub fn trusted(mut self, trusted: bool) -> Self {
        self.trusted = trusted;
        self
    }
}

/// What recognises a command that comes again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandKey {
    /// The command.
    pub id: CommandId,
    /// The stream of its aggregate.
    pub stream: StreamId,
    /// The id that its first event has, if it produced any.
    pub first_event: EventId,
}

impl CommandKey {
    /// The key of a command on an aggregate's stream.
    pub fn new(id: CommandId, stream: StreamId) -> Self {
        let first_event = EventId::of_command(id, &stream).first();
        Self {
            id,
            stream,
            first_event,
        }
    }
}

/// What a command left behind when it was dispatched before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repeat {
    /// Events, the first at this version of its aggregate's stream.
    Events(StreamVersion),
    /// An answer without events.
    Outcome(Bytes),
}

/// The answer of a command that produced no events, to be remembered.
#[derive(Debug, Clone)]
pub struct NewOutcome {
    /// The command.
    pub command: CommandKey,
    /// The version of its aggregate's stream that it was decided on.
    pub version: StreamVersion,
    /// The id of the entry at that version; `None` at version 0.
    pub entry: Option<EventId>,
    /// The answer. Its meaning is the dispatcher's.
    pub data: Bytes,
}

/// What was appended, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The position of the first event; those of all others follow without a gap.
    pub first_position: GlobalPosition,
    /// The position of the last event.
    pub last_position: GlobalPosition,
    /// When it was recorded.
    pub recorded_at: OffsetDateTime,
    /// The versions of the streams afterwards, in the order of the writes.
    pub versions: Vec<StreamVersion>,
}

/// Links to existing events, for one stream.
#[derive(Debug, Clone)]
pub struct NewLinks {
    /// The stream that gets the links.
    pub stream: StreamId,
    /// What it must look like.
    pub expected: ExpectedVersion,
    /// The events linked to, at least one, in order.
    pub targets: Vec<EventId>,
}

/// How a stream is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deletion {
    /// It is closed; its events stay in the log, and it can be opened again.
    Soft,
    /// Its events are erased for good, and its name stays closed.
    Hard,
}
