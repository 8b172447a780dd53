//! What becomes of one instance by an event, by a timer, by a command that failed. Without a store, and without
//! a clock.

use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;

use super::instance::{Effect, Instance, Trigger, guarded};
use super::options::ProcessOptions;
use super::route::{Step, StepKind};
use super::stored::{FailedCommand, Origin, Source, StoredCommand, StoredTimer};
use super::{
    CommandAction, CommandFailure, ProcessContext, ProcessManager, Reaction, TimerContext,
};
use crate::dispatch::{DispatchError, Rejection};
use crate::handler::{Decoder, Delivery, EventContext, Failure, FailureAction, FailureCause};
use crate::store::{Change, InstanceRecord, OutgoingRecord, SubscriptionKey, TimerRecord};
use crate::stream::check_instance;
use crate::{BoxError, CommandId, DecodeError, DecodeProblem, Part, RecordedEvent};

/// An event for an instance.
pub(super) struct Visit<P: ProcessManager> {
    pub(super) event: Arc<RecordedEvent>,
    pub(super) instance: String,
    parts: Arc<Vec<Part<P::Events>>>,
    /// Which parts, and what they mean to the instance.
    steps: Vec<(usize, Step)>,
}

/// Why an event cannot be routed.
#[derive(Debug)]
pub(super) enum Unroutable {
    /// It was written by a newer program.
    Newer(DecodeError),
    Failed(FailureCause),
}

/// What becomes of an instance.
pub(super) struct Enacted<P> {
    pub(super) instance: Instance<P>,
    pub(super) record: InstanceRecord,
    pub(super) effect: Effect,
}

/// What is done about a command that failed.
pub(super) enum Verdict<P> {
    /// It is dispatched again after this pause.
    Retry(Duration),
    /// Its instance is put aside, for this.
    DeadLetter(String),
    /// The process manager stops, for this.
    Stop(String),
    LeaveOut(Box<LeftOut<P>>),
}

/// A command is left out: alone, or with all behind it for something else.
pub(super) struct LeftOut<P> {
    pub(super) failure: CommandFailure,
    pub(super) is_alone: bool,
    pub(super) instance: Instance<P>,
    pub(super) effect: Effect,
}

impl<P> Enacted<P> {
    /// All that is to be changed.
    pub(super) fn changes(self) -> Vec<Change> {
        let mut changes = self.effect.changes;
        changes.push(Change::PutInstance(self.record));
        changes
    }
}

/// Which instances an event is for.
pub(super) fn visits<P: ProcessManager>(
    decoder: &Decoder,
    context: &EventContext,
) -> Result<Vec<Visit<P>>, Unroutable> {
    let parts = Arc::new(decoder.parts::<P::Events>(&context.event)?);
    let mut visits: Vec<Visit<P>> = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        for (instance, step) in route::<P>(part, context).map_err(Unroutable::Failed)? {
            let visit = visits.iter_mut().find(|visit| visit.instance == instance);
            match visit {
                Some(visit) if visit.steps.contains(&(place, step)) => {}
                Some(visit) => visit.steps.push((place, step)),
                None => visits.push(Visit {
                    event: Arc::clone(&context.event),
                    instance,
                    parts: Arc::clone(&parts),
                    steps: vec![(place, step)],
                }),
            }
        }
    }
    Ok(visits)
}

fn route<P: ProcessManager>(
    part: &Part<P::Events>,
    context: &EventContext,
) -> Result<Vec<(String, Step)>, FailureCause> {
    let mut context = context.clone();
    context.part = part.index;
    let routed: Vec<_> = guarded(|| {
        let route = P::route(&part.event, &context);
        let texts = route.steps().map(|(id, step)| (id.to_string(), step));
        texts.collect()
    })?;
    routed.iter().try_for_each(|(id, _)| check_routed(id))?;
    Ok(routed)
}

/// What no store could keep is refused here, where it is one event's fault.
fn check_routed(id: &str) -> Result<(), FailureCause> {
    check_instance(id).map_err(|problem| {
        let id: String = id.chars().take(100).collect();
        let error =
            format!("it is routed to `{id}`, which cannot be the id of an instance: {problem}");
        FailureCause::Error(error.into())
    })
}

