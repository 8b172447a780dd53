//! A record per command, to a sink of the user's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use time::OffsetDateTime;

use super::{Halt, HaltReason, Middleware, Next, Outcome, Request};
use crate::clock::{Clock, SystemClock};
use crate::{
    BoxError, CausationId, CommandId, CorrelationId, GlobalPosition, Metadata, StreamId,
    StreamVersion,
};

/// Hands a record of every command to a sink when its outcome is known.
///
/// A sink that fails does not change the outcome; the failure is logged as an error.
#[derive(Debug)]
pub struct Audit<S> {
    sink: S,
    clock: Arc<dyn Clock>,
    with_payload: bool,
}

/// Takes the records of an [`Audit`].
#[async_trait]
pub trait AuditSink: Send + Sync + 'static {
    /// Keeps one record. The command's caller waits for it.
    ///
    /// # Errors
    /// Whatever keeps it from keeping the record.
    async fn record(&self, record: AuditRecord) -> Result<(), BoxError>;
}

/// What is known about one command.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct AuditRecord {
    /// The id of the command.
    pub command_id: CommandId,
    /// Its name.
    pub command: &'static str,
    /// Its content as JSON, if asked for.
    pub payload: Option<Value>,
    /// The stream of its aggregate.
    pub stream: StreamId,
    /// The piece of business it belongs to.
    pub correlation_id: CorrelationId,
    /// What caused it.
    pub causation_id: Option<CausationId>,
    /// Actor, tenant and whatever else its events carry.
    pub metadata: Metadata,
    /// When it came.
    pub at: OffsetDateTime,
    /// How long it took.
    pub duration: Duration,
    /// What became of it.
    pub outcome: AuditOutcome,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AuditOutcome {
    /// Its events are stored.
    Accepted {
        /// The stream's version after it.
        version: StreamVersion,
        /// The position of its last event.
        position: GlobalPosition,
        /// How many events it produced.
        events: usize,
    },
    /// The domain said no.
    Rejected {
        /// What was said.
        message: String,
    },
    /// A middleware further in stopped it.
    Halted {
        /// What was said.
        message: String,
    },
    /// It failed for another reason.
    Failed {
        /// What was said.
        message: String,
    },
}

impl<S: AuditSink> Audit<S> {
    /// Records to this sink, without the commands' content.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            clock: SystemClock::shared(),
            with_payload: false,
        }
    }

    /// Records the commands' content, too.
    #[must_use]
    pub fn with_payload(mut self) -> Self {
        self.with_payload = true;
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn record(&self, request: &Request, begun: Begun, outcome: AuditOutcome) -> AuditRecord {
        AuditRecord {
            command_id: request.command_id,
            command: request.name(),
            payload: if self.with_payload {
                request.to_json().ok()
            } else {
                None
            },
            stream: request.stream().clone(),
            correlation_id: request.correlation_id,
            causation_id: request.causation_id,
            metadata: request.metadata.clone(),
            at: begun.at,
            duration: self
                .clock
                .instant()
                .saturating_duration_since(begun.instant),
            outcome,
        }
    }
}

struct Begun {
    at: OffsetDateTime,
    instant: std::time::Instant,
}

#[async_trait]
impl<S: AuditSink> Middleware for Audit<S> {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        let begun = Begun {
            at: self.clock.now(),
            instant: self.clock.instant(),
        };
        let outcome = next.run(request).await;
        let record = self.record(request, begun, describe(&outcome));
        if let Err(error) = self.sink.record(record).await {
            tracing::error!(%error, command_id = %request.command_id, "an audit record is lost");
        }
        outcome
    }
}

fn describe(outcome: &Result<Outcome, Halt>) -> AuditOutcome {
    match outcome {
        Ok(Outcome::Accepted {
            version,
            position,
            events,
            ..
        }) => {
            let (version, position, events) = (*version, *position, *events);
            AuditOutcome::Accepted {
                version,
                position,
                events,
            }
        }
        Ok(Outcome::Rejected { message }) => AuditOutcome::Rejected {
            message: message.clone(),
        },
        Ok(Outcome::Failed { message, .. }) => AuditOutcome::Failed {
            message: message.clone(),
        },
        Err(Halt {
            reason: HaltReason::Stopped { by, reason },
        }) => AuditOutcome::Halted {
            message: format!("{by}: {reason}"),
        },
        Err(Halt {
            reason: HaltReason::Invalid(invalid),
        }) => AuditOutcome::Halted {
            message: invalid.to_string(),
        },
    }
}
