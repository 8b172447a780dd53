//! A command's way from the caller to its instance.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::oneshot;

use super::{App, Shared};
use crate::aggregate::instance::{AggregateRuntime, Job, Reply, panic_message};
use crate::clock::instant_after;
use crate::dispatch::{Deadline, DispatchError, DispatchOptions, mark_of};
use crate::health::Phase;
use crate::middleware::{Halt, HaltReason, Innermost, Next, Outcome, Request};
use crate::subscription::{Goal, HANDLING, wait};
use crate::{Aggregate, CommandId, CommandSet, Routed, StreamId};

type Answer<A> = Result<Reply<A>, DispatchError<<A as Aggregate>::Error>>;

impl App {
    /// Takes a command to its instance, and waits for the answer, and for the subscriptions that the caller
    /// waits for.
    pub(crate) async fn send<A: Aggregate>(
        &self,
        command: Routed<A>,
        mut options: DispatchOptions,
        with_state: bool,
    ) -> Answer<A> {
        if options.wait_for.is_empty() {
            return self.carry_out(command, options, with_state).await;
        }
        let names = std::mem::take(&mut options.wait_for);
        let limit = options.wait.unwrap_or(self.shared().config.wait);
        let head = self.shared().store.head().await;
        let head = head.map_err(|error| DispatchError::from_store(error, CommandId::new()))?;
        let reply = Box::pin(self.carry_out(command, options, with_state)).await?;
        let receipt = &reply.receipt;
        let position = match receipt.events.is_empty() {
            true => head,
            false => receipt.position,
        };
        let deadline = instant_after(Instant::now(), limit);
        for name in &names {
            let goal = Goal {
                name,
                position,
                stream: Some(&receipt.stream),
                deadline: deadline.into(),
            };
            let waited = wait(self.hub(), goal).await;
            waited.map_err(|source| DispatchError::Unhandled {
                command_id: receipt.command_id,
                version: receipt.version,
                position,
                source: Box::new(source),
            })?;
        }
        Ok(reply)
    }

    /// Takes a command to its instance, through the middleware, and waits for the answer.
    async fn carry_out<A: Aggregate>(
        &self,
        command: Routed<A>,
        mut options: DispatchOptions,
        with_state: bool,
    ) -> Answer<A> {
        let Some(runtime) = self.aggregate::<A>() else {
            return Err(DispatchError::NotRegistered {
                category: A::CATEGORY,
            });
        };
        let shared = self.shared();
        if shared.health.phase() != Phase::Running {
            return Err(DispatchError::ShuttingDown);
        }
        // A span of time begins now, not behind the middleware.
        let deadline = options
            .deadline
            .and_then(|deadline| deadline.at(shared.clock.instant()));
        options.deadline = deadline.map(Deadline::At);
        let sending = Sending {
            runtime,
            command: Arc::new(command),
            options,
            with_state,
        };
        if shared.middleware.is_empty() {
            return sending.send(None).await;
        }
        let stream = AggregateRuntime::<A>::stream_of(id_of(&sending.command))?;
        let (reply, answer) = oneshot::channel();
        let command_id = sending.options.command_id.unwrap_or_else(CommandId::new);
        let shared = Arc::clone(shared);
        // In a task of its own, so that it goes on when the caller stops waiting.
        let handling = HANDLING.try_with(Arc::clone).ok();
        let going = async move {
            // Nobody listens any more if the dispatch was dropped.
            let _ = reply.send(
                sending
                    .through_middleware(&shared, stream, command_id)
                    .await,
            );
        };
        match handling {
            Some(name) => self.shared().spawn(HANDLING.scope(name, going)),
            None => self.shared().spawn(going),
        }
        AggregateRuntime::<A>::answer(command_id, answer).await
    }
}

/// Refuses a command id that is older than what is remembered.
fn check_age<E>(shared: &Shared, given: Option<CommandId>) -> Result<(), DispatchError<E>> {
    let Some(command_id) = given else {
        return Ok(());
    };
    let Some(made_at) = command_id.unix_millis() else {
        return Ok(());
    };
    let now = shared.clock.now().unix_timestamp_nanos() / 1_000_000;
    let age = now.saturating_sub(i128::from(made_at));
    let kept = shared.config.outcomes_kept;
    if age > i128::try_from(kept.as_millis()).unwrap_or(i128::MAX) {
        return Err(DispatchError::TooOld { command_id, kept });
    }
    Ok(())
}

/// A command with all that was said about it.
struct Sending<A: Aggregate> {
    runtime: Arc<AggregateRuntime<A>>,
    command: Arc<Routed<A>>,
    options: DispatchOptions,
    with_state: bool,
}

