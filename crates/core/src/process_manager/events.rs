//! Handles events for the instances they are for.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::instance::{Effect, Instance, Trigger, guarded};
use super::route::{Step, StepKind};
use super::runner::{End, Runner, unreadable};
use super::stored::{Origin, Source};
use super::{ProcessContext, ProcessManager};
use crate::handler::{Decoder, Delivery, EventContext, Failure, FailureAction, FailureCause};
use crate::store::{Block, BlockKind, Change, InstanceRecord, Trouble};
use crate::subscription::{Chunk, bucket_of, stop, was_replayed};
use crate::{BoxError, DecodeError, DecodeProblem, GlobalPosition, Part, RecordedEvent};

/// Events that were read and are to be handled.
pub(super) struct Backlog {
    events: VecDeque<Arc<RecordedEvent>>,
    /// Up to here the log was looked at.
    to: GlobalPosition,
}

/// An event for an instance.
pub(super) struct Visit<P: ProcessManager> {
    pub(super) event: Arc<RecordedEvent>,
    pub(super) instance: String,
    parts: Arc<Vec<Part<P::Events>>>,
    /// Which parts, and what they mean to the instance.
    steps: Vec<(usize, Step)>,
}

/// What a batch of events comes to.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) effect: Effect,
    /// The instances that changed.
    pub(super) instances: BTreeMap<String, InstanceRecord>,
    /// Instances that are known not to be there.
    absent: HashSet<String>,
    handled: u64,
}

/// Why an event cannot be routed.
#[derive(Debug)]
pub(super) enum Unroutable {
    /// It was written by a newer program.
    Newer(DecodeError),
    Failed(FailureCause),
}

impl From<Chunk> for Backlog {
    fn from(chunk: Chunk) -> Self {
        Self {
            events: chunk.events.into_iter().map(Arc::new).collect(),
            to: chunk.to,
        }
    }
}

impl<P: ProcessManager> Runner<P> {
    /// Handles events as far as there is room, with one commit; what is left becomes the backlog. Says whether
    /// it has come any further.
    pub(super) async fn take(&mut self, mut backlog: Backlog) -> Result<bool, End> {
        let reached = self.checkpoint.reached();
        backlog
            .events
            .retain(|event| event.read_position() > reached);
        let (mut routed, problem) = self.route_some(&backlog);
        if routed.is_empty()
            && let Some(problem) = problem
        {
            self.struggle(backlog, problem).await?;
            return Ok(true);
        }
        let mut batch = self.prefetch(&routed).await?;
        while let Some(visits) = routed.front()
            && self.has_room(visits)
            && let Some(event) = backlog.events.pop_front()
        {
            for visit in routed.pop_front().unwrap_or_default() {
                self.visit(&visit, 0, &mut batch).await?;
            }
            self.routing_attempts = 0;
            batch.handled += 1;
            self.checkpoint.reach(event.read_position(), 0);
        }
        if backlog.events.is_empty() {
            self.checkpoint.reach(backlog.to, 0);
        } else {
            self.backlog = Some(backlog);
        }
        self.finish(batch).await?;
        Ok(self.checkpoint.reached() > reached)
    }

    /// Where the next events go, up to one that cannot be routed.
    fn route_some(&self, backlog: &Backlog) -> (VecDeque<Vec<Visit<P>>>, Option<Unroutable>) {
        let mut routed = VecDeque::new();
        let max = self.work.options.subscription.batch_max;
        for event in backlog.events.iter().take(max) {
            match self.visits(event) {
                Ok(visits) => routed.push_back(visits),
                Err(problem) => return (routed, Some(problem)),
            }
        }
        (routed, None)
    }

    /// Which of this partition's instances an event is for.
    pub(super) fn visits(&self, event: &Arc<RecordedEvent>) -> Result<Vec<Visit<P>>, Unroutable> {
        let context = self.context(event, Delivery::Live);
        let (parts, steps) = route::<P>(&self.work.decoder, &context)?;
        let parts = Arc::new(parts);
        let own = steps
            .into_iter()
            .filter(|(id, _)| self.partition.holds(bucket_of(id)));
        let visits = own.map(|(instance, steps)| Visit {
            event: Arc::clone(event),
            instance,
            parts: Arc::clone(&parts),
            steps,
        });
        Ok(visits.collect())
    }

