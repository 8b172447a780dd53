//! What the writer is asked for, and what it answers.

use ordain::store::{
    Append, Appended, Committed, Deletion, Lease, NewLinks, NewOutcome, StreamHead, StreamWrite,
    SubscriptionRecord,
};
use ordain::{ExpectedVersion, Snapshot, StoreError, StreamId};
use time::OffsetDateTime;
use tokio::sync::oneshot;

use super::subscriptions::SubscriptionWork;

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
    Subscription(SubscriptionWork),
}

/// What a request that was carried out leads to.
#[derive(Debug, Clone)]
pub(crate) enum Answer {
    Done,
    Count(u64),
    Head(StreamHead),
    Appended(Appended),
    /// Whether what was asked for applied.
    Changed(bool),
    Subscriptions(Vec<SubscriptionRecord>),
    Leases(Vec<Lease>),
    Committed(Committed),
}

/// The answer to one request; an error means that nothing was stored for it.
pub(crate) type Verdict = Result<Answer, StoreError>;

/// Whether the request was carried out, and what was written beside it may stay.
pub(super) fn holds(verdict: &Verdict) -> bool {
    match verdict {
        Err(_) | Ok(Answer::Changed(false)) => false,
        Ok(Answer::Committed(committed)) => *committed == Committed::Done,
        Ok(_) => true,
    }
}

/// A request on its way to the writer.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) reply: oneshot::Sender<Verdict>,
}

impl Work {
    /// Has what rests on the request fail too.
    pub(crate) fn break_chain(&self) {
        if let Self::Append(append) = self {
            append.break_chain();
        }
    }

    /// Whether it comes before what waits already, so that leases do not run out meanwhile.
    pub(super) fn is_urgent(&self) -> bool {
        matches!(self, Self::Subscription(SubscriptionWork::KeepAlive(_)))
    }

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
            Self::Subscription(work) => work.bytes(),
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
    Changed => bool,
    Subscriptions => Vec<SubscriptionRecord>,
    Leases => Vec<Lease>,
    Committed => Committed,
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