/// What an instance becomes by an event, and what it does about it; nothing if it passes it over.
pub(super) fn on_event<P: ProcessManager>(
    visit: &Visit<P>,
    context: &EventContext,
    found: Option<Instance<P>>,
    reissue: bool,
) -> Result<Option<Enacted<P>>, FailureCause> {
    let id = &visit.instance;
    let mut is_there = found.as_ref().is_some_and(|instance| !instance.finished);
    let (mut effect, mut is_touched) = (Effect::default(), false);
    let mut instance = found.unwrap_or_else(Instance::new);
    // How many commands the same part has issued: it may end an instance and begin it anew.
    let mut issued = (0, 0);
    for (place, step) in &visit.steps {
        if !admits(step, is_there)? {
            let event = visit.event.event_id;
            tracing::debug!(manager = P::NAME, instance = %id, %event, "there is no such instance; the event is passed over");
            continue;
        }
        if !is_there {
            instance.begin();
        }
        let part = &visit.parts[*place];
        let mut context = context.clone();
        context.part = part.index;
        let context = ProcessContext::new(context, id.clone());
        let stops = step.kind == StepKind::Stop;
        if issued.0 != *place {
            issued = (*place, 0);
        }
        let done = on_part(part, context, (&mut instance, stops), issued.1, reissue)?;
        issued.1 += done.issued.len();
        effect.absorb(done);
        is_touched = true;
        is_there = !instance.finished;
    }
    if !is_touched {
        return Ok(None);
    }
    instance.position = visit.event.read_position();
    let record = guarded(|| instance.record(id))?.map_err(|error| failed(error.into()))?;
    Ok(Some(Enacted {
        instance,
        record,
        effect,
    }))
}

fn on_part<P: ProcessManager>(
    part: &Part<P::Events>,
    context: ProcessContext,
    (instance, stops): (&mut Instance<P>, bool),
    first: usize,
    reissue: bool,
) -> Result<Effect, FailureCause> {
    let reaction = guarded(|| instance.state.handle(&part.event, &context))?;
    guarded(|| instance.state.apply(&part.event))?;
    let mut parts = reaction.into_parts().map_err(failed)?;
    parts.stops |= stops;
    let trigger = Trigger {
        instance: context.instance(),
        source: Source::Event {
            id: context.event_id().as_uuid(),
            part: part.index,
        },
        generation: 0,
        first,
        time: context.recorded_at(),
        origin: Origin::of_event(&context),
        replay: context.delivery() == Delivery::Replay,
        reissue,
    };
    let effect = instance.enact(parts, &trigger);
    effect.map_err(|error| failed(error.into()))
}

/// Whether an instance is concerned by an event that means this to it.
fn admits(step: &Step, is_there: bool) -> Result<bool, FailureCause> {
    match (step.kind, is_there) {
        (StepKind::Start, true) if step.strict => Err(failed(
            "the event starts an instance that is there already".into(),
        )),
        (StepKind::Continue | StepKind::Stop, false) if step.strict => Err(failed(
            "the event continues or stops an instance that is not there".into(),
        )),
        (StepKind::Continue | StepKind::Stop, false) => Ok(false),
        _ => Ok(true),
    }
}

/// What an instance becomes by a timer, and what it does about it.
pub(super) fn on_timer<P: ProcessManager>(
    timer: &TimerRecord,
    mut instance: Instance<P>,
    replay: bool,
    reissue: bool,
) -> Result<Enacted<P>, FailureCause> {
    let stored = StoredTimer::read(timer).map_err(|error| failed(error.into()))?;
    let payload = serde_json::from_value::<P::Timer>(stored.payload);
    let payload = payload.map_err(|error| failed(error.into()))?;
    let context = TimerContext::new(&*timer.instance, &*timer.key, timer.due_at);
    let reaction: Reaction<P> = guarded(|| instance.state.on_timer(&payload, &context))?;
    guarded(|| instance.state.apply_timer(&payload))?;
    let parts = reaction.into_parts().map_err(failed)?;
    let trigger = Trigger {
        instance: &timer.instance,
        source: Source::Timer {
            key: &timer.key,
            generation: timer.generation,
        },
        generation: 0,
        first: 0,
        time: timer.due_at,
        origin: stored.origin,
        replay,
        reissue,
    };
    let effect = instance.enact(parts, &trigger);
    let effect = effect.map_err(|error| failed(error.into()))?;
    let record = guarded(|| instance.record(&timer.instance))?;
    let record = record.map_err(|error| failed(error.into()))?;
    Ok(Enacted {
        instance,
        record,
        effect,
    })
}

/// That a timer is gone.
pub(super) fn removal(timer: &TimerRecord) -> Change {
    Change::RemoveTimer {
        instance: timer.instance.clone(),
        key: timer.key.clone(),
    }
}

