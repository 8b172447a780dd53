//! What wraps every dispatch.

mod audit;
mod trace;
mod validation;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::Value;

pub use self::audit::{Audit, AuditOutcome, AuditRecord, AuditSink};
pub use self::trace::Trace;
pub use self::validation::Validation;
use crate::{
    Aggregate, BoxError, CausationId, CommandId, CommandSet, CorrelationId, GlobalPosition,
    Invalid, Metadata, Routed, StreamId, StreamVersion,
};

/// Wraps every dispatch of an app.
///
/// The middleware that was added first is the outermost: it sees the command first and the outcome
/// last. What stands before `next.run(..)` runs before the dispatch; what stands after it, when the
/// outcome is known. Returning [`Halt`] instead of calling it stops the command.
///
/// With middleware, two dispatches that are begun together may reach their aggregate in either order, and a
/// dispatch whose future is dropped goes on to its end, so that what stands
/// after `next.run(..)` runs for every command that was begun.
///
/// ```
/// use ordain::middleware::{Halt, Middleware, Next, Outcome, Request};
///
/// struct StampTenant;
///
/// #[async_trait::async_trait]
/// impl Middleware for StampTenant {
///     async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
///         if request.metadata.actor.is_none() {
///             return Err(Halt::because("StampTenant", "nobody is logged in"));
///         }
///         request.metadata.tenant = Some("main".into());
///         next.run(request).await
///     }
/// }
/// ```
#[async_trait]
pub trait Middleware: Send + Sync + 'static {
    /// Wraps one dispatch.
    ///
    /// The caller's answer is what became of the command. Once it was dispatched, a `Halt` changes
    /// nothing about it.
    ///
    /// # Errors
    /// A [`Halt`] stops the command.
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt>;

    /// Sees every attempt at a command just before the aggregate decides it: the first, and one more
    /// after each conflict.
    ///
    /// Must not block.
    fn attempt(&self, attempt: &Attempt<'_>) {
        let _ = attempt;
    }
}

/// A command on its way, as middleware sees it. What is changed here is what is dispatched.
#[non_exhaustive]
pub struct Request {
    command: Arc<dyn AnyCommand>,
    stream: StreamId,
    /// The id that the command came with.
    original_id: CommandId,
    /// The id of the command. Another one put here counts as given by the caller.
    pub command_id: CommandId,
    /// The piece of business it belongs to.
    pub correlation_id: CorrelationId,
    /// What caused it.
    pub causation_id: Option<CausationId>,
    /// What its events will carry.
    pub metadata: Metadata,
}

impl Request {
    pub(crate) fn new<A: Aggregate>(
        command: Arc<Routed<A>>,
        stream: StreamId,
        command_id: CommandId,
        correlation_id: CorrelationId,
        causation_id: Option<CausationId>,
        metadata: Metadata,
    ) -> Self {
        Self {
            command,
            stream,
            original_id: command_id,
            command_id,
            correlation_id,
            causation_id,
            metadata,
        }
    }

    /// The command's id, if it was given, by the caller or by a middleware.
    pub(crate) fn given_command_id(&self, by_caller: bool) -> Option<CommandId> {
        let is_given = by_caller || self.command_id != self.original_id;
        is_given.then_some(self.command_id)
    }

    /// The stream of its aggregate.
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// The name of the command.
    pub fn name(&self) -> &'static str {
        self.command.name()
    }

    /// What can be said against the command without knowing the aggregate.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.command.validate()
    }

    /// The command as JSON.
    ///
    /// # Errors
    /// What JSON cannot express.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        self.command.to_json()
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("name", &self.name())
            .field("stream", &self.stream)
            .field("command_id", &self.command_id)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

trait AnyCommand: Send + Sync {
    fn name(&self) -> &'static str;
    fn validate(&self) -> Result<(), Invalid>;
    fn to_json(&self) -> Result<Value, serde_json::Error>;
}

