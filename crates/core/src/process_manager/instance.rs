//! One process instance in memory.

use std::panic::AssertUnwindSafe;

use serde_json::Value;
use time::OffsetDateTime;

use super::ProcessManager;
use super::reaction::{Parts, TimerStep};
use super::stored::{
    FailedCommand, Origin, Source, StoredCommand, StoredInstance, StoredTimer, command_id, read,
    timer_generation, write,
};
use crate::aggregate::instance::panic_message;
use crate::handler::FailureCause;
use crate::store::{Change, InstanceRecord, OutgoingRecord, TimerRecord};
use crate::subscription::bucket_of;
use crate::{BoxError, CodecError, GlobalPosition};

/// One process instance in memory.
#[derive(Debug, Clone)]
pub(super) struct Instance<P> {
    pub(super) state: P,
    /// The position of the last event it has handled.
    pub(super) position: GlobalPosition,
    pub(super) finished: bool,
    /// How many commands it has issued.
    issued: u64,
    pub(super) failed_timer: Option<String>,
    pub(super) failed_command: Option<FailedCommand>,
}

/// What an instance reacts to.
pub(super) struct Trigger<'a> {
    pub(super) instance: &'a str,
    pub(super) source: Source<'a>,
    pub(super) generation: u32,
    /// Which of the commands that come of the same is the first.
    pub(super) first: usize,
    pub(super) time: OffsetDateTime,
    pub(super) origin: Origin,
    /// Whether it was reacted to before.
    pub(super) replay: bool,
    /// Whether commands are issued all the same.
    pub(super) reissue: bool,
}

/// What a reaction changes in the store.
#[derive(Debug, Default)]
pub(super) struct Effect {
    pub(super) changes: Vec<Change>,
    pub(super) issued: Vec<OutgoingRecord>,
    /// When the first timer that it sets is due.
    pub(super) due_at: Option<OffsetDateTime>,
}

impl Effect {
    /// Adds what another reaction changes.
    pub(super) fn absorb(&mut self, other: Self) {
        self.changes.extend(other.changes);
        self.issued.extend(other.issued);
        self.due_at = [self.due_at, other.due_at].into_iter().flatten().min();
    }
}

impl<P: ProcessManager> Instance<P> {
    pub(super) fn new() -> Self {
        Self {
            state: P::default(),
            position: GlobalPosition::ORIGIN,
            finished: false,
            issued: 0,
            failed_timer: None,
            failed_command: None,
        }
    }

    /// Begins, also after it has ended. What it counts goes on, so that nothing of its former life is taken for
    /// the new one's.
    pub(super) fn begin(&mut self) {
        self.state = P::default();
        self.finished = false;
        self.failed_timer = None;
        self.failed_command = None;
    }

    /// Reads an instance.
    pub(super) fn read(record: &InstanceRecord) -> Result<Self, BoxError> {
        let stored: StoredInstance = read(&record.data)?;
        let state = match stored.version == P::STATE_VERSION {
            true => serde_json::from_value(stored.state)?,
            false => migrated(stored.version, stored.state)?,
        };
        Ok(Self {
            state,
            position: record.position,
            finished: record.finished,
            issued: stored.issued,
            failed_timer: stored.failed_timer,
            failed_command: stored.failed_command,
        })
    }

    /// Writes the instance.
    pub(super) fn record(&self, id: &str) -> Result<InstanceRecord, CodecError> {
        let stored = StoredInstance {
            version: P::STATE_VERSION,
            state: serde_json::to_value(&self.state).map_err(CodecError::encode)?,
            issued: self.issued,
            failed_timer: self.failed_timer.clone(),
            failed_command: self.failed_command.clone(),
        };
        Ok(InstanceRecord {
            id: id.to_owned(),
            bucket: bucket_of(id),
            position: self.position,
            finished: self.finished,
            data: write(&stored)?,
            changed_at: OffsetDateTime::UNIX_EPOCH,
        })
    }

    /// Turns what it does into changes.
    pub(super) fn enact(
        &mut self,
        parts: Parts,
        trigger: &Trigger<'_>,
    ) -> Result<Effect, CodecError> {
        let mut effect = Effect::default();
        let is_silent = trigger.replay && !trigger.reissue;
        if !is_silent {
            for (index, command) in parts.commands.into_iter().enumerate() {
                let stored = StoredCommand {
                    command,
                    generation: trigger.generation,
                    origin: trigger.origin.clone(),
                };
                let record = self.outgoing(&stored, trigger, trigger.first + index)?;
                effect.changes.push(Change::PutOutgoing(record.clone()));
                effect.issued.push(record);
            }
        }
        for (index, step) in parts.timers.into_iter().enumerate() {
            let change = timer(step, trigger, index)?;
            if let Change::PutTimer(timer) = &change {
                let due_at = effect.due_at.unwrap_or(timer.due_at);
                effect.due_at = Some(due_at.min(timer.due_at));
            }
            effect.changes.push(change);
        }
        if parts.stops {
            effect.changes.push(self.finish(trigger.instance));
            effect.due_at = None;
        }
        Ok(effect)
    }

    /// Ends it.
    pub(super) fn finish(&mut self, id: &str) -> Change {
        self.finished = true;
        Change::RemoveTimersOf {
            instance: id.to_owned(),
        }
    }

    fn outgoing(
        &mut self,
        stored: &StoredCommand,
        trigger: &Trigger<'_>,
        index: usize,
    ) -> Result<OutgoingRecord, CodecError> {
        self.issued += 1;
        let whose = (P::NAME, trigger.instance);
        let place = (trigger.generation, index);
        Ok(OutgoingRecord {
            command_id: command_id(whose, trigger.source, place, trigger.time),
            instance: trigger.instance.to_owned(),
            bucket: bucket_of(trigger.instance),
            sequence: self.issued,
            attempts: 0,
            data: write(stored)?,
        })
    }
}

fn timer(step: TimerStep, trigger: &Trigger<'_>, index: usize) -> Result<Change, CodecError> {
    let instance = trigger.instance.to_owned();
    let (key, due, payload) = match step {
        TimerStep::Cancel { key } => return Ok(Change::RemoveTimer { instance, key }),
        TimerStep::Set { key, due, payload } => (key, due, payload),
    };
    let stored = StoredTimer {
        payload,
        replay: trigger.replay,
        origin: trigger.origin.clone(),
    };
    Ok(Change::PutTimer(TimerRecord {
        bucket: bucket_of(&instance),
        instance,
        key,
        generation: timer_generation(trigger.source, trigger.generation, index),
        due_at: due.at(trigger.time),
        data: write(&stored)?,
    }))
}

fn migrated<P: ProcessManager>(version: u32, state: Value) -> Result<P, BoxError> {
    let migrated = guarded(|| P::migrate(version, state))?;
    migrated.ok_or_else(|| {
        let wanted = P::STATE_VERSION;
        format!("its state is of version {version}, and `migrate` makes no version {wanted} of it")
            .into()
    })
}

/// Runs user code; what it panics with is a failure.
pub(super) fn guarded<T>(code: impl FnOnce() -> T) -> Result<T, FailureCause> {
    std::panic::catch_unwind(AssertUnwindSafe(code))
        .map_err(|panic| FailureCause::Panic(panic_message(&*panic)))
}
