//! What the appender is asked for, and what it answers.

use std::time::Instant;

use ordain::store::{
    Append, Appended, ChainLink, Deletion, NewLinks, NewOutcome, StreamHead, StreamWrite,
};
use ordain::{EventId, ExpectedVersion, GlobalPosition, StoreError, StreamId};
use time::OffsetDateTime;
use tokio::sync::oneshot;

/// Why a request is not decided.
pub(super) const HELD: &str =
    "another transaction holds the outgoing command that is to be settled";

/// A request that takes the order lock.
#[derive(Debug)]
pub(crate) enum Work {
    Append(Append),
    Outcome(NewOutcome),
    Link(Link),
    Delete(Delete),
    Undelete(StreamId),
    /// Whether what a caller's transaction appended, the first entries of which are these, was committed.
    Settle(Vec<Written>),
}

/// Links, with the ids they will have.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) links: NewLinks,
    pub(crate) ids: Vec<EventId>,
}

impl Link {
    pub(crate) fn new(links: NewLinks) -> Self {
        let ids = links.targets.iter().map(|_| EventId::new()).collect();
        Self { links, ids }
    }
}

/// A deletion, with the id that its tombstone will have.
#[derive(Debug)]
pub(crate) struct Delete {
    pub(crate) stream: StreamId,
    pub(crate) expected: ExpectedVersion,
    pub(crate) deletion: Deletion,
    pub(crate) tombstone: EventId,
}

/// An entry that a transaction has written, and may have committed.
///
/// Its id alone would not tell: that of a command's event follows from the command, so another process may have
/// stored it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Written {
    pub(crate) id: EventId,
    pub(crate) position: GlobalPosition,
    pub(crate) recorded_at: OffsetDateTime,
}

impl Written {
    /// The first entry of a request that was carried out.
    pub(crate) fn first_of(work: &Work, answer: &Answer) -> Option<Self> {
        let Answer::Appended(appended) = answer else {
            return None;
        };
        let id = match work {
            Work::Append(append) => append.writes.first()?.events.first()?.event_id,
            Work::Link(link) => *link.ids.first()?,
            _ => return None,
        };
        Some(Self {
            id,
            position: appended.first_position,
            recorded_at: appended.recorded_at,
        })
    }
}

/// What a request that was carried out leads to.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Done,
    /// It was not decided: another transaction holds what it settles.
    Busy,
    Found(bool),
    Head(StreamHead),
    Appended(Appended),
}

/// The answer to one request; an error means that nothing was stored for it.
pub(crate) type Verdict = Result<Answer, StoreError>;

/// A request on its way.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Verdict>,
    /// When nothing more is tried.
    pub(super) give_up_at: Instant,
    /// Whether it was sent, and nobody knows what became of it.
    pub(super) in_doubt: bool,
}

impl Request {
    /// Answers it. What rests on a refused append is refused too.
    pub(super) fn answer(self, verdict: Verdict) {
        if verdict.is_err() {
            self.work.break_chain();
        }
        // Nobody listens if the future was dropped.
        let _ = self.reply.send(verdict);
    }
}

impl Work {
    /// Whether it is carried out together with its neighbours.
    pub(crate) fn joins_batches(&self) -> bool {
        matches!(self, Self::Append(_) | Self::Outcome(_))
    }

    /// After when it is not begun any more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Append(append) => append.deadline,
            _ => None,
        }
    }

    /// About how many bytes it brings.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(append) => append.writes.iter().map(bytes_of).sum(),
            Self::Outcome(outcome) => outcome.data.len(),
            _ => 0,
        }
    }

    /// Whether it may be begun: its time is not over, and nothing failed that it rests on.
    pub(crate) fn check_start(&self) -> Result<(), StoreError> {
        match self.deadline() {
            Some(deadline) if Instant::now() >= deadline => Err(StoreError::DeadlinePassed),
            _ => self.check_chain(),
        }
    }

    pub(super) fn check_chain(&self) -> Result<(), StoreError> {
        match self {
            Self::Append(append) => append.check_chain(),
            _ => Ok(()),
        }
    }

    /// Its chain, if it has one.
    pub(super) fn chain_id(&self) -> Option<usize> {
        match self {
            Self::Append(append) => append.chain.as_ref().map(ChainLink::chain_id),
            _ => None,
        }
    }

    pub(crate) fn break_chain(&self) {
        if let Self::Append(append) = self {
            append.break_chain();
        }
    }
}

fn bytes_of(write: &StreamWrite) -> usize {
    const ROW: usize = 100;
    let events = write.events.iter();
    events.map(|event| event.data.len() + ROW).sum()
}

macro_rules! answers {
    ($($variant:ident => $answer:ty,)*) => {
        $(impl TryFrom<Answer> for $answer {
            type Error = StoreError;

            fn try_from(answer: Answer) -> Result<Self, StoreError> {
                match answer {
                    Answer::$variant(answer) => Ok(answer),
                    other => Err(misplaced(&other)),
                }
            }
        })*
    };
}

answers! {
    Found => bool,
    Head => StreamHead,
    Appended => Appended,
}

impl TryFrom<Answer> for () {
    type Error = StoreError;

    fn try_from(answer: Answer) -> Result<Self, StoreError> {
        match answer {
            Answer::Done => Ok(()),
            other => Err(misplaced(&other)),
        }
    }
}

fn misplaced(answer: &Answer) -> StoreError {
    if matches!(answer, Answer::Busy) {
        return StoreError::unavailable(HELD);
    }
    StoreError::internal(format!("the appender answered another request: {answer:?}"))
}