/// What is done about a command that failed, by what its instance says to that.
pub(super) fn on_command_failure<P: ProcessManager>(
    record: &OutgoingRecord,
    found: Result<Option<Instance<P>>, BoxError>,
    error: DispatchError<Rejection>,
    (subscription, options): (&SubscriptionKey, &ProcessOptions),
) -> Verdict<P> {
    let (Ok(stored), Ok(found)) = (StoredCommand::read(record), found) else {
        return Verdict::DeadLetter(error.to_string());
    };
    let failure = CommandFailure {
        subscription: subscription.clone(),
        instance: record.instance.clone(),
        command: stored.command.clone(),
        command_id: record.command_id,
        attempts: record.attempts.saturating_add(1),
        attempts_max: options.subscription.attempts,
        error,
    };
    let is_there = found.is_some();
    let instance = found.unwrap_or_else(Instance::new);
    let action = guarded(|| instance.state.on_command_failure(&failure));
    let instead = match action.unwrap_or_else(|_| failure.default_action()) {
        CommandAction::Retry => {
            return Verdict::Retry(options.subscription.retry.pause(failure.attempts));
        }
        CommandAction::RetryAfter(pause) => return Verdict::Retry(pause),
        CommandAction::DeadLetter => return Verdict::DeadLetter(failure.error.to_string()),
        CommandAction::Stop => {
            let (name, error) = (failure.command.name(), &failure.error);
            let instance = &failure.instance;
            return Verdict::Stop(format!("the command `{name}` of {instance}: {error}"));
        }
        CommandAction::Skip => None,
        CommandAction::SkipRest => Some(Reaction::none()),
        CommandAction::Replace(reaction) => Some(reaction),
    };
    match leave_out((instance, is_there), &stored, failure, instead) {
        Ok(left) => Verdict::LeaveOut(Box::new(left)),
        Err(problem) => Verdict::DeadLetter(problem),
    }
}

/// What an instance becomes by the failure of a command, and what it does instead.
fn leave_out<P: ProcessManager>(
    (mut instance, is_there): (Instance<P>, bool),
    stored: &StoredCommand,
    failure: CommandFailure,
    instead: Option<Reaction<P>>,
) -> Result<LeftOut<P>, String> {
    guarded(|| instance.state.apply_command_failure(&failure))
        .map_err(|panic| panic.to_string())?;
    instance.failed_command = Some(FailedCommand {
        name: failure.command.name().to_owned(),
        command_id: failure.command_id,
        error: failure.error.to_string(),
    });
    let trigger = Trigger {
        instance: &failure.instance,
        source: Source::Failure {
            command_id: failure.command_id,
        },
        generation: stored.generation + 1,
        first: 0,
        time: time_of(failure.command_id),
        origin: stored.origin.clone(),
        replay: false,
        reissue: false,
    };
    let is_alone = instead.is_none();
    let parts = instead.map(Reaction::into_parts).transpose();
    let parts = parts.map_err(|error| error.to_string())?;
    let enacted = instance.enact(parts.unwrap_or_default(), &trigger);
    let mut effect = enacted.map_err(|error| error.to_string())?;
    let record = guarded(|| instance.record(&failure.instance));
    let record = record.map_err(|panic| panic.to_string())?;
    let record = record.map_err(|error| error.to_string())?;
    effect.changes.insert(0, settlement(&failure, is_alone));
    // What remains of an instance from before a reset does not bring it back.
    if is_there {
        effect.changes.push(Change::PutInstance(record));
    }
    Ok(LeftOut {
        failure,
        is_alone,
        instance,
        effect,
    })
}

fn settlement(failure: &CommandFailure, is_alone: bool) -> Change {
    match is_alone {
        true => Change::RemoveOutgoing {
            command_id: failure.command_id,
        },
        false => Change::RemoveOutgoingOf {
            instance: failure.instance.clone(),
        },
    }
}

/// When a command was issued, as its id says.
fn time_of(command_id: CommandId) -> OffsetDateTime {
    let millis = i128::from(command_id.unix_millis().unwrap_or_default());
    OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// Whether the command itself, and its aggregate, have nothing to do with it.
pub(super) fn is_hindrance(error: &DispatchError<Rejection>) -> bool {
    error.is_transient() || matches!(error, DispatchError::DeadlinePassed)
}

/// What the process manager says about an event that could not be handled.
pub(super) fn act<P: ProcessManager>(failure: &Failure) -> FailureAction {
    guarded(|| P::on_failure(failure)).unwrap_or_else(|_| failure.default_action())
}

fn failed(error: BoxError) -> FailureCause {
    FailureCause::Error(error)
}

impl From<DecodeError> for Unroutable {
    fn from(error: DecodeError) -> Self {
        match error.problem {
            DecodeProblem::Newer { .. } => Self::Newer(error),
            _ => Self::Failed(FailureCause::Undecodable(error)),
        }
    }
}
