//! Handles events for the instances they are for.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::ProcessManager;
use super::instance::{Effect, Instance};
use super::runner::{End, Runner, unreadable};
use super::step::{Unroutable, Visit, act, on_event, visits};
use crate::clock::{instant_after, time_after};
use crate::handler::{Decoder, Delivery, EventContext, Failure, FailureAction, FailureCause};
use crate::store::{Block, BlockKind, Change, InstanceRecord, Trouble};
use crate::subscription::{Chunk, bucket_of, stop, was_replayed};
use crate::{BoxError, GlobalPosition, RecordedEvent};

/// Events that were read and are to be handled.
pub(super) struct Backlog {
    events: VecDeque<Arc<RecordedEvent>>,
    /// Up to here the log was looked at.
    to: GlobalPosition,
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
        self.is_full = self.outgoing.count() >= self.work.options.outgoing_max;
        self.finish(batch).await?;
        Ok(self.checkpoint.reached() > reached)
    }

    /// Whether events may be taken: when no more commands were allowed, not before there is room for some.
    pub(super) fn may_take(&mut self) -> bool {
        let max = self.work.options.outgoing_max;
        let free = max.saturating_sub(self.outgoing.count());
        let is_enough = free >= (max / 10).max(1);
        // Where none moves, the room that there is has to do.
        let stands_still = free > 0 && self.outgoing.under_way.is_empty();
        self.is_full = free == 0 || self.is_full && !is_enough && !stands_still;
        !self.is_full
    }

    /// Where the next events go, up to one that cannot be routed, and no more than there is room for.
    fn route_some(&self, backlog: &Backlog) -> (VecDeque<Vec<Visit<P>>>, Option<Unroutable>) {
        let mut routed = VecDeque::new();
        let options = &self.work.options;
        let room = options.outgoing_max.saturating_sub(self.outgoing.count());
        let max = options.subscription.batch_max.min(room);
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
        let mut visits = visits::<P>(&self.work.decoder, &context)?;
        visits.retain(|visit| self.partition.holds(bucket_of(&visit.instance)));
        Ok(visits)
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
            let read = self.read(&record);
            // What stems from before a reset counts for nothing.
            if !matches!(read, Ok(None)) {
                batch.absent.remove(&record.id);
            }
            // What cannot be read fails when it is needed.
            if let Ok(Some(instance)) = read {
                self.instances.put(record.id, instance);
            }
        }
        Ok(batch)
    }

    /// Whether what an event may leave behind keeps within bounds.
    fn has_room(&self, visits: &[Visit<P>]) -> bool {
        let options = &self.work.options;
        let is_held = |visit: &&Visit<P>| {
            let position = visit.event.read_position();
            self.blocks.hold(&visit.instance, position)
        };
        let free = visits.iter().filter(|visit| !is_held(visit));
        let parking = free.filter(|visit| self.outgoing.has(&visit.instance));
        let (parking, blocks_max) = (parking.count(), options.subscription.blocked_max);
        // Whatever is not held already may fail.
        let may_fail = !visits.iter().all(|visit| is_held(&visit));
        let has_place = match parking {
            0 => !may_fail || self.blocks.len() < blocks_max,
            _ => self.blocks.len() + parking <= blocks_max,
        };
        visits.is_empty() || self.outgoing.count() < options.outgoing_max && has_place
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
            self.settle(id, batch);
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

    /// An event shows that the first command of an instance was settled with it. One that was put again since
    /// is there once more.
    fn settle(&mut self, id: &str, batch: &mut Batch) {
        let head = self.outgoing.head(id).map(|head| head.command_id);
        if let Some(command_id) = head
            && self.puts_again
        {
            let removal = Change::RemoveOutgoing { command_id };
            batch.effect.changes.push(removal);
        }
        self.settled(id);
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
        let position = visit.event.read_position();
        // One that has come here before stems from before a reset, also if the event had to wait since.
        let found = found.filter(|instance| instance.position < position);
        let may_have_left_timers = found.is_none() && self.was_reset();
        let delivery = self.delivery_of(id, position);
        let context = self.context(&visit.event, delivery).attempted(attempt);
        let handled = on_event(visit, &context, found, self.work.options.reissue);
        Ok(handled.map(|handled| {
            let Some(enacted) = handled else { return };
            if may_have_left_timers {
                let instance = id.clone();
                let removal = Change::RemoveTimersOf { instance };
                batch.effect.changes.push(removal);
            }
            self.instances.put(id.clone(), enacted.instance);
            batch.instances.insert(id.clone(), enacted.record);
            self.timers.set_by(id, enacted.effect.due_at);
            for command in &enacted.effect.issued {
                self.outgoing.push(command.clone());
            }
            batch.effect.absorb(enacted.effect);
        }))
    }

    /// Whether there may be something of instances from before a reset.
    fn was_reset(&self) -> bool {
        let record = self.partition.record.borrow();
        !record.definition.replayed.is_empty()
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
            let until = instant_after(Instant::now(), pause);
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
            next_attempt: Some(time_after(OffsetDateTime::now_utc(), pause)),
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

    /// Stops the process manager. What is not committed is handled again when it goes on: it never ends so that
    /// the checkpoint is written, which may have come further by then.
    pub(super) async fn stop_for(&self, reason: String) -> Result<(), End> {
        let subscription = &self.partition.key().subscription;
        tracing::error!(%subscription, reason, "the process manager stops");
        if let Err(error) = stop(self.store(), subscription, reason).await {
            tracing::warn!(%error, "that the process manager stops cannot be written; it is tried again");
            let _ = self.pause(self.work.options.subscription.retry.first).await;
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
    let visits = visits::<P>(decoder, &context).unwrap_or_default();
    visits.into_iter().map(|visit| visit.instance).collect()
}
