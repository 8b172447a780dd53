//! Instances whose events wait: for their commands, for another attempt, or for somebody to say what to do.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use super::ProcessManager;
use super::events::Batch;
use super::instance::Instance;
use super::runner::{End, Runner, unreadable};
use super::step::{Unroutable, removal};
use super::timers::requirement;
use crate::clock::instant_after;
use crate::store::{Block, BlockKind, BlockRequest, Change, ReadAll, Requirement};
use crate::{GlobalPosition, RecordedEvent};

/// The events that a parked instance goes on with.
struct Rest {
    events: VecDeque<Arc<RecordedEvent>>,
    /// Where the log is read on, if there may be more.
    next: Option<GlobalPosition>,
}

impl<P: ProcessManager> Runner<P> {
    /// Keeps an event in memory for a parked instance, as long as all that it waits with are.
    pub(super) fn keep(&mut self, id: &str, event: &Arc<RecordedEvent>) {
        let Some(kept) = self.kept.get_mut(id) else {
            return;
        };
        if self.kept_count >= self.work.options.subscription.window {
            self.forget_kept(id);
            return;
        }
        self.kept_count += 1;
        kept.push_back(Arc::clone(event));
    }

    fn take_kept(&mut self, id: &str) -> Option<VecDeque<Arc<RecordedEvent>>> {
        let kept = self.kept.remove(id)?;
        self.kept_count -= kept.len();
        Some(kept)
    }

    fn forget_kept(&mut self, id: &str) {
        self.take_kept(id);
    }

    /// An instance's first command is settled: the next may be dispatched, or the instance goes on.
    pub(super) fn settled(&mut self, id: &str) {
        self.hindered.remove(id);
        // What the command has led to may lie beyond the end of the log when they were found to be due.
        self.timers.judge_again(id);
        let has_next = self.outgoing.settled(id);
        if !has_next {
            self.unpark(id);
        }
    }

    /// Lets an instance go on, if it is parked.
    pub(super) fn unpark(&mut self, id: &str) {
        let block = self.blocks.get(id);
        if block.is_some_and(|block| block.kind == BlockKind::Parked) {
            self.unparked.push_back(id.to_owned());
        }
    }

    /// Goes on with one parked instance, by a page of the log at most; says whether there was one.
    pub(super) async fn go_on_with_parked(&mut self) -> Result<bool, End> {
        let now = Instant::now();
        while let Some((until, _)) = self.retries.first()
            && *until <= now
        {
            let due = self.retries.pop_first();
            self.unparked.extend(due.map(|(_, id)| id));
        }
        let Some(id) = self.unparked.pop_front() else {
            return Ok(false);
        };
        let block = self.blocks.get(&id).cloned();
        let Some(block) = block.filter(|block| block.kind == BlockKind::Parked) else {
            return Ok(true);
        };
        // Its commands come first; when they are settled, it is unparked again.
        if self.outgoing.has(&id) {
            return Ok(true);
        }
        // It catches up with what is written down.
        self.checkpoint.write().await?;
        let rest = match self.take_kept(&id) {
            Some(events) => Rest { events, next: None },
            None => match self.read_for(&block).await? {
                Some(rest) => rest,
                None => return Ok(true),
            },
        };
        self.catch_up(&block, rest).await?;
        Ok(true)
    }

    /// The next page of what an instance waits with; `None` if it cannot be read now.
    async fn read_for(&mut self, block: &Block) -> Result<Option<Rest>, End> {
        let until = self.checkpoint.written();
        let after = GlobalPosition::new(block.position.get().saturating_sub(1));
        let read = ReadAll::forward()
            .after(after)
            .limit(self.work.options.subscription.page)
            .filter(self.work.filter.clone());
        let page = match self.store().read_all(read).await {
            Ok(page) => page,
            Err(error) => {
                tracing::warn!(%error, "the log cannot be read; it is tried again");
                let pause = self.work.options.subscription.retry.pause(1);
                self.retries
                    .insert((instant_after(Instant::now(), pause), block.key.clone()));
                return Ok(None);
            }
        };
        let is_all = page.examined >= until || page.examined <= after;
        let events = page.events.into_iter();
        let events = events.filter(|event| event.read_position() <= until);
        Ok(Some(Rest {
            events: events.map(Arc::new).collect(),
            next: (!is_all).then(|| page.examined.next()),
        }))
    }

    /// Has a parked instance handle what it waits with, up to where it has to wait again.
    async fn catch_up(&mut self, block: &Block, mut rest: Rest) -> Result<(), End> {
        let id = &block.key;
        let mut batch = Batch::default();
        self.blocks.remove(id);
        while let Some(event) = rest.events.pop_front() {
            let attempts = match event.read_position() == block.position {
                true => block.attempts,
                false => 0,
            };
            self.revisit(id, &event, attempts, &mut batch).await?;
            if self.blocks.get(id).is_some() {
                self.keep_rest(id, &rest);
                return self.finish(batch).await;
            }
        }
        let key = id.clone();
        batch.effect.changes.push(match rest.next {
            None => Change::Unblock { key },
            Some(position) => {
                let block = moved(block, position);
                self.blocks.put(block.clone());
                self.unparked.push_back(key);
                Change::Block(block)
            }
        });
        self.finish(batch).await
    }

