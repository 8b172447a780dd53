//! Fires the timers of a partition's instances.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use time::OffsetDateTime;

use super::ProcessManager;
use super::instance::Instance;
use super::runner::{End, Runner};
use super::step::{Enacted, on_timer, removal};
use super::stored::{StoredTimer, read};
use crate::GlobalPosition;
use crate::clock::instant_after;
use crate::handler::Delivery;
use crate::store::{Change, Requirement, TimerQuery, TimerRecord};

/// How many timers are looked for at once, at the least.
const PAGE: u32 = 256;

/// How long to wait at the least before it is looked again because of timers that were set.
const LOOKS_APART: Duration = Duration::from_millis(10);

/// When timers are looked for, and those that were found.
#[derive(Debug)]
pub(super) struct Timers {
    look_at: Instant,
    looked_at: Instant,
    /// Whether there are none, and none can be set from elsewhere.
    are_absent: bool,
    due: Option<DueTimers>,
    /// How often the handling of a timer has failed, by instance, key and generation.
    attempts: HashMap<(String, String, u64), u32>,
}

/// Timers that were found to be due.
#[derive(Debug)]
struct DueTimers {
    timers: Vec<TimerRecord>,
    /// Where the log ended, after they were found to be due.
    head: GlobalPosition,
    /// Whether there may be more.
    is_full: bool,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self {
            look_at: Instant::now(),
            looked_at: Instant::now(),
            are_absent: false,
            due: None,
            attempts: HashMap::new(),
        }
    }

    /// One may have been set from elsewhere.
    pub(super) fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.looked_at + LOOKS_APART);
    }

    /// When to look for timers.
    pub(super) fn look_at(&self) -> Instant {
        self.look_at
    }

    /// Timers of an instance that were found to be due are to be judged again.
    pub(super) fn judge_again(&mut self, instance: &str) {
        let Some(due) = &mut self.due else { return };
        let found = due.timers.len();
        due.timers.retain(|timer| timer.instance != instance);
        if due.timers.len() < found {
            self.look_at = Instant::now();
        }
    }

    /// A timer was set that is due then.
    pub(super) fn set(&mut self, due_at: Option<OffsetDateTime>) {
        let Some(due_at) = due_at else { return };
        self.are_absent = false;
        let until = Duration::try_from(due_at - OffsetDateTime::now_utc()).unwrap_or_default();
        if let Some(look_at) = Instant::now().checked_add(until) {
            self.look_at = self.look_at.min(look_at);
        }
    }
}

impl<P: ProcessManager> Runner<P> {
    /// Looks for timers that are due, and fires those found before when every event up to the end of the log
    /// of that time has been handled, so that none is overtaken that takes one of them back. Says whether one
    /// fired.
    pub(super) async fn fire_timers(&mut self) -> Result<bool, End> {
        if self.timers.due.is_none() && Instant::now() >= self.timers.look_at {
            self.look_for_timers().await;
        }
        let is_caught_up = |due: &mut DueTimers| {
            self.work.filter.types.is_empty() || self.checkpoint.reached() >= due.head
        };
        let Some(due) = self.timers.due.take_if(is_caught_up) else {
            return Ok(false);
        };
        let mut has_fired = false;
        let mut set_anew: HashMap<String, OffsetDateTime> = HashMap::new();
        for timer in due.timers {
            if self.partition.held.stopping.is_cancelled() {
                return Err(End::Stopped);
            }
            // It is judged again when nothing holds its instance any more.
            if self.is_held(&timer.instance) {
                continue;
            }
            // One that was set meanwhile may come before it.
            let first = set_anew.get(&timer.instance);
            if first.is_some_and(|first| *first <= timer.due_at) {
                self.timers.look_at = Instant::now();
                continue;
            }
            let instance = timer.instance.clone();
            if let Some(due_at) = self.fire(timer).await? {
                let first = set_anew.entry(instance).or_insert(due_at);
                *first = due_at.min(*first);
            }
            has_fired = true;
        }
        if due.is_full && has_fired {
            self.timers.look_at = Instant::now();
        }
        Ok(has_fired)
    }

    fn is_held(&self, id: &str) -> bool {
        self.blocks.get(id).is_some() || self.outgoing.has(id)
    }