    fn context(&self, event: &Arc<RecordedEvent>, delivery: Delivery) -> EventContext {
        let key = self.partition.key();
        EventContext {
            event: Arc::clone(event),
            part: 0,
            delivery,
            subscription: key.subscription.clone(),
            partition: key.partition,
            epoch: key.epoch,
            attempt: 1,
            app: None,
            dispatched: Arc::default(),
        }
    }

    /// Reads the instances of a batch that are not in memory, all at once.
    async fn prefetch(&mut self, routed: &VecDeque<Vec<Visit<P>>>) -> Result<Batch, End> {
        let visits = routed.iter().flatten();
        let missing: HashSet<_> = visits
            .filter(|visit| !self.instances.has(&visit.instance))
            .map(|visit| visit.instance.clone())
            .collect();
        let mut batch = Batch::default();
        if missing.is_empty() {
            return Ok(batch);
        }
        let ids: Vec<_> = missing.iter().cloned().collect();
        let subscription = &self.partition.key().subscription;
        let found = self.store().instances(subscription, &ids).await;
        batch.absent = missing;
        for record in found.map_err(unreadable)? {
            batch.absent.remove(&record.id);
            // What cannot be read fails when it is needed.
            if let Ok(Some(instance)) = self.read(&record) {
                self.instances.put(record.id, instance);
            }
        }
        Ok(batch)
    }

    /// Whether what an event may leave behind keeps within bounds.
    fn has_room(&self, visits: &[Visit<P>]) -> bool {
        let options = &self.work.options;
        let waits = |visit: &&Visit<P>| {
            let position = visit.event.read_position();
            self.outgoing.has(&visit.instance) && !self.blocks.hold(&visit.instance, position)
        };
        let parking = visits.iter().filter(waits).count();
        let has_place = self.blocks.len() + parking <= options.subscription.blocked_max;
        visits.is_empty()
            || self.outgoing.count() < options.outgoing_max && (parking == 0 || has_place)
    }

    /// Has an instance handle an event, unless it waits. `attempts` is how often it was tried before.
    pub(super) async fn visit(
        &mut self,
        visit: &Visit<P>,
        attempts: u32,
        batch: &mut Batch,
    ) -> Result<(), End> {
        let id = &visit.instance;
        if self.outgoing.is_settled_by(id, &visit.event) {
            self.settled(id);
        }
        if self.blocks.hold(id, visit.event.read_position()) {
            self.keep(id, &visit.event);
            return Ok(());
        }
        if self.outgoing.has(id) {
            self.park(visit, None, batch);
            return Ok(());
        }
        match self.handle(visit, attempts + 1, batch).await? {
            Ok(()) => self.failing_events = 0,
            Err(cause) => self.fail(visit, attempts + 1, cause, batch).await?,
        }
        Ok(())
    }

    async fn handle(
        &mut self,
        visit: &Visit<P>,
        attempt: u32,
        batch: &mut Batch,
    ) -> Result<Result<(), FailureCause>, End> {
        let id = &visit.instance;
        let found = match batch.absent.contains(id) && !self.instances.has(id) {
            true => None,
            false => match self.instance(id).await? {
                Ok(found) => found,
                Err(error) => return Ok(Err(FailureCause::Error(error))),
            },
        };
        let handled = self.react(visit, attempt, found);
        Ok(handled.map(|handled| {
            let Some((instance, record, effect)) = handled else {
                return;
            };
            self.instances.put(id.clone(), instance);
            batch.instances.insert(id.clone(), record);
            for command in &effect.issued {
                self.outgoing.push(command.clone());
            }
            batch.effect.absorb(effect);
        }))
    }

