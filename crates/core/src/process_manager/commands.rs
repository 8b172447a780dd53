//! Dispatches the commands of a partition's instances, and settles them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::task::JoinError;

use super::instance::{Effect, Instance, Trigger, guarded};
use super::outgoing::Done;
use super::parked::with_attempts;
use super::runner::{End, Runner};
use super::stored::{FailedCommand, Source, StoredCommand};
use super::{CommandAction, CommandFailure, ProcessManager, Reaction};
use crate::CommandId;
use crate::aggregate::instance::panic_message;
use crate::app::WeakApp;
use crate::dispatch::{DispatchError, ErasedReceipt, Rejection};
use crate::retry::Backoff;
use crate::store::{Block, BlockKind, Change, OutgoingRecord, Requirement};
use crate::subscription::HANDLING;

/// The pauses between attempts that do not count.
const HINDERED: Backoff = Backoff {
    first: Duration::from_millis(50),
    longest: Duration::from_secs(10),
    factor: 2.0,
    jitter: 0.2,
};

impl<P: ProcessManager> Runner<P> {
    /// Dispatches what may be, as much as may be under way at once.
    pub(super) fn dispatch_ready(&mut self) -> Result<(), End> {
        self.outgoing.wake(Instant::now());
        while self.outgoing.under_way.len() < self.work.options.dispatches {
            let is_withheld = |id: &str| {
                let block = self.blocks.get(id);
                block.is_some_and(|block| block.kind == BlockKind::DeadLetter)
            };
            let Some(record) = self.outgoing.next_ready(is_withheld) else {
                return Ok(());
            };
            if !self.partition.held.is_good() {
                return Err(self.checkpoint.lose().into());
            }
            let whose = (record.instance.clone(), record.command_id);
            let dispatch = dispatch(self.work.app.clone(), record);
            let name = Arc::clone(&self.partition.key().subscription.name);
            let limit = self.work.options.subscription.time_limit;
            let dispatch = HANDLING.scope(name, within(limit, whose, dispatch));
            self.outgoing.under_way.spawn(dispatch);
        }
        Ok(())
    }

    /// Takes note of what became of a dispatch.
    pub(super) async fn end_dispatch(&mut self, done: Result<Done, JoinError>) -> Result<(), End> {
        let Ok(done) = done else {
            return Err(End::Anew);
        };
        // What is settled otherwise by now needs nothing.
        let Some(record) = self.outgoing.ended(&done) else {
            return Ok(());
        };
        match done.result {
            Ok(receipt) => self.accepted(&record, &receipt).await,
            Err(DispatchError::Settled { .. }) => Err(End::Anew),
            Err(error) if is_hindrance(&error) => {
                self.try_later(&record, &error);
                Ok(())
            }
            Err(error) => self.failed(record, error).await,
        }
    }

    /// A command's events have settled it; one without events is settled here.
    async fn accepted(
        &mut self,
        record: &OutgoingRecord,
        receipt: &ErasedReceipt,
    ) -> Result<(), End> {
        if receipt.events.is_empty() || receipt.repeated {
            let requires = vec![Requirement::Outgoing(record.command_id)];
            let changes = vec![Change::RemoveOutgoing {
                command_id: record.command_id,
            }];
            self.checkpoint.write_with(requires, changes).await?;
        }
        self.failing_commands = 0;
        self.settled(&record.instance);
        Ok(())
    }

    fn try_later(&mut self, record: &OutgoingRecord, error: &DispatchError<Rejection>) {
        let hindered = self.hindered.entry(record.instance.clone()).or_default();
        *hindered = hindered.saturating_add(1);
        let pause = HINDERED.pause(*hindered);
        tracing::warn!(manager = P::NAME, instance = record.instance, command = %record.command_id, %error, "a command cannot be carried out now; it is tried again");
        self.outgoing.wait(&record.instance, Instant::now() + pause);
    }

