//! The steps of a process manager without store and app, for tests.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;
use time::OffsetDateTime;

use super::instance::Instance;
use super::step::{
    Enacted, Unroutable, Verdict, Visit, act, is_hindrance, on_command_failure, on_event, on_timer,
    removal, visits,
};
use super::stored::{StoredInstance, StoredTimer, write};
use super::{ProcessManager, ProcessOptions};
use crate::dispatch::{DispatchError, Rejection};
use crate::handler::{Decoder, Delivery, EventContext, Failure, FailureAction, FailureCause};
use crate::store::{Change, InstanceRecord, OutgoingRecord, SubscriptionKey, TimerRecord};
use crate::subscription::bucket_of;
use crate::{BoxError, Codec, CodecError, GlobalPosition, Upcasters};

/// The steps of a process manager, each from what is stored to what is to be changed; without store and app,
/// for tests.
///
/// They are the steps that a running one takes. When to take which is the caller's to say: that an instance
/// whose commands are not settled waits, for one.
pub struct ProcessSteps<P> {
    subscription: SubscriptionKey,
    decoder: Decoder,
    options: ProcessOptions,
    manager: PhantomData<fn() -> P>,
}

/// What is done about a command that failed: [`ProcessSteps::on_command_failure`].
#[derive(Debug)]
#[non_exhaustive]
pub enum FailedCommandStep {
    /// The process manager is not asked: the command is tried again without end.
    Hindered,
    /// It is dispatched again after this pause.
    Retry(Duration),
    /// It is left out: this is to be changed.
    LeaveOut(Vec<Change>),
    /// Its instance is put aside, for this.
    DeadLetter(String),
    /// The process manager stops, for this.
    Stop(String),
}

impl<P: ProcessManager> ProcessSteps<P> {
    /// For events that are stored in this codec.
    pub fn new(codec: Codec) -> Self {
        Self {
            subscription: SubscriptionKey::new(P::NAME, P::VERSION),
            decoder: Decoder::new(codec, Arc::new(Upcasters::default())),
            options: P::options(),
            manager: PhantomData,
        }
    }

    /// How the process manager works.
    pub fn options(&self) -> &ProcessOptions {
        &self.options
    }

    /// The instances that an event is for, each once.
    ///
    /// # Errors
    /// If it cannot be read or routed.
    pub fn route(&self, context: &EventContext) -> Result<Vec<String>, FailureCause> {
        let visits = self.visits(context)?;
        Ok(visits.into_iter().map(|visit| visit.instance).collect())
    }

    /// What changes by an event for an instance; nothing if it passes it over.
    ///
    /// # Errors
    /// If it cannot be handled.
    pub fn on_event(
        &self,
        context: &EventContext,
        instance: &str,
        stored: Option<&InstanceRecord>,
    ) -> Result<Option<Vec<Change>>, FailureCause> {
        let visits = self.visits(context)?;
        let own = visits.iter().find(|visit| visit.instance == instance);
        let Some(visit) = own else { return Ok(None) };
        let found = stored.map(Instance::<P>::read).transpose();
        let found = found.map_err(FailureCause::Error)?;
        let enacted = on_event(visit, context, found, self.options.reissue)?;
        Ok(enacted.map(Enacted::changes))
    }

    /// What the process manager says about an event that an instance, or nobody yet, could not handle.
    pub fn on_failure(
        &self,
        context: &EventContext,
        instance: Option<&str>,
        cause: FailureCause,
    ) -> (Failure, FailureAction) {
        let mut failure = Failure::outside(context, cause);
        failure.attempts_max = self.options.subscription.attempts;
        if let Some(instance) = instance {
            instance.clone_into(&mut failure.key);
        }
        let action = act::<P>(&failure);
        (failure, action)
    }

    /// What changes by a timer that is due.
    ///
    /// # Errors
    /// If it cannot be handled.
    pub fn on_timer(
        &self,
        timer: &TimerRecord,
        stored: Option<&InstanceRecord>,
        delivery: Delivery,
    ) -> Result<Vec<Change>, FailureCause> {
        let mut changes = vec![removal(timer)];
        let found = stored.map(Instance::<P>::read).transpose();
        let found = found.map_err(FailureCause::Error)?;
        let Some(instance) = found.filter(|instance| !instance.finished) else {
            return Ok(changes);
        };
        let set_by_replay = StoredTimer::read(timer).is_ok_and(|stored| stored.replay);
        let replay = set_by_replay && delivery == Delivery::Replay;
        let enacted = on_timer(timer, instance, replay, self.options.reissue)?;
        changes.extend(enacted.changes());
        Ok(changes)
    }

    /// What is done about a command that failed.
    pub fn on_command_failure(
        &self,
        command: &OutgoingRecord,
        stored: Option<&InstanceRecord>,
        error: DispatchError<Rejection>,
    ) -> FailedCommandStep {
        if is_hindrance(&error) {
            return FailedCommandStep::Hindered;
        }
        let found = stored.map(Instance::<P>::read).transpose();
        let whose = (&self.subscription, &self.options);
        match on_command_failure(command, found, error, whose) {
            Verdict::Retry(pause) => FailedCommandStep::Retry(pause),
            Verdict::DeadLetter(error) => FailedCommandStep::DeadLetter(error),
            Verdict::Stop(reason) => FailedCommandStep::Stop(reason),
            Verdict::LeaveOut(left) => FailedCommandStep::LeaveOut(left.effect.changes),
        }
    }

    /// The state of an instance, [migrated](ProcessManager::migrate) if need be.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn state(&self, stored: &InstanceRecord) -> Result<P, BoxError> {
        Ok(Instance::read(stored)?.state)
    }

    /// An instance as it is stored with this state, of this version of its shape.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn stored(
        &self,
        instance: &str,
        version: u32,
        state: Value,
    ) -> Result<InstanceRecord, CodecError> {
        Ok(InstanceRecord {
            id: instance.to_owned(),
            bucket: bucket_of(instance),
            position: GlobalPosition::ORIGIN,
            finished: false,
            data: self.data(version, state)?,
            changed_at: OffsetDateTime::UNIX_EPOCH,
        })
    }

    fn data(&self, version: u32, state: Value) -> Result<Bytes, CodecError> {
        write(&StoredInstance {
            version,
            state,
            issued: 0,
            failed_timer: None,
            failed_command: None,
        })
    }

    fn visits(&self, context: &EventContext) -> Result<Vec<Visit<P>>, FailureCause> {
        // As they are routed when they are read, whatever becomes of them then.
        let context = context.clone().delivered(Delivery::Live).attempted(1);
        visits(&self.decoder, &context).map_err(|problem| match problem {
            Unroutable::Newer(error) => FailureCause::Undecodable(error),
            Unroutable::Failed(cause) => cause,
        })
    }
}

impl<P: ProcessManager> fmt::Debug for ProcessSteps<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessSteps({})", P::NAME)
    }
}