    /// What an instance becomes by an event, and what it does about it; nothing if it passes it over.
    fn react(
        &self,
        visit: &Visit<P>,
        attempt: u32,
        found: Option<Instance<P>>,
    ) -> Result<Option<(Instance<P>, InstanceRecord, Effect)>, FailureCause> {
        let id = &visit.instance;
        let mut is_there = found.as_ref().is_some_and(|instance| !instance.finished);
        let (mut effect, mut is_touched) = (Effect::default(), false);
        if found.is_none() {
            // Timers from before a reset.
            let instance = id.clone();
            effect.changes.push(Change::RemoveTimersOf { instance });
        }
        let mut instance = found.unwrap_or_else(Instance::new);
        for (part, step) in &visit.steps {
            if !admits(step, is_there)? {
                let event = visit.event.event_id;
                tracing::debug!(manager = P::NAME, instance = %id, %event, "there is no such instance; the event is passed over");
                continue;
            }
            if !is_there {
                instance.begin();
            }
            let part = &visit.parts[*part];
            let stops = step.kind == StepKind::Stop;
            let done = self.react_to(visit, part, attempt, (&mut instance, stops))?;
            effect.absorb(done);
            is_touched = true;
            is_there = !instance.finished;
        }
        if !is_touched {
            return Ok(None);
        }
        instance.position = visit.event.read_position();
        let record = guarded(|| instance.record(id))?.map_err(|error| failed(error.into()))?;
        Ok(Some((instance, record, effect)))
    }

    fn react_to(
        &self,
        visit: &Visit<P>,
        part: &Part<P::Events>,
        attempt: u32,
        (instance, stops): (&mut Instance<P>, bool),
    ) -> Result<Effect, FailureCause> {
        let delivery = self.delivery_of(&visit.instance, visit.event.read_position());
        let mut context = self.context(&visit.event, delivery);
        context.part = part.index;
        context.attempt = attempt;
        let trigger = Trigger {
            instance: &visit.instance,
            source: Source::Event {
                id: visit.event.event_id.as_uuid(),
                part: part.index,
            },
            generation: 0,
            time: visit.event.recorded_at,
            origin: Origin::of_event(&context),
            replay: delivery == Delivery::Replay,
            reissue: self.work.options.reissue,
        };
        let context = ProcessContext::new(context, visit.instance.clone());
        let reaction = guarded(|| instance.state.handle(&part.event, &context))?;
        guarded(|| instance.state.apply(&part.event))?;
        let mut parts = reaction.into_parts().map_err(failed)?;
        parts.stops |= stops;
        let effect = instance.enact(parts, &trigger);
        effect.map_err(|error| failed(error.into()))
    }

    pub(super) fn delivery_of(&self, id: &str, position: GlobalPosition) -> Delivery {
        let record = self.partition.record.borrow();
        match was_replayed(&record.definition.replayed, bucket_of(id), position) {
            true => Delivery::Replay,
            false => Delivery::Live,
        }
    }

    /// An event could not be handled by its instance.
    async fn fail(
        &mut self,
        visit: &Visit<P>,
        attempts: u32,
        cause: FailureCause,
        batch: &mut Batch,
    ) -> Result<(), End> {
        let failure = self.failure(&visit.event, &visit.instance, attempts, cause);
        let retry = self.work.options.subscription.retry;
        let pause = match act::<P>(&failure) {
            FailureAction::Skip => {
                tracing::warn!(subscription = %failure.subscription, instance = failure.key, event = %failure.event.event_id, error = %failure.cause, "an event is skipped");
                return Ok(());
            }
            FailureAction::Stop => return self.stop(&failure).await,
            FailureAction::DeadLetter if !self.is_outage(self.failing_events) => {
                tracing::error!(subscription = %failure.subscription, instance = failure.key, event = %failure.event.event_id, error = %failure.cause, "an instance is put aside; its later events wait");
                self.failing_events += 1;
                let mut block = block_at(visit, BlockKind::DeadLetter);
                (block.error, block.attempts) = (failure.cause.to_string(), attempts);
                self.block(block, batch);
                return Ok(());
            }
            FailureAction::RetryAfter(pause) => pause,
            FailureAction::Retry | FailureAction::DeadLetter => retry.pause(attempts),
        };
        self.park(visit, Some((&failure, pause)), batch);
        Ok(())
    }

