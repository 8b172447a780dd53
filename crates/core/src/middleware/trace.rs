//! A span around every dispatch.

use async_trait::async_trait;
use tracing::{Instrument, Span, field};

use super::{Attempt, Halt, Middleware, Next, Outcome, Request};

/// Puts a `dispatch` span around every command, with its outcome.
///
/// Fields: `command`, `stream`, `command_id`, `correlation_id`, `outcome` (`accepted`, `rejected`,
/// `failed`, `halted`), `version`, `events`, `retries`. Retries are logged at debug, failures at
/// warn, rejections at debug.
#[derive(Debug, Clone, Copy, Default)]
pub struct Trace;

#[async_trait]
impl Middleware for Trace {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        let span = tracing::info_span!(
            "dispatch",
            command = request.name(),
            stream = %request.stream(),
            command_id = %request.command_id,
            correlation_id = %request.correlation_id,
            outcome = field::Empty,
            version = field::Empty,
            events = field::Empty,
            retries = field::Empty,
        );
        let outcome = next.run(request).instrument(span.clone()).await;
        span.in_scope(|| record(&span, &outcome));
        outcome
    }

    fn attempt(&self, attempt: &Attempt<'_>) {
        if attempt.number > 1 {
            let (number, stream) = (attempt.number, attempt.stream);
            tracing::debug!(command = attempt.name, %stream, number, "redoing after a conflict");
        }
    }
}

fn record(span: &Span, outcome: &Result<Outcome, Halt>) {
    match outcome {
        Ok(Outcome::Accepted {
            version,
            events,
            retries,
            ..
        }) => {
            span.record("outcome", "accepted");
            span.record("version", version.get());
            span.record("events", *events);
            span.record("retries", *retries);
            tracing::debug!("command accepted");
        }
        Ok(Outcome::Rejected { message }) => {
            span.record("outcome", "rejected");
            tracing::debug!(%message, "command rejected");
        }
        Ok(Outcome::Failed { message, .. }) => {
            span.record("outcome", "failed");
            tracing::warn!(%message, "command failed");
        }
        Err(halt) => {
            span.record("outcome", "halted");
            tracing::debug!(?halt, "command halted");
        }
    }
}
