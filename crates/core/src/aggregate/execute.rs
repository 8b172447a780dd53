//! What the user writes per command and per event.

use std::fmt;
use std::future::Future;

use super::{Aggregate, Decision};
use crate::{CommandId, CorrelationId, Metadata, StreamVersion};

/// Decides one kind of command.
///
/// Takes the command by reference, since it may run again after a conflict.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not execute `{C}`",
    label = "missing `impl Execute<{C}> for {Self}`"
)]
pub trait Execute<C>: Aggregate {
    /// Which events follow from the command, or why none do. Pure: no I/O, no clock, no randomness.
    ///
    /// # Errors
    /// The domain's refusal.
    fn execute(&self, command: &C) -> Decision<Self>;
}

/// Decides one kind of command, with its context at hand; [`Execute`] implies it.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not execute `{C}`",
    label = "missing `impl Execute<{C}> for {Self}`",
    note = "write `impl Execute<{C}> for {Self}` (or `ExecuteWith<{C}>` to see the context), or take `{C}` out of `commands(..)`"
)]
pub trait ExecuteWith<C>: Aggregate {
    /// Which events follow from the command, or why none do. Pure: no I/O, no clock, no randomness.
    ///
    /// # Errors
    /// The domain's refusal.
    fn execute_with(&self, command: &C, context: &Context<'_, Self>) -> Decision<Self>;
}

impl<A: Execute<C>, C> ExecuteWith<C> for A {
    fn execute_with(&self, command: &C, _context: &Context<'_, Self>) -> Decision<Self> {
        Execute::execute(self, command)
    }
}

/// Takes in one kind of event.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not apply `{E}`",
    label = "missing `impl Apply<{E}> for {Self}`",
    note = "write `impl Apply<{E}> for {Self}`, or take `{E}` out of `events(..)`"
)]
pub trait Apply<E> {
    /// Changes the state by what has happened. It cannot refuse, and is pure.
    fn apply(&mut self, event: &E);
}

/// Decides one kind of command outside the aggregate, with I/O: prices, id generators, uniqueness.
///
/// The command is listed in `#[aggregate(outside(..))]`. The handler sees the current state and
/// returns events that are appended under the version of that state. After a conflict it runs again.
/// Commands on the same aggregate wait for it.
pub trait CommandHandler<C>: Send + Sync + 'static {
    /// The aggregate whose events it decides.
    type Aggregate: Aggregate;

    /// Which events follow from the command, or why none do.
    ///
    /// Not cancelled once it runs, except by the process.
    ///
    /// # Errors
    /// The domain's refusal.
    fn handle(
        &self,
        command: &C,
        state: &Self::Aggregate,
        context: &Context<'_, Self::Aggregate>,
    ) -> impl Future<Output = Decision<Self::Aggregate>> + Send;
}

/// What a decision may know besides command and state. There is no clock in it.
pub struct Context<'a, A: Aggregate> {
    id: &'a A::Id,
    version: StreamVersion,
    command_id: CommandId,
    correlation_id: CorrelationId,
    metadata: &'a Metadata,
}

impl<'a, A: Aggregate> Context<'a, A> {
    /// The context of a decision.
    pub fn new(
        id: &'a A::Id,
        version: StreamVersion,
        command_id: CommandId,
        correlation_id: CorrelationId,
        metadata: &'a Metadata,
    ) -> Self {
        Self {
            id,
            version,
            command_id,
            correlation_id,
            metadata,
        }
    }

    /// The aggregate's id.
    pub fn id(&self) -> &'a A::Id {
        self.id
    }

    /// The version of the stream that the decision is made on.
    pub fn version(&self) -> StreamVersion {
        self.version
    }

    /// Whether the aggregate has events.
    pub fn exists(&self) -> bool {
        self.version > StreamVersion::NONE
    }

    /// The id of the command.
    pub fn command_id(&self) -> CommandId {
        self.command_id
    }

    /// The piece of business that the command belongs to.
    pub fn correlation_id(&self) -> CorrelationId {
        self.correlation_id
    }

    /// Who gave the command.
    pub fn actor(&self) -> Option<&'a str> {
        self.metadata.actor.as_deref()
    }

    /// On whose behalf.
    pub fn tenant(&self) -> Option<&'a str> {
        self.metadata.tenant.as_deref()
    }

    /// All metadata that the events will carry.
    pub fn metadata(&self) -> &'a Metadata {
        self.metadata
    }
}

impl<A: Aggregate> fmt::Debug for Context<'_, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("version", &self.version)
            .field("command_id", &self.command_id)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}
