//! Fires the timers of a partition's instances.

use std::collections::{HashMap, VecDeque};
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

/// How many timers fire before it is somebody else's turn.
const AT_ONCE: usize = 16;

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
    /// How many of those that were last found could not fire yet.
    hindered: usize,
    /// The timers that are tried again.
    failed: HashMap<Place, FailedTimer>,
}

/// Instance, key and generation of a timer.
type Place = (String, String, u64);

/// A timer that is tried again.
#[derive(Debug)]
struct FailedTimer {
    attempts: u32,
    /// Not before then.
    again_at: Instant,
}

/// Timers that were found to be due.
#[derive(Debug)]
struct DueTimers {
    timers: VecDeque<TimerRecord>,
    /// Where the log ended, after they were found to be due.
    head: GlobalPosition,
    /// Whether there may be more.
    is_full: bool,
    /// How many of them could not fire yet.
    hindered: usize,
}

impl Timers {
    pub(super) fn new() -> Self {
        Self {
            look_at: Instant::now(),
            looked_at: Instant::now(),
            are_absent: false,
            due: None,
            hindered: 0,
            failed: HashMap::new(),
        }
    }

    /// One may have been set from elsewhere.
    pub(super) fn look_soon(&mut self) {
        self.look_at = self.look_at.min(self.looked_at + LOOKS_APART);
    }

    /// When to look for timers, unless some are at hand.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.due.is_none().then_some(self.look_at)
    }

    /// Timers of an instance that were found to be due are to be judged again.
    pub(super) fn judge_again(&mut self, instance: &str) {
        self.judge_again_from(instance, None);
    }

    /// An instance has set timers, the first of which is due then: those that come after it wait for it.
    pub(super) fn set_by(&mut self, instance: &str, due_at: Option<OffsetDateTime>) {
        if due_at.is_some() {
            self.judge_again_from(instance, due_at);
            self.set(due_at);
        }
    }

    fn judge_again_from(&mut self, instance: &str, from: Option<OffsetDateTime>) {
        let Some(due) = &mut self.due else { return };
        let found = due.timers.len();
        let is_meant = |timer: &TimerRecord| {
            timer.instance == instance && from.is_none_or(|from| from <= timer.due_at)
        };
        due.timers.retain(|timer| !is_meant(timer));
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

    /// Of those found, the first that can fire. The others are judged again when nothing holds their instance any
    /// more, or when they are tried again.
    fn next(&mut self, is_held: impl Fn(&str) -> bool) -> Option<TimerRecord> {
        let due = self.due.as_mut()?;
        while let Some(timer) = due.timers.pop_front() {
            let failed = self.failed.get(&place_of(&timer));
            let waits = failed.filter(|failed| failed.again_at > Instant::now());
            if let Some(failed) = waits {
                self.look_at = self.look_at.min(failed.again_at);
            } else if !is_held(&timer.instance) {
                return Some(timer);
            }
            due.hindered += 1;
        }
        None
    }

    /// All that were found have been looked at. Those that could not fire must not hide others.
    fn end_round(&mut self) {
        let Some(due) = self.due.take() else { return };
        self.hindered = due.hindered;
        if due.is_full {
            self.look_at = Instant::now();
        }
    }

    /// How many to look for.
    fn limit(&self) -> u32 {
        let hindered = u32::try_from(self.hindered).unwrap_or(u32::MAX);
        PAGE.saturating_add(hindered.saturating_mul(2))
    }

    /// How often a timer was tried that fails once more.
    fn attempts(&self, timer: &TimerRecord) -> u32 {
        let failed = self.failed.get(&place_of(timer));
        failed.map_or(1, |failed| failed.attempts.saturating_add(1))
    }

    /// A timer is tried again after a pause.
    fn try_again(&mut self, timer: &TimerRecord, attempts: u32, pause: Duration) {
        let again_at = instant_after(Instant::now(), pause);
        self.look_at = self.look_at.min(again_at);
        let failed = FailedTimer { attempts, again_at };
        self.failed.insert(place_of(timer), failed);
    }
}