impl<A: Aggregate> AnyCommand for Routed<A> {
    fn name(&self) -> &'static str {
        match self {
            Self::Decide(command) => command.name(),
            Self::Outside(command) => command.name(),
        }
    }

    fn validate(&self) -> Result<(), Invalid> {
        match self {
            Self::Decide(command) => command.validate(),
            Self::Outside(command) => command.validate(),
        }
    }

    fn to_json(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Decide(command) => command.to_json(),
            Self::Outside(command) => command.to_json(),
        }
    }
}

/// What became of a command, as middleware sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// Its events are stored.
    #[non_exhaustive]
    Accepted {
        /// The stream's version after it.
        version: StreamVersion,
        /// The position of its last event.
        position: GlobalPosition,
        /// How many events it produced.
        events: usize,
        /// How often it was redone after a conflict.
        retries: u32,
        /// Whether it had been carried out before.
        repeated: bool,
    },
    /// The domain said no, or it needed an existing or an absent aggregate.
    #[non_exhaustive]
    Rejected {
        /// What was said.
        message: String,
    },
    /// It failed for another reason.
    #[non_exhaustive]
    Failed {
        /// What was said.
        message: String,
        /// Whether it may have succeeded all the same.
        unknown: bool,
    },
}

/// A middleware's word that a command is not to be dispatched.
#[derive(Debug)]
pub struct Halt {
    pub(crate) reason: HaltReason,
}

#[derive(Debug)]
pub(crate) enum HaltReason {
    Stopped { by: String, reason: BoxError },
    Invalid(Invalid),
}

impl Halt {
    /// Stops the command; the caller gets [`DispatchError::Halted`](crate::DispatchError::Halted).
    pub fn because(by: impl Into<String>, reason: impl Into<BoxError>) -> Self {
        Self {
            reason: HaltReason::Stopped {
                by: by.into(),
                reason: reason.into(),
            },
        }
    }

    /// Stops the command; the caller gets [`DispatchError::Invalid`](crate::DispatchError::Invalid).
    pub fn invalid(invalid: Invalid) -> Self {
        Self {
            reason: HaltReason::Invalid(invalid),
        }
    }
}

/// An attempt at a command.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Attempt<'a> {
    /// The name of the command.
    pub name: &'static str,
    /// The stream of its aggregate.
    pub stream: &'a StreamId,
    /// The id of the command.
    pub command_id: CommandId,
    /// Which attempt, from 1.
    pub number: u32,
    /// The version that it is decided on.
    pub version: StreamVersion,
}

impl<'a> Attempt<'a> {
    pub(crate) fn of<A: Aggregate>(
        command: &Routed<A>,
        stream: &'a StreamId,
        command_id: CommandId,
        number: u32,
        version: StreamVersion,
    ) -> Self {
        Self {
            name: AnyCommand::name(command),
            stream,
            command_id,
            number,
            version,
        }
    }
}

/// The rest of the way: the middleware further in, and the dispatch itself.
pub struct Next<'a> {
    rest: &'a [Arc<dyn Middleware>],
    dispatch: &'a dyn Innermost,
}

impl<'a> Next<'a> {
    pub(crate) fn new(rest: &'a [Arc<dyn Middleware>], dispatch: &'a dyn Innermost) -> Self {
        Self { rest, dispatch }
    }

    /// Goes the rest of the way.
    ///
    /// # Errors
    /// The `Halt` of a middleware further in.
    pub async fn run(self, request: &mut Request) -> Result<Outcome, Halt> {
        match self.rest.split_first() {
            Some((first, rest)) => {
                first
                    .dispatch(
                        request,
                        Next {
                            rest,
                            dispatch: self.dispatch,
                        },
                    )
                    .await
            }
            None => Ok(self.dispatch.dispatch(request).await),
        }
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Next({} more)", self.rest.len())
    }
}

/// The dispatch itself, behind all middleware.
#[async_trait]
pub(crate) trait Innermost: Send + Sync {
    async fn dispatch(&self, request: &Request) -> Outcome;
}
