//! Takes the steps of a test.

use ordain::store::{Change, OutgoingRecord, SubscriptionKey, TimerRecord};
use ordain::{
    Codec, DispatchError, EventContext, EventSet, FailedCommandStep, FailureAction, FailureCause,
    ProcessManager, ProcessOutgoing, Rejection,
};
use time::OffsetDateTime;

use super::happening::{Failed, Fate, Happening, Outcome};
use super::{Happened, ProcessTest};
use crate::stored::through_the_codec;

/// How many timers may fire at once; beyond that, they do it for ever.
const FIRINGS_MAX: u32 = 100_000;

impl<P: ProcessManager> ProcessTest<P> {
    pub(super) fn happened(self, last: Happening) -> Happened<P> {
        Happened {
            test: self,
            last,
            of: None,
        }
    }

    #[track_caller]
    pub(super) fn deliver(&mut self, event: P::Events) -> Happening {
        let name = event.event_type().name;
        self.check_running(&format!("`{name}`"));
        let event = through_the_codec(&event).unwrap_or_else(|problem| panic!("{problem}"));
        let recorded = self.recorder.record(&event, &Codec::Json);
        let context = EventContext::outside(recorded)
            .delivered(self.delivery)
            .delivered_by(SubscriptionKey::new(P::NAME, P::VERSION))
            .attempted(self.attempt);
        let mut last = Happening::new(format!("`{name}`"));
        self.take(&context, &mut last);
        last.event = Some(context);
        last
    }

    /// Has an event handled by the instances it is for.
    #[track_caller]
    pub(super) fn take(&mut self, context: &EventContext, last: &mut Happening) {
        let instances = match self.steps.route(context) {
            Ok(instances) => instances,
            Err(cause) => return self.fail_event(context, None, cause, last),
        };
        for instance in instances {
            self.visit(context, &instance, last);
        }
    }

    #[track_caller]
    pub(super) fn visit(&mut self, context: &EventContext, instance: &str, last: &mut Happening) {
        if let Some(reason) = self.kept.aside.get(instance) {
            return last.note(instance, Outcome::Waits(reason.clone()));
        }
        let stored = self.kept.instances.get(instance);
        match self.steps.on_event(context, instance, stored) {
            Ok(None) => last.note(instance, Outcome::PassedOver),
            Ok(Some(changes)) => {
                last.note(instance, Outcome::Handled);
                self.change(changes, context.recorded_at(), last);
            }
            Err(cause) => self.fail_event(context, Some(instance), cause, last),
        }
    }

    fn fail_event(
        &mut self,
        context: &EventContext,
        instance: Option<&str>,
        cause: FailureCause,
        last: &mut Happening,
    ) {
        let (failure, mut action) = self.steps.on_failure(context, instance, cause);
        if instance.is_none() && action == FailureAction::DeadLetter {
            // It has no instance that could be put aside.
            action = FailureAction::Stop;
        }
        if is_retry(action) {
            let open = (instance.map(str::to_owned), context.clone());
            self.open_events.push(open);
        }
        let failed = Failed {
            error: failure.cause.to_string(),
            attempts: failure.attempts,
            action,
            timer: None,
        };
        self.fail(instance, failed, last);
    }

    fn fail(&mut self, instance: Option<&str>, failed: Failed, last: &mut Happening) {
        match (failed.action, instance) {
            (FailureAction::Stop, _) => self.halted = Some(failed.error.clone()),
            (FailureAction::DeadLetter, Some(id)) => {
                self.kept.aside.insert(id.to_owned(), failed.error.clone());
            }
            _ => {}
        }
        last.fates.push(Fate {
            instance: instance.map(str::to_owned),
            outcome: Outcome::Failed(failed),
        });
    }

    #[track_caller]
    fn change(&mut self, changes: Vec<Change>, at: OffsetDateTime, last: &mut Happening) {
        let new = self.kept.change(&self.steps, changes, at);
        last.new.absorb(new);
    }