    async fn revisit(
        &mut self,
        id: &str,
        event: &Arc<RecordedEvent>,
        attempts: u32,
        batch: &mut Batch,
    ) -> Result<(), End> {
        let visits = match self.visits(event) {
            Ok(visits) => visits,
            Err(Unroutable::Newer(_)) => return Err(End::GivenBack),
            // It could be routed when the instance was parked.
            Err(Unroutable::Failed(cause)) => return self.stop_for(cause.to_string()).await,
        };
        let own = visits.iter().find(|visit| visit.instance == id);
        match own {
            Some(visit) => self.visit(visit, attempts, batch).await,
            None => Ok(()),
        }
    }

    /// An instance waits again: what it waits with stays in memory, if that is all.
    fn keep_rest(&mut self, id: &str, rest: &Rest) {
        if rest.next.is_some() {
            self.forget_kept(id);
        }
        for event in &rest.events {
            self.keep(id, event);
        }
    }

    /// Does what somebody asked about an instance that was put aside; says whether there was one.
    pub(super) async fn answer_request(&mut self) -> Result<bool, End> {
        let Some(block) = self.blocks.requested().cloned() else {
            return Ok(false);
        };
        let id = block.key.clone();
        let head = self.outgoing.head(&id).cloned();
        // A command that had failed may have been carried out after all, by somebody who was late. What has come
        // in its place is not left out.
        let has_failed = head.as_ref().is_none_or(|head| head.attempts > 0);
        let is_discarded = block.request == Some(BlockRequest::Discard) && has_failed;
        let mut parked = moved(&block, block.position);
        let (mut requires, mut changes) = (Vec::new(), Vec::new());
        match (&head, block.event_id) {
            (Some(head), _) => {
                requires.push(Requirement::Outgoing(head.command_id));
                let command_id = head.command_id;
                changes.push(match is_discarded {
                    true => Change::RemoveOutgoing { command_id },
                    false => Change::PutOutgoing(with_attempts(head, 0)),
                });
            }
            (None, Some(_)) if is_discarded => parked.position = parked.position.next(),
            (None, Some(_)) => {}
            (None, None) => {
                let freed = self.free_timer(&block).await?;
                requires.extend(freed.0);
                changes.extend(freed.1);
            }
        }
        changes.push(Change::Block(parked.clone()));
        self.commit(requires, changes).await?;
        self.blocks.put(parked);
        self.failing_events = 0;
        self.failing_commands = 0;
        match (head, is_discarded) {
            (Some(_), true) => self.settled(&id),
            (Some(_), false) => {
                self.outgoing.tried(&id, 0);
                self.outgoing.make_ready(&id);
            }
            (None, _) => self.unpark(&id),
        }
        Ok(true)
    }

    /// The timer that could not be handled, if there was one, is tried again, or left out.
    async fn free_timer(
        &mut self,
        block: &Block,
    ) -> Result<(Option<Requirement>, Vec<Change>), End> {
        let is_discarded = block.request == Some(BlockRequest::Discard);
        let found = match P::STATELESS {
            true => Ok(None),
            false => self.instance(&block.key).await?,
        };
        match found {
            Ok(Some(instance)) if instance.failed_timer.is_some() => {
                let changes = self.free_noted_timer(&block.key, instance, is_discarded)?;
                Ok((None, changes))
            }
            // Nothing could be noted where there is no state, or none that can be read.
            Ok(None) if P::STATELESS && is_discarded => self.remove_first_timer(block).await,
            Err(_) if is_discarded => self.remove_first_timer(block).await,
            _ => Ok((None, Vec::new())),
        }
    }

    fn free_noted_timer(
        &mut self,
        id: &str,
        mut instance: Instance<P>,
        is_discarded: bool,
    ) -> Result<Vec<Change>, End> {
        let key = instance.failed_timer.take();
        let record = instance.record(id).map_err(|_| End::Anew)?;
        self.instances.put(id.to_owned(), instance);
        let mut changes = vec![Change::PutInstance(record)];
        if let Some(key) = key
            && is_discarded
        {
            let instance = id.to_owned();
            changes.push(Change::RemoveTimer { instance, key });
        }
        Ok(changes)
    }

    /// The first timer of an instance that was due when it was put aside is the one that it failed with.
    async fn remove_first_timer(
        &self,
        block: &Block,
    ) -> Result<(Option<Requirement>, Vec<Change>), End> {
        let subscription = &self.partition.key().subscription;
        let timers = self.store().timers(subscription, &block.key).await;
        let timers = timers.map_err(unreadable)?.into_iter();
        let due = timers.filter(|timer| timer.due_at <= block.since);
        let first = due.min_by(|a, b| (a.due_at, &a.key).cmp(&(b.due_at, &b.key)));
        let Some(first) = first else {
            return Ok((None, Vec::new()));
        };
        Ok((Some(requirement(&first)), vec![removal(&first)]))
    }
}

/// The block of an instance that may go on from a position.
fn moved(block: &Block, position: GlobalPosition) -> Block {
    Block {
        kind: BlockKind::Parked,
        position,
        error: String::new(),
        attempts: 0,
        request: None,
        ..block.clone()
    }
}

pub(super) fn with_attempts(
    record: &crate::store::OutgoingRecord,
    attempts: u32,
) -> crate::store::OutgoingRecord {
    crate::store::OutgoingRecord {
        attempts,
        ..record.clone()
    }
}