    async fn look_for_timers(&mut self) {
        let poll = self.work.options.timer_poll;
        self.timers.looked_at = Instant::now();
        self.timers.look_at = instant_after(self.timers.looked_at, poll);
        if self.timers.are_absent {
            return;
        }
        // The timers of held instances may be the oldest; they must not hide the others.
        let held = self.blocks.len() + self.outgoing.instances();
        let limit = PAGE.saturating_add(u32::try_from(held).unwrap_or(u32::MAX).saturating_mul(4));
        let query = TimerQuery {
            subscription: self.partition.key().subscription.clone(),
            share: self.share(),
            limit,
        };
        let found = self.store().timers_due(query).await;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(manager = P::NAME, %error, "timers cannot be looked for; it is tried again");
                return;
            }
        };
        if let Some(next) = found.next {
            let until = Duration::try_from(next - found.now).unwrap_or_default();
            self.timers.look_at = instant_after(Instant::now(), until.min(poll));
        }
        if found.timers.is_empty() {
            self.timers.are_absent = found.next.is_none() && !P::STATELESS;
            return;
        }
        match self.store().head().await {
            Ok(head) => {
                self.timers.due = Some(DueTimers {
                    is_full: found.timers.len() >= limit as usize,
                    timers: found.timers,
                    head,
                });
            }
            Err(error) => {
                tracing::warn!(manager = P::NAME, %error, "the end of the log cannot be read; it is tried again");
            }
        }
    }

    /// Fires a timer; says when the first is due that is set by it.
    async fn fire(&mut self, timer: TimerRecord) -> Result<Option<OffsetDateTime>, End> {
        let id = &timer.instance;
        let found = match self.instance(id).await? {
            Ok(found) => found,
            Err(error) => {
                self.fail_timer(&timer, None, error.to_string()).await?;
                return Ok(None);
            }
        };
        let found = match found.filter(|instance| !instance.finished) {
            None if P::STATELESS => Instance::new(),
            None => return self.drop_timer(timer).await,
            Some(instance) => instance,
        };
        let is_replay = self.is_replay(&timer).await?;
        let reissue = self.work.options.reissue;
        match on_timer(&timer, found.clone(), is_replay, reissue) {
            Ok(enacted) => self.commit_timer(timer, enacted).await,
            Err(cause) => {
                let error = cause.to_string();
                self.fail_timer(&timer, Some(found), error).await?;
                Ok(None)
            }
        }
    }

    async fn commit_timer(
        &mut self,
        timer: TimerRecord,
        enacted: Enacted<P>,
    ) -> Result<Option<OffsetDateTime>, End> {
        let Enacted {
            instance,
            record,
            effect,
        } = enacted;
        let place = place_of(&timer);
        let id = timer.instance.clone();
        let mut changes = vec![removal(&timer)];
        changes.extend(effect.changes);
        if !P::STATELESS {
            changes.push(Change::PutInstance(record));
        }
        // It may have been taken back, or replaced, from elsewhere in the meantime.
        let requires = vec![requirement(&timer)];
        if !self.checkpoint.write_with(requires, changes).await? {
            return Ok(None);
        }
        self.timers.attempts.remove(&place);
        self.timers.set(effect.due_at);
        if !P::STATELESS {
            self.instances.put(id, instance);
        }
        for record in effect.issued {
            self.outgoing.push(record);
        }
        Ok(effect.due_at)
    }

    /// Takes away a timer whose instance is not there any more.
    async fn drop_timer(&mut self, timer: TimerRecord) -> Result<Option<OffsetDateTime>, End> {
        let requires = vec![requirement(&timer)];
        let changes = vec![removal(&timer)];
        self.checkpoint.write_with(requires, changes).await?;
        Ok(None)
    }

    /// Tries a timer again, or puts its instance aside.
    async fn fail_timer(
        &mut self,
        timer: &TimerRecord,
        instance: Option<Instance<P>>,
        error: String,
    ) -> Result<(), End> {
        let place = place_of(timer);
        let attempts = self.timers.attempts.entry(place.clone()).or_default();
        *attempts += 1;
        let attempts = *attempts;
        let options = &self.work.options.subscription;
        if attempts < options.attempts || self.is_outage(self.failing_events) {
            let pause = options.retry.pause(attempts);
            tracing::warn!(
                manager = P::NAME,
                instance = timer.instance,
                timer = timer.key,
                error,
                "a timer cannot be handled; it is tried again"
            );
            self.timers.look_at = instant_after(Instant::now(), pause);
            return Ok(());
        }
        tracing::error!(
            manager = P::NAME,
            instance = timer.instance,
            timer = timer.key,
            error,
            "an instance is put aside; its timers and later events wait"
        );
        let block = self.aside(&timer.instance, &error, attempts);
        let mut changes = vec![Change::Block(block.clone())];
        if let Some(mut instance) = instance
            && !P::STATELESS
        {
            instance.failed_timer = Some(timer.key.clone());
            let record = instance.record(&timer.instance).map_err(|_| End::Anew)?;
            self.instances.put(timer.instance.clone(), instance);
            changes.push(Change::PutInstance(record));
        }
        self.commit(vec![requirement(timer)], changes).await?;
        self.timers.attempts.remove(&place);
        self.failing_events += 1;
        self.blocks.put(block);
        Ok(())
    }

    /// Whether a timer that a replayed event has set was due before what was handled then had come to its end.
    async fn is_replay(&self, timer: &TimerRecord) -> Result<bool, End> {
        let stored = read::<StoredTimer>(&timer.data);
        if !stored.is_ok_and(|stored| stored.replay) {
            return Ok(false);
        }
        let position = self.partition.hub.store.position_at(timer.due_at).await;
        let position = position.map_err(super::runner::unreadable)?.next();
        Ok(self.delivery_of(&timer.instance, position) == Delivery::Replay)
    }
}

fn place_of(timer: &TimerRecord) -> (String, String, u64) {
    let (instance, key) = (timer.instance.clone(), timer.key.clone());
    (instance, key, timer.generation)
}

fn requirement(timer: &TimerRecord) -> Requirement {
    Requirement::Timer {
        instance: timer.instance.clone(),
        key: timer.key.clone(),
        generation: timer.generation,
    }
}