    /// A command was rejected, or failed for good.
    async fn failed(
        &mut self,
        record: OutgoingRecord,
        error: DispatchError<Rejection>,
    ) -> Result<(), End> {
        let Ok(stored) = StoredCommand::read(&record) else {
            return self.put_aside(&record, &error.to_string()).await;
        };
        let failure = CommandFailure {
            subscription: self.partition.key().subscription.clone(),
            instance: record.instance.clone(),
            command: stored.command.clone(),
            command_id: record.command_id,
            attempts: record.attempts.saturating_add(1),
            attempts_max: self.work.options.subscription.attempts,
            error,
        };
        let Ok(found) = self.instance(&record.instance).await? else {
            return self.put_aside(&record, &failure.error.to_string()).await;
        };
        let instance = found.unwrap_or_else(Instance::new);
        let action = guarded(|| instance.state.on_command_failure(&failure));
        let action = action.unwrap_or_else(|_| failure.default_action());
        let retry = self.work.options.subscription.retry;
        match action {
            CommandAction::Retry => self.retry(&record, retry.pause(failure.attempts)).await,
            CommandAction::RetryAfter(pause) => self.retry(&record, pause).await,
            CommandAction::DeadLetter if self.is_outage(self.failing_commands) => {
                self.retry(&record, retry.pause(failure.attempts)).await
            }
            CommandAction::DeadLetter => self.put_aside(&record, &failure.error.to_string()).await,
            CommandAction::Stop => {
                let (name, error) = (failure.command.name(), &failure.error);
                let instance = &failure.instance;
                let reason = format!("the command `{name}` of {instance}: {error}");
                self.stop_for(reason).await
            }
            CommandAction::Skip => self.give_up(instance, &stored, &failure, None).await,
            CommandAction::SkipRest => {
                let nothing = Some(Reaction::none());
                self.give_up(instance, &stored, &failure, nothing).await
            }
            CommandAction::Replace(reaction) => {
                self.give_up(instance, &stored, &failure, Some(reaction))
                    .await
            }
        }
    }

    async fn retry(&mut self, record: &OutgoingRecord, pause: Duration) -> Result<(), End> {
        let attempts = record.attempts.saturating_add(1);
        let requires = vec![Requirement::Outgoing(record.command_id)];
        let changes = vec![Change::PutOutgoing(with_attempts(record, attempts))];
        self.commit(requires, changes).await?;
        self.outgoing.tried(&record.instance, attempts);
        self.outgoing.wait(&record.instance, Instant::now() + pause);
        Ok(())
    }

    /// Puts an instance aside with its commands and all later events.
    async fn put_aside(&mut self, record: &OutgoingRecord, error: &str) -> Result<(), End> {
        let attempts = record.attempts.saturating_add(1);
        let subscription = &self.partition.key().subscription;
        tracing::error!(%subscription, instance = record.instance, command = %record.command_id, error, "an instance is put aside; its commands and later events wait");
        let block = self.aside(&record.instance, error, attempts);
        let requires = vec![Requirement::Outgoing(record.command_id)];
        let changes = vec![
            Change::PutOutgoing(with_attempts(record, attempts)),
            Change::Block(block.clone()),
        ];
        self.commit(requires, changes).await?;
        self.outgoing.tried(&record.instance, attempts);
        self.failing_commands += 1;
        self.blocks.put(block);
        Ok(())
    }

    /// The block of an instance that is put aside, from where it waits already, or with its next event.
    pub(super) fn aside(&self, id: &str, error: &str, attempts: u32) -> Block {
        let waits = self.blocks.get(id);
        let next = self.checkpoint.reached().next();
        Block {
            key: id.to_owned(),
            kind: BlockKind::DeadLetter,
            position: waits.map_or(next, |block| block.position),
            event_id: None,
            error: error.to_owned(),
            attempts,
            since: time::OffsetDateTime::UNIX_EPOCH,
            request: None,
        }
    }

    /// A command is left out: alone, or with all behind it for something else.
    async fn give_up(
        &mut self,
        mut instance: Instance<P>,
        stored: &StoredCommand,
        failure: &CommandFailure,
        instead: Option<Reaction<P>>,
    ) -> Result<(), End> {
        let id = &failure.instance;
        let (command, error) = (failure.command.name(), &failure.error);
        tracing::warn!(subscription = %failure.subscription, instance = id, command, %error, "a command is left out");
        let is_alone = instead.is_none();
        let effect = match self.replace(&mut instance, stored, failure, instead) {
            Ok(effect) => effect,
            Err(problem) => {
                let record = self.outgoing.head(id).cloned();
                return match record {
                    Some(record) => self.put_aside(&record, &problem).await,
                    None => Err(End::Anew),
                };
            }
        };
        let instance_id = id.clone();
        let mut changes = vec![match is_alone {
            true => Change::RemoveOutgoing {
                command_id: failure.command_id,
            },
            false => Change::RemoveOutgoingOf {
                instance: instance_id,
            },
        }];
        changes.extend(effect.changes);
        let requires = vec![Requirement::Outgoing(failure.command_id)];
        self.commit(requires, changes).await?;
        if self.instances.has(id) {
            self.instances.put(id.clone(), instance);
        }
        self.timers.set(effect.due_at);
        if is_alone {
            self.settled(id);
            return Ok(());
        }
        self.outgoing.settled_all(id);
        self.hindered.remove(id);
        match effect.issued.is_empty() {
            true => self.unpark(id),
            false => effect
                .issued
                .into_iter()
                .for_each(|record| self.outgoing.push(record)),
        }
        Ok(())
    }

