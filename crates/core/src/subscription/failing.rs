//! What becomes of an event that cannot be handled.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use time::OffsetDateTime;

use super::consumer::{Consumer, Incoming};
use super::control;
use super::runner::{End, Runner};
use crate::GlobalPosition;
use crate::clock::time_after;
use crate::handler::{Failure, FailureAction, FailureCause};
use crate::store::{Block, BlockKind, Change, Trouble};

impl<C: Consumer> Runner<C> {
    /// Tries an event that failed again, until it is handled or given up.
    pub(super) async fn struggle(
        &mut self,
        event: &Incoming,
        to: GlobalPosition,
        mut cause: FailureCause,
    ) -> Result<(), End> {
        let key = self.key_of(event);
        let mut attempts = 1;
        loop {
            let failure = self.failure(event, key, attempts, cause);
            let judge = || self.work.consumer.on_failure(&failure);
            let action = std::panic::catch_unwind(AssertUnwindSafe(judge))
                .unwrap_or_else(|_| failure.default_action());
            let pause = match self.judge(action, attempts) {
                Verdict::Again(pause) => pause,
                Verdict::Skip => {
                    tracing::warn!(subscription = %failure.subscription, event = %event.event.event_id, error = %failure.cause, "an event is skipped");
                    return self.skip(to).await;
                }
                Verdict::Stop => return self.stop(&failure).await,
                Verdict::DeadLetter => return self.dead_letter(failure, to).await,
            };
            self.tell_trouble(&failure, pause).await?;
            self.pause(pause).await?;
            attempts = attempts.saturating_add(1);
            let progress = self.checkpoint.progress_to(to);
            match self
                .attempt(std::slice::from_ref(event), attempts, progress)
                .await?
            {
                Ok(written) => return self.done(written, to, 1).await,
                Err(again) => cause = again,
            }
        }
    }

    pub(super) fn failure(
        &self,
        event: &Incoming,
        key: &str,
        attempts: u32,
        cause: FailureCause,
    ) -> Failure {
        Failure {
            subscription: event.subscription.clone(),
            event: (*event.event).clone(),
            key: key.to_owned(),
            attempts,
            attempts_max: self.work.options.attempts,
            cause,
        }
    }

    fn judge(&self, action: FailureAction, attempts: u32) -> Verdict {
        let options = &self.work.options;
        match action {
            FailureAction::Retry => Verdict::Again(options.retry.pause(attempts)),
            FailureAction::RetryAfter(pause) => Verdict::Again(pause),
            FailureAction::Skip => Verdict::Skip,
            FailureAction::Stop => Verdict::Stop,
            // Where one key after the other fails, or too many have failed, it is not the events' fault.
            FailureAction::DeadLetter
                if self.failing_keys >= options.outage_after
                    || self.blocks.dead_letters() >= options.blocked_max =>
            {
                Verdict::Again(options.retry.pause(attempts))
            }
            FailureAction::DeadLetter => Verdict::DeadLetter,
        }
    }

    async fn skip(&mut self, to: GlobalPosition) -> Result<(), End> {
        self.checkpoint.reach(to, 1);
        self.in_trouble = false;
        let changes = vec![Change::Trouble(None)];
        self.checkpoint.write_with(Vec::new(), changes).await?;
        Ok(())
    }

    async fn tell_trouble(&mut self, failure: &Failure, pause: Duration) -> Result<(), End> {
        let error = failure.cause.to_string();
        tracing::warn!(subscription = %failure.subscription, event = %failure.event.event_id, attempts = failure.attempts, error, "an event cannot be handled; it is tried again");
        let trouble = Trouble {
            position: failure.event.read_position(),
            error,
            attempts: failure.attempts,
            next_attempt: Some(time_after(OffsetDateTime::now_utc(), pause)),
        };
        self.in_trouble = true;
        let changes = vec![Change::Trouble(Some(trouble))];
        self.checkpoint.write_with(Vec::new(), changes).await?;
        Ok(())
    }

    async fn dead_letter(&mut self, failure: Failure, to: GlobalPosition) -> Result<(), End> {
        tracing::error!(subscription = %failure.subscription, key = failure.key, event = %failure.event.event_id, error = %failure.cause, "an event is dead-lettered; later events of its key wait");
        let block = Block {
            key: failure.key,
            kind: BlockKind::DeadLetter,
            position: failure.event.read_position(),
            event_id: Some(failure.event.event_id),
            error: failure.cause.to_string(),
            attempts: failure.attempts,
            since: OffsetDateTime::now_utc(),
            request: None,
        };
        self.failing_keys += 1;
        self.in_trouble = false;
        self.checkpoint.reach(to, 1);
        let changes = vec![Change::Block(block.clone()), Change::Trouble(None)];
        self.checkpoint.write_with(Vec::new(), changes).await?;
        self.blocks.put(block);
        Ok(())
    }

    async fn stop(&mut self, failure: &Failure) -> Result<(), End> {
        tracing::error!(subscription = %failure.subscription, event = %failure.event.event_id, error = %failure.cause, "the subscription stops");
        self.checkpoint.write().await?;
        let reason = format!(
            "event {} at position {}: {}",
            failure.event.event_id,
            failure.event.read_position(),
            failure.cause
        );
        let store = &*self.partition.hub.store;
        let stopped = control::stop(store, &failure.subscription, reason).await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "that the subscription stops cannot be written; it is tried again");
            self.pause(self.work.options.retry.first).await?;
        }
        self.partition.hub.wake.notify_one();
        Err(End::Stopped)
    }
}

enum Verdict {
    Again(Duration),
    Skip,
    DeadLetter,
    Stop,
}
