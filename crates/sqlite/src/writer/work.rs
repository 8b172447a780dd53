//! What the writer is asked for, and what it answers.

use ordain::store::{Append, Appended, Deletion, NewLinks, NewOutcome, StreamHead, StreamWrite};
use ordain::{ExpectedVersion, Snapshot, StoreError, StreamId};
use time::OffsetDateTime;
use tokio::sync::oneshot;

/// A request that writes.
#[derive(Debug)]
pub(crate) enum Work {
    Append(Append),
    Outcome(NewOutcome),
    Link(NewLinks),
    Delete {
        stream: StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    },
    Undelete(StreamId),
    ForgetOutcomes(OffsetDateTime),
    RecordSnapshot(Snapshot),
    DeleteSnapshot(StreamId),
}

/// What a request that was carried out leads to.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Done,
    Count(u64),
    Head(StreamHead),
    Appended(Appended),
}

/// The answer to one request; an error means that nothing was stored for it.
pub(crate) type Verdict = Result<Answer, StoreError>;

/// A request on its way to the writer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Verdict>,
}

impl Work {
    /// Whether it is decided together with its neighbours, in memory.
    pub(super) fn is_decided_in_memory(&self) -> bool {
        matches!(self, Self::Append(_) | Self::Outcome(_))
    }

    /// About how many bytes it brings.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append(append) => append.writes.iter().map(bytes_of).sum(),
            Self::Outcome(outcome) => outcome.data.len(),
            Self::RecordSnapshot(snapshot) => snapshot.data.len(),
            _ => 0,
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
    Count => u64,
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
    StoreError::internal(format!("the writer answered another request: {answer:?}"))
}