impl<A: Aggregate> Sending<A> {
    /// Queues the command, as the middleware left it, and waits for the answer.
    async fn send(&self, request: Option<&Request>) -> Answer<A> {
        let (reply, answer) = oneshot::channel();
        let job = self.job(request, reply)?;
        let command_id = job.command_id;
        self.runtime.submit(id_of(&self.command), job)?;
        AggregateRuntime::<A>::answer(command_id, answer).await
    }

    fn job(
        &self,
        request: Option<&Request>,
        reply: oneshot::Sender<Answer<A>>,
    ) -> Result<Job<A>, DispatchError<A::Error>> {
        let (options, shared) = (&self.options, &self.runtime.shared);
        let given = match request {
            Some(request) => request.given_command_id(options.command_id.is_some()),
            None => options.command_id,
        };
        if !options.settles {
            check_age(shared, given)?;
        }
        let mark = match given {
            Some(_) => Some(mark_of(&self.command).map_err(DispatchError::Unwritable)?),
            None => None,
        };
        let fresh = || request.map_or_else(CommandId::new, |request| request.command_id);
        let command_id = given.unwrap_or_else(fresh);
        let (correlation_id, causation_id, metadata) = match request {
            Some(request) => (
                request.correlation_id,
                request.causation_id,
                Arc::new(request.metadata.clone()),
            ),
            None => (
                options.correlation_id.unwrap_or_else(|| command_id.into()),
                options.causation.id(command_id),
                Arc::clone(&options.metadata),
            ),
        };
        Ok(Job {
            command: Arc::clone(&self.command),
            command_id,
            correlation_id,
            causation_id,
            metadata,
            mark,
            settles: options.command_id.filter(|_| options.settles),
            expected: options.expected,
            deadline: options
                .deadline
                .and_then(|deadline| deadline.at(shared.clock.instant())),
            retries_max: options.retries.unwrap_or(shared.config.retries),
            with_state: self.with_state,
            reply,
            arrival: 0,
            retries: 0,
            uncertain: false,
        })
    }

    async fn through_middleware(
        self,
        shared: &Shared,
        stream: StreamId,
        command_id: CommandId,
    ) -> Answer<A> {
        let options = &self.options;
        let mut request = Request::new(
            Arc::clone(&self.command),
            stream,
            command_id,
            options.correlation_id.unwrap_or_else(|| command_id.into()),
            options.causation.id(command_id),
            (*options.metadata).clone(),
        );
        let innermost = Answering {
            sending: self,
            answer: Mutex::new(None),
        };
        let onion = Next::new(&shared.middleware, &innermost).run(&mut request);
        let ended = AssertUnwindSafe(onion).catch_unwind().await;
        let answer = innermost
            .answer
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        match (answer, ended) {
            (Some(answer), _) => answer,
            (None, Err(panic)) => Err(DispatchError::Panicked {
                during: "a middleware",
                message: panic_message(&*panic),
            }),
            (None, Ok(Err(halt))) => Err(halted(halt)),
            (None, Ok(Ok(_))) => Err(DispatchError::Halted {
                by: "a middleware".to_owned(),
                reason: "it made up an outcome".into(),
            }),
        }
    }
}

/// The dispatch behind all middleware; keeps the typed answer aside.
struct Answering<A: Aggregate> {
    sending: Sending<A>,
    answer: Mutex<Option<Answer<A>>>,
}

#[async_trait]
impl<A: Aggregate> Innermost for Answering<A> {
    async fn dispatch(&self, request: &Request) -> Outcome {
        let answer = self.sending.send(Some(request)).await;
        let outcome = describe(&answer);
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
        outcome
    }
}

fn describe<A: Aggregate>(answer: &Answer<A>) -> Outcome {
    match answer {
        Ok(Reply { receipt, .. }) => Outcome::Accepted {
            version: receipt.version,
            position: receipt.position,
            events: receipt.events.len(),
            retries: receipt.retries,
            repeated: receipt.repeated,
        },
        Err(error) if error.is_rejected() || error.is_not_found() || error.is_already_exists() => {
            Outcome::Rejected {
                message: error.to_string(),
            }
        }
        Err(error) => Outcome::Failed {
            message: error.to_string(),
            unknown: error.is_outcome_unknown(),
        },
    }
}

fn halted<E>(halt: Halt) -> DispatchError<E> {
    match halt.reason {
        HaltReason::Stopped { by, reason } => DispatchError::Halted { by, reason },
        HaltReason::Invalid(invalid) => DispatchError::Invalid(invalid),
    }
}

fn id_of<A: Aggregate>(command: &Routed<A>) -> &A::Id {
    match command {
        Routed::Decide(command) => command.id(),
        Routed::Outside(command) => command.id(),
    }
}
