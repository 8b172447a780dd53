//! Dispatches the commands of a partition's instances, and settles them.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::task::JoinError;

use super::ProcessManager;
use super::outgoing::Done;
use super::parked::with_attempts;
use super::runner::{End, Runner};
use super::step::{LeftOut, Verdict, is_hindrance, on_command_failure};
use super::stored::StoredCommand;
use crate::CommandId;
use crate::aggregate::instance::panic_message;
use crate::app::WeakApp;
use crate::clock::instant_after;
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
        self.outgoing
            .wait(&record.instance, instant_after(Instant::now(), pause));
    }

    /// A command was rejected, or failed for good.
    async fn failed(
        &mut self,
        record: OutgoingRecord,
        error: DispatchError<Rejection>,
    ) -> Result<(), End> {
        let attempts = record.attempts.saturating_add(1);
        let found = self.instance(&record.instance).await?;
        let options = &self.work.options;
        let whose = (&self.partition.key().subscription, options);
        match on_command_failure(&record, found, error, whose) {
            Verdict::Retry(pause) => self.retry(&record, pause).await,
            Verdict::DeadLetter(_) if self.is_outage(self.failing_commands) => {
                let pause = options.subscription.retry.pause(attempts);
                self.retry(&record, pause).await
            }
            Verdict::DeadLetter(error) => self.put_aside(&record, &error).await,
            Verdict::Stop(reason) => self.stop_for(reason).await,
            Verdict::LeaveOut(left) => self.leave_out(*left).await,
        }
    }

    async fn retry(&mut self, record: &OutgoingRecord, pause: Duration) -> Result<(), End> {
        let attempts = record.attempts.saturating_add(1);
        let requires = vec![Requirement::Outgoing(record.command_id)];
        let changes = vec![Change::PutOutgoing(with_attempts(record, attempts))];
        self.commit(requires, changes).await?;
        self.outgoing.tried(&record.instance, attempts);
        self.outgoing
            .wait(&record.instance, instant_after(Instant::now(), pause));
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
    async fn leave_out(&mut self, left: LeftOut<P>) -> Result<(), End> {
        let LeftOut {
            failure, effect, ..
        } = left;
        let id = &failure.instance;
        let (command, error) = (failure.command.name(), &failure.error);
        tracing::warn!(subscription = %failure.subscription, instance = id, command, %error, "a command is left out");
        let requires = vec![Requirement::Outgoing(failure.command_id)];
        self.commit(requires, effect.changes).await?;
        if self.instances.has(id) {
            self.instances.put(id.clone(), left.instance);
        }
        self.timers.set_by(id, effect.due_at);
        if left.is_alone {
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
