//! A command in an instance's queue.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::oneshot;

use crate::aggregate::load::Basis;
use crate::dispatch::DispatchError;
use crate::store::CommandKey;
use crate::{
    Aggregate, CausationId, CommandId, CommandMark, CorrelationId, Metadata, Receipt, Routed,
    StreamId, StreamVersion,
};

/// A command, what its caller said about it, and how far it has come.
pub(crate) struct Job<A: Aggregate> {
    pub(crate) command: Arc<Routed<A>>,
    pub(crate) command_id: CommandId,
    pub(crate) correlation_id: CorrelationId,
    pub(crate) causation_id: Option<CausationId>,
    pub(crate) metadata: Arc<Metadata>,
    /// What recognises the command, where the caller gave its id.
    pub(crate) mark: Option<CommandMark>,
    /// The outgoing command that its events settle: middleware may have given it another id.
    pub(crate) settles: Option<CommandId>,
    pub(crate) expected: Option<StreamVersion>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) retries_max: u32,
    pub(crate) with_state: bool,
    pub(crate) reply: oneshot::Sender<Result<Reply<A>, DispatchError<A::Error>>>,
    /// Which command of its instance it is.
    pub(crate) arrival: u64,
    /// How often it was redone after a conflict.
    pub(crate) retries: u32,
    /// Whether an append of it was sent whose outcome is unknown.
    pub(crate) uncertain: bool,
}

/// What a dispatch is answered with.
#[derive(Debug)]
pub struct Reply<A: Aggregate> {
    pub(crate) receipt: Receipt<A>,
    pub(crate) state: Option<A>,
}

impl<A: Aggregate> Job<A> {
    /// Whether nobody waits for it any more.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reply.is_closed()
    }

    /// Whether traces of it may be in the store.
    pub(super) fn may_be_repeated(&self) -> bool {
        self.mark.is_some() || self.uncertain
    }

    /// Whether an answer without events is remembered: not where a row that is to be settled says that
    /// there was none yet.
    pub(super) fn is_remembered(&self) -> bool {
        self.may_be_repeated() && (self.settles.is_none() || self.uncertain)
    }

    /// A command that may be stored already is not refused for being late.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.uncertain { None } else { self.deadline }
    }

    pub(super) fn key(&self, stream: &StreamId) -> CommandKey {
        CommandKey::new(self.command_id, stream.clone())
    }

    /// Answers. Nobody listens any more if the dispatch was dropped.
    pub(super) fn answer(self, answer: Result<Reply<A>, DispatchError<A::Error>>) {
        let _ = self.reply.send(answer);
    }

    pub(super) fn fail(self, error: DispatchError<A::Error>) {
        self.answer(Err(error));
    }

    pub(super) fn succeed(self, stream: &StreamId, success: Success<A>) {
        let receipt = Receipt {
            stream: stream.clone(),
            version: success.basis.version,
            position: success.basis.position,
            events: success.events,
            retries: self.retries,
            repeated: success.repeated,
            command_id: self.command_id,
            correlation_id: self.correlation_id,
        };
        self.answer(Ok(Reply {
            receipt,
            state: success.state,
        }));
    }
}

/// How a command succeeded.
pub(super) struct Success<A: Aggregate> {
    pub(super) basis: Basis,
    pub(super) events: Vec<A::Event>,
    pub(super) state: Option<A>,
    pub(super) repeated: bool,
}