    /// Where one instance after the other fails, or too many have failed, it is not their fault.
    pub(super) fn is_outage(&self, failing: u32) -> bool {
        let options = &self.work.options.subscription;
        failing >= options.outage_after || self.blocks.dead_letters() >= options.blocked_max
    }

    /// Has an event wait behind its instance: for its commands, or for another attempt.
    fn park(&mut self, visit: &Visit<P>, failure: Option<(&Failure, Duration)>, batch: &mut Batch) {
        let mut block = block_at(visit, BlockKind::Parked);
        if let Some((failure, pause)) = failure {
            (block.error, block.attempts) = (failure.cause.to_string(), failure.attempts);
            let until = Instant::now() + pause;
            self.retries.insert((until, visit.instance.clone()));
        }
        self.block(block, batch);
        self.kept.insert(visit.instance.clone(), VecDeque::new());
        self.keep(&visit.instance, &visit.event);
    }

    fn block(&mut self, block: Block, batch: &mut Batch) {
        batch.effect.changes.push(Change::Block(block.clone()));
        self.blocks.put(block);
    }

    fn failure(
        &self,
        event: &RecordedEvent,
        key: &str,
        attempts: u32,
        cause: FailureCause,
    ) -> Failure {
        Failure {
            subscription: self.partition.key().subscription.clone(),
            event: event.clone(),
            key: key.to_owned(),
            attempts,
            attempts_max: self.work.options.subscription.attempts,
            cause,
        }
    }

    /// An event cannot be routed, so that nobody can say whose it is: nothing goes on before it can, or is
    /// skipped.
    async fn struggle(&mut self, mut backlog: Backlog, problem: Unroutable) -> Result<(), End> {
        let Some(event) = backlog.events.front().cloned() else {
            return Ok(());
        };
        let cause = match problem {
            Unroutable::Failed(cause) => cause,
            Unroutable::Newer(error) => {
                tracing::warn!(%error, "an event was written by a newer program; the partition is left to it");
                return Err(End::GivenBack);
            }
        };
        self.routing_attempts += 1;
        let attempts = self.routing_attempts;
        let failure = self.failure(&event, &event.stream.to_string(), attempts, cause);
        let retry = self.work.options.subscription.retry;
        let pause = match act::<P>(&failure) {
            FailureAction::Retry => retry.pause(attempts),
            FailureAction::RetryAfter(pause) => pause,
            FailureAction::DeadLetter | FailureAction::Stop => return self.stop(&failure).await,
            FailureAction::Skip => {
                tracing::warn!(subscription = %failure.subscription, event = %event.event_id, error = %failure.cause, "an event is skipped");
                backlog.events.pop_front();
                self.routing_attempts = 0;
                self.checkpoint.reach(event.read_position(), 1);
                self.backlog = Some(backlog);
                return Ok(());
            }
        };
        self.backlog = Some(backlog);
        self.tell_trouble(&failure, pause).await?;
        self.pause(pause).await
    }

    async fn tell_trouble(&mut self, failure: &Failure, pause: Duration) -> Result<(), End> {
        let trouble = Trouble {
            position: failure.event.read_position(),
            error: failure.cause.to_string(),
            attempts: failure.attempts,
            next_attempt: Some(OffsetDateTime::now_utc() + pause),
        };
        self.in_trouble = true;
        let changes = vec![Change::Trouble(Some(trouble))];
        self.commit(Vec::new(), changes).await
    }

    async fn stop(&self, failure: &Failure) -> Result<(), End> {
        let reason = format!(
            "event {} at position {}: {}",
            failure.event.event_id,
            failure.event.read_position(),
            failure.cause
        );
        self.stop_for(reason).await
    }