impl<P: ProcessManager> Runner<P> {
    /// Looks for timers that are due, and fires some of those found before when every event up to the end of the
    /// log of that time has been handled, so that none is overtaken that takes one of them back. Says whether one
    /// fired.
    pub(super) async fn fire_timers(&mut self) -> Result<bool, End> {
        if self.timers.due.is_none() && Instant::now() >= self.timers.look_at {
            self.look_for_timers().await;
        }
        if !self.has_caught_up_with_timers() {
            return Ok(false);
        }
        for fired in 0..AT_ONCE {
            if self.partition.held.stopping.is_cancelled() {
                return Err(End::Stopped);
            }
            if self.outgoing.count() >= self.work.options.outgoing_max {
                return Ok(fired > 0);
            }
            let (blocks, outgoing) = (&self.blocks, &self.outgoing);
            let is_held = |id: &str| blocks.get(id).is_some() || outgoing.has(id);
            let Some(timer) = self.timers.next(is_held) else {
                self.timers.end_round();
                return Ok(fired > 0);
            };
            self.fire(timer).await?;
        }
        Ok(true)
    }

    fn has_caught_up_with_timers(&self) -> bool {
        let is_caught_up = |due: &DueTimers| {
            self.work.filter.types.is_empty() || self.checkpoint.reached() >= due.head
        };
        self.timers.due.as_ref().is_some_and(is_caught_up)
    }

    async fn look_for_timers(&mut self) {
        let poll = self.work.options.timer_poll;
        self.timers.looked_at = Instant::now();
        self.timers.look_at = instant_after(self.timers.looked_at, poll);
        if self.timers.are_absent {
            return;
        }
        let limit = self.timers.limit();
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
            self.timers.hindered = 0;
            return;
        }
        match self.store().head().await {
            Ok(head) => {
                self.timers.due = Some(DueTimers {
                    is_full: found.timers.len() >= limit as usize,
                    timers: found.timers.into(),
                    head,
                    hindered: 0,
                });
            }
            Err(error) => {
                tracing::warn!(manager = P::NAME, %error, "the end of the log cannot be read; it is tried again");
            }
        }
    }

    async fn fire(&mut self, timer: TimerRecord) -> Result<(), End> {
        let found = match P::STATELESS {
            true => Ok(Some(Instance::new())),
            false => self.instance(&timer.instance).await?,
        };
        let found = match found {
            Ok(found) => found.filter(|instance| !instance.finished),
            Err(error) => return self.fail_timer(&timer, None, error.to_string()).await,
        };
        let Some(found) = found else {
            return self.drop_timer(timer).await;
        };
        let is_replay = self.is_replay(&timer).await?;
        let reissue = self.work.options.reissue;
        match on_timer(&timer, found.clone(), is_replay, reissue) {
            Ok(enacted) => self.commit_timer(timer, enacted).await,
            Err(cause) => {
                let error = cause.to_string();
                self.fail_timer(&timer, Some(found), error).await
            }
        }
    }

    async fn commit_timer(&mut self, timer: TimerRecord, enacted: Enacted<P>) -> Result<(), End> {
        let Enacted {
            instance,
            record,
            effect,
        } = enacted;
        let mut changes = vec![removal(&timer)];
        changes.extend(effect.changes);
        if !P::STATELESS {
            changes.push(Change::PutInstance(record));
        }
        // It may have been taken back, or replaced, from elsewhere in the meantime.
        let requires = vec![requirement(&timer)];
        let is_done = self.checkpoint.write_with(requires, changes).await?;
        self.timers.failed.remove(&place_of(&timer));
        if !is_done {
            return Ok(());
        }
        self.timers.set_by(&timer.instance, effect.due_at);
        if !P::STATELESS {
            self.instances.put(timer.instance, instance);
        }
        for record in effect.issued {
            self.outgoing.push(record);
        }
        Ok(())
    }

    /// Takes away a timer whose instance is not there any more.
    async fn drop_timer(&mut self, timer: TimerRecord) -> Result<(), End> {
        let requires = vec![requirement(&timer)];
        let changes = vec![removal(&timer)];
        self.checkpoint.write_with(requires, changes).await?;
        self.timers.failed.remove(&place_of(&timer));
        Ok(())
    }

    /// Has a timer tried again, or puts its instance aside.
    async fn fail_timer(
        &mut self,
        timer: &TimerRecord,
        instance: Option<Instance<P>>,
        error: String,
    ) -> Result<(), End> {
        let attempts = self.timers.attempts(timer);
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
            self.timers.try_again(timer, attempts, pause);
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
        self.timers.failed.remove(&place_of(timer));
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

fn place_of(timer: &TimerRecord) -> Place {
    let (instance, key) = (timer.instance.clone(), timer.key.clone());
    (instance, key, timer.generation)
}

pub(super) fn requirement(timer: &TimerRecord) -> Requirement {
    Requirement::Timer {
        instance: timer.instance.clone(),
        key: timer.key.clone(),
        generation: timer.generation,
    }
}