    /// Fires the timers that are due, each that could not be handled before with its next attempt.
    #[track_caller]
    pub(super) fn fire_due(&mut self, last: &mut Happening) {
        let before = std::mem::take(&mut self.open_timers);
        for _ in 0..FIRINGS_MAX {
            let open: Vec<_> = self.open_timers.iter().map(|(timer, _)| timer).collect();
            let Some(timer) = self.kept.due(self.recorder.recorded_at, &open) else {
                return;
            };
            let tried = before.iter().find(|(known, _)| *known == timer);
            let attempt = tried.map_or(self.attempt, |(_, tried)| tried + 1);
            self.fire(timer, attempt, last);
        }
        panic!(
            "{}: {FIRINGS_MAX} timers have fired, and more are due: do they set each other without a pause?",
            last.what
        );
    }

    #[track_caller]
    fn fire(&mut self, timer: TimerRecord, attempt: u32, last: &mut Happening) {
        let instance = &timer.instance;
        let stored = self.kept.instances.get(instance);
        let cause = match self.steps.on_timer(&timer, stored, self.delivery) {
            Ok(changes) => {
                last.note(instance, Outcome::Handled);
                return self.change(changes, timer.due_at, last);
            }
            Err(cause) => cause,
        };
        let is_last = attempt >= self.steps.options().subscription.attempts;
        if !is_last {
            self.open_timers.push((timer.clone(), attempt));
        }
        let failed = Failed {
            error: cause.to_string(),
            attempts: attempt,
            action: match is_last {
                true => FailureAction::DeadLetter,
                false => FailureAction::Retry,
            },
            timer: Some(timer.key.clone()),
        };
        self.fail(Some(instance), failed, last);
    }

    /// What was wrong with a command, as the process manager answers it.
    #[track_caller]
    pub(super) fn fail_command(
        &mut self,
        command: &OutgoingRecord,
        error: DispatchError<Rejection>,
    ) -> Happening {
        let id = &command.instance;
        let name = ProcessOutgoing::from(command).name;
        let mut last = Happening::new(format!("the failure of `{name}`"));
        assert!(
            !matches!(error, DispatchError::Settled { .. }),
            "{}: a command that somebody else has settled is not handed to the process manager; write \
             `.when_succeeded()`",
            last.what
        );
        let stored = self.kept.instances.get(id);
        let outcome = match self.steps.on_command_failure(command, stored, error) {
            FailedCommandStep::Hindered => Outcome::Retried(None),
            FailedCommandStep::Retry(pause) => {
                self.kept.tried(command);
                Outcome::Retried(Some(pause))
            }
            FailedCommandStep::LeaveOut(changes) => {
                self.change(changes, issued_at(command), &mut last);
                Outcome::LeftOut
            }
            FailedCommandStep::DeadLetter(reason) => {
                self.kept.tried(command);
                self.kept.aside.insert(id.clone(), reason.clone());
                Outcome::PutAside(reason)
            }
            FailedCommandStep::Stop(reason) => {
                self.halted = Some(reason.clone());
                Outcome::Halted(reason)
            }
            other => unreachable!("a step that this test does not know: {other:?}"),
        };
        last.note(id, outcome);
        last
    }

    /// Whether something is to be tried again.
    pub(super) fn is_open(&self) -> bool {
        let is_there = |(timer, _): &(TimerRecord, u32)| self.kept.has(timer);
        !self.open_events.is_empty() || self.open_timers.iter().any(is_there)
    }

    #[track_caller]
    pub(super) fn check_running(&self, what: &str) {
        if let Some(reason) = &self.halted {
            panic!(
                "{what}: nothing comes any more, since the process manager has stopped: {reason}"
            );
        }
    }
}

fn is_retry(action: FailureAction) -> bool {
    matches!(action, FailureAction::Retry | FailureAction::RetryAfter(_))
}

/// When a command was issued, as its id says.
fn issued_at(command: &OutgoingRecord) -> OffsetDateTime {
    let millis = i128::from(command.command_id.unix_millis().unwrap_or_default());
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}