    /// What an instance becomes by the failure of a command, and what it does instead.
    fn replace(
        &self,
        instance: &mut Instance<P>,
        stored: &StoredCommand,
        failure: &CommandFailure,
        instead: Option<Reaction<P>>,
    ) -> Result<Effect, String> {
        guarded(|| instance.state.apply_command_failure(failure))
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
            time: time_of(failure.command_id),
            origin: stored.origin.clone(),
            replay: false,
            reissue: false,
        };
        let parts = instead.map(Reaction::into_parts).transpose();
        let parts = parts.map_err(|error| error.to_string())?;
        let effect = instance.enact(parts.unwrap_or_default(), &trigger);
        let mut effect = effect.map_err(|error| error.to_string())?;
        let record = guarded(|| instance.record(&failure.instance));
        let record = record.map_err(|panic| panic.to_string())?;
        let record = record.map_err(|error| error.to_string())?;
        // What remains of an instance from before a reset does not bring it back.
        if self.instances.has(&failure.instance) {
            effect.changes.push(Change::PutInstance(record));
        }
        Ok(effect)
    }
}

/// When a command was issued, as its id says.
fn time_of(command_id: CommandId) -> time::OffsetDateTime {
    let millis = i128::from(command_id.unix_millis().unwrap_or_default());
    time::OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
        .unwrap_or(time::OffsetDateTime::UNIX_EPOCH)
}

/// Whether the command itself, and its aggregate, have nothing to do with it.
fn is_hindrance(error: &DispatchError<Rejection>) -> bool {
    error.is_transient() || matches!(error, DispatchError::DeadlinePassed)
}

async fn dispatch(app: WeakApp, record: OutgoingRecord) -> Done {
    let (instance, command_id) = (record.instance.clone(), record.command_id);
    let sending = AssertUnwindSafe(send(app, record)).catch_unwind().await;
    let result = sending.unwrap_or_else(|panic| {
        Err(DispatchError::Panicked {
            during: "dispatch",
            message: panic_message(&*panic),
        })
    });
    Done {
        instance,
        command_id,
        result,
    }
}

async fn send(
    app: WeakApp,
    record: OutgoingRecord,
) -> Result<ErasedReceipt, DispatchError<Rejection>> {
    let app = app.upgrade().ok_or(DispatchError::ShuttingDown)?;
    let stored = StoredCommand::read(&record).map_err(DispatchError::Unwritable)?;
    let (name, body) = stored.command.into_name_and_body();
    let mut dispatch = app
        .dispatch_json(&name, body)
        .command_id(record.command_id)
        .settling();
    let origin = stored.origin;
    if let Some(id) = origin.correlation_id {
        dispatch = dispatch.correlation_id(id);
    }
    if let Some(id) = origin.causation_id {
        dispatch = dispatch.causation_id(id);
    }
    if let Some(actor) = origin.actor {
        dispatch = dispatch.actor(actor);
    }
    if let Some(tenant) = origin.tenant {
        dispatch = dispatch.tenant(tenant);
    }
    dispatch.await
}

/// What takes too long may still be carried out; the next attempt finds out.
async fn within(
    limit: Duration,
    (instance, command_id): (String, CommandId),
    dispatch: impl Future<Output = Done>,
) -> Done {
    match tokio::time::timeout(limit, dispatch).await {
        Ok(done) => done,
        Err(_) => Done {
            instance,
            command_id,
            result: Err(DispatchError::OutcomeUnknown {
                command_id,
                reason: format!("it took longer than {limit:?}").into(),
            }),
        },
    }
}