    /// Stops the process manager. What is not committed is handled again when it goes on.
    pub(super) async fn stop_for(&self, reason: String) -> Result<(), End> {
        let subscription = &self.partition.key().subscription;
        tracing::error!(%subscription, reason, "the process manager stops");
        if let Err(error) = stop(self.store(), subscription, reason).await {
            tracing::warn!(%error, "that the process manager stops cannot be written; it is tried again");
            self.pause(self.work.options.subscription.retry.first)
                .await?;
        }
        self.partition.hub.wake.notify_one();
        Err(End::Anew)
    }

    /// Commits what a batch has come to.
    pub(super) async fn finish(&mut self, batch: Batch) -> Result<(), End> {
        let mut changes = batch.effect.changes;
        let records = batch.instances.into_values();
        changes.extend(records.map(Change::PutInstance));
        let reached = self.checkpoint.reached();
        self.checkpoint.count(batch.handled);
        if changes.is_empty() && !(self.in_trouble && reached > self.checkpoint.written()) {
            if self.checkpoint.is_due() {
                self.checkpoint.write().await?;
            }
            return Ok(());
        }
        if std::mem::take(&mut self.in_trouble) {
            changes.push(Change::Trouble(None));
        }
        self.timers.set(batch.effect.due_at);
        self.commit(Vec::new(), changes).await
    }

    /// Reads an instance; one that has come further than the checkpoint stems from before a reset.
    pub(super) fn read(&self, record: &InstanceRecord) -> Result<Option<Instance<P>>, BoxError> {
        if record.position > self.checkpoint.reached() {
            return Ok(None);
        }
        Instance::read(record).map(Some)
    }
}

/// What the process manager says about a failure.
fn act<P: ProcessManager>(failure: &Failure) -> FailureAction {
    guarded(|| P::on_failure(failure)).unwrap_or_else(|_| failure.default_action())
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

pub(super) fn failed(error: BoxError) -> FailureCause {
    FailureCause::Error(error)
}

fn block_at<P: ProcessManager>(visit: &Visit<P>, kind: BlockKind) -> Block {
    Block {
        key: visit.instance.clone(),
        kind,
        position: visit.event.read_position(),
        event_id: Some(visit.event.event_id),
        error: String::new(),
        attempts: 0,
        since: OffsetDateTime::UNIX_EPOCH,
        request: None,
    }
}

/// The ids of the instances that an event is for.
pub(super) fn keys_of<P: ProcessManager>(decoder: &Decoder, event: &RecordedEvent) -> Vec<String> {
    let context = EventContext::outside(event.clone());
    let routed = route::<P>(decoder, &context);
    let steps = routed.map(|(_, steps)| steps).unwrap_or_default();
    steps.into_iter().map(|(id, _)| id).collect()
}

type Steps = Vec<(String, Vec<(usize, Step)>)>;

type Routed<E> = (Vec<Part<E>>, Steps);

/// The parts of an event, and which of them each instance is concerned by.
fn route<P: ProcessManager>(
    decoder: &Decoder,
    context: &EventContext,
) -> Result<Routed<P::Events>, Unroutable> {
    let parts = decoder.parts::<P::Events>(&context.event)?;
    let mut steps: Steps = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        let mut context = context.clone();
        context.part = part.index;
        let route = guarded(|| {
            let route = P::route(&part.event, &context);
            let texts = route.steps().map(|(id, step)| (id.to_string(), step));
            texts.collect::<Vec<_>>()
        });
        for (id, step) in route.map_err(Unroutable::Failed)? {
            match steps.iter_mut().find(|(known, _)| *known == id) {
                Some((_, own)) => own.push((place, step)),
                None => steps.push((id, vec![(place, step)])),
            }
        }
    }
    Ok((parts, steps))
}

impl From<DecodeError> for Unroutable {
    fn from(error: DecodeError) -> Self {
        match error.problem {
            DecodeProblem::Newer { .. } => Self::Newer(error),
            _ => Self::Failed(FailureCause::Undecodable(error)),
        }
    }
}
