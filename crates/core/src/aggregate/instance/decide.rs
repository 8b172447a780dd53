//! From a command to its events, on their way to the store.

use std::marker::PhantomData;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, maybe_done};

use super::worker::{Decided, Pending, Scope, Sent, Step, Worker};
use super::{Job, Live, panic_message};
use crate::aggregate::load::{Basis, Until, fold};
use crate::aggregate::{self, After, CommandHandler, Context, Existence, Lifespan};
use crate::app::LoadError;
use crate::dispatch::{Answered, Conflict, DispatchError};
use crate::middleware::Attempt;
use crate::store::{Append, Chain, StreamWrite};
use crate::{
    Aggregate, CodecError, Command, EventId, EventIds, EventSet, ExpectedVersion, Metadata,
    NewEvent, OutsideCommand, RecordedEvent, Routed, StreamVersion,
};

/// What a command was decided to be.
enum Decision<A: Aggregate> {
    Events {
        events: Vec<A::Event>,
        encoded: Vec<NewEvent>,
    },
    Answer(Answered<A::Error>),
}

/// What is kept of the state after a command's events.
struct Folded<A> {
    state: Option<A>,
    snapshot: Option<A>,
    lifespan: Lifespan,
}

impl<A: Aggregate> Worker<'_, A> {
    /// Decides a command and sends its events; or answers it; or leaves it for later.
    ///
    /// What happens rarely is boxed, so that the worker, which is moved when it is spawned, stays small.
    pub(super) async fn start(&mut self, job: Job<A>) {
        if job.is_abandoned() {
            return;
        }
        if self.must_wait(&job) {
            self.redo.push_front(job);
            Box::pin(self.drain()).await;
            return;
        }
        if self.scope.is_late(&job) {
            return job.fail(DispatchError::DeadlinePassed);
        }
        let job = if self.scope.may_be_repetition(&job) {
            let Some(job) = Box::pin(self.scope.unless_repeated(job)).await else {
                return;
            };
            job
        } else {
            job
        };
        let live = match self.take_live().await {
            Ok(live) => live,
            Err(error) => return self.scope.fail_load(job, error),
        };
        let decision = AssertUnwindSafe(self.scope.decide(&job, &live));
        match decision.catch_unwind().await {
            Ok(Decision::Events { events, encoded }) => self.send(job, live, events, encoded),
            Ok(Decision::Answer(answered)) => self.answer_later(job, live, answered),
            Err(panic) => {
                let panic = panicked("the aggregate's code", &*panic);
                self.answer_later(job, live, Answered::Failed(panic));
            }
        }
    }

    /// Answers a command without events when those before it are stored.
    fn answer_later(&mut self, job: Job<A>, live: Live<A>, answered: Answered<A::Error>) {
        let looked = std::panic::catch_unwind(AssertUnwindSafe(|| look_at(&job, &live, &answered)));
        let basis = live.basis;
        self.live = Some(live);
        let (answered, state, lifespan) = match looked {
            Ok((state, lifespan)) => (answered, state, lifespan),
            Err(panic) => {
                let panic = panicked("the aggregate's code", &*panic);
                (Answered::Failed(panic), None, Lifespan::Default)
            }
        };
        let step = Step::Answer(Decided {
            answered,
            state,
            lifespan,
        });
        self.pending.push_back(Pending { job, basis, step });
    }

    /// Whether the command needs to know what became of those before it.
    fn must_wait(&self, job: &Job<A>) -> bool {
        let same_id = || {
            self.pending
                .iter()
                .any(|other| other.job.command_id == job.command_id)
        };
        !self.pending.is_empty()
            && (self.live.is_none()
                || job.expected.is_some()
                || matches!(*job.command, Routed::Outside(_))
                || self.has_answer_pending()
                || same_id())
    }

    /// Whether an answer without an append waits to be confirmed: an append behind it would make the
    /// state that it rests on look stale.
    fn has_answer_pending(&self) -> bool {
        let last = self.pending.back();
        last.is_some_and(|last| matches!(last.step, Step::Answer(_)))
    }

    async fn take_live(&mut self) -> Result<Live<A>, LoadError> {
        if let Some(live) = self.live.take() {
            return Ok(live);
        }
        let confirmed = self.scope.instance.arrivals();
        let (id, stream) = (&self.scope.instance.id, &self.scope.instance.stream);
        let loader = &self.scope.runtime.shared.loader;
        let load = Box::pin(loader.load::<A>(id, stream, Until::Now));
        let replayed = match AssertUnwindSafe(load).catch_unwind().await {
            Ok(loaded) => loaded?,
            Err(panic) => {
                let message = panic_message(&*panic);
                return Err(LoadError::Panicked { message });
            }
        };
        self.scope.runtime.shared.health.store_worked();
        let (state, basis, snapshot) = (replayed.state, replayed.basis, replayed.snapshot);
        Ok(Live {
            state,
            basis,
            snapshot,
            confirmed,
        })
    }

    /// Takes the events into the state, then sends them: a state that cannot take them in rejects
    /// the command before anything is stored.
    fn send(
        &mut self,
        job: Job<A>,
        mut live: Live<A>,
        events: Vec<A::Event>,
        encoded: Vec<NewEvent>,
    ) {
        let basis = live.basis;
        let fold = AssertUnwindSafe(|| self.scope.fold(&job, &mut live, &events, &encoded));
        let folded = match std::panic::catch_unwind(fold) {
            Ok(folded) => folded,
            Err(panic) => {
                let answered = Answered::Failed(panicked("apply", &*panic));
                let (state, lifespan) = (None, Lifespan::Default);
                let step = Step::Answer(Decided {
                    answered,
                    state,
                    lifespan,
                });
                self.pending.push_back(Pending { job, basis, step });
                return;
            }
        };
        if self.pending.is_empty() && self.chain.is_broken() {
            self.chain = Chain::new();
        }
        let append = self.scope.append_of(&job, basis, encoded, !self.cautious);
        let append = append.in_chain(self.chain.link());
        let arrivals = self.scope.instance.arrivals();
        let mut append = maybe_done(self.scope.append(append));
        // The first poll gives the append its place among all others of the store; a task that has used
        // up its share of the runtime would get none.
        tokio::task::coop::unconstrained(&mut append).now_or_never();
        let reached = live.basis;
        self.live = Some(live);
        let Folded {
            state,
            snapshot,
            lifespan,
        } = folded;
        let sent = Sent {
            append,
            events,
            reached,
            state,
            snapshot,
            lifespan,
            arrivals,
        };
        let step = Step::Append(sent);
        self.pending.push_back(Pending { job, basis, step });
    }
}

/// What is kept of the state that an answer without events is given on.
fn look_at<A: Aggregate>(
    job: &Job<A>,
    live: &Live<A>,
    answered: &Answered<A::Error>,
) -> (Option<A>, Lifespan) {
    match answered {
        Answered::NoEvents => {
            let state = job.with_state.then(|| live.state.clone());
            (state, live.state.lifespan(After::NoEvents))
        }
        Answered::Rejected(error) => (None, live.state.lifespan(After::Error(error))),
        _ => (None, Lifespan::Default),
    }
}

impl<A: Aggregate> Scope<'_, A> {
    /// Takes events into the state. It is void if this panics.
    fn fold(
        &self,
        job: &Job<A>,
        live: &mut Live<A>,
        events: &[A::Event],
        encoded: &[NewEvent],
    ) -> Folded<A> {
        fold(&mut live.state, events);
        live.basis = Basis {
            version: live.basis.version.plus(encoded.len() as u64),
            entry: encoded.last().map(|event| event.event_id),
            position: live.basis.position,
        };
        Folded {
            state: job.with_state.then(|| live.state.clone()),
            snapshot: self.due_snapshot(live),
            lifespan: live.state.lifespan(After::Events(events)),
        }
    }

    fn is_late(&self, job: &Job<A>) -> bool {
        job.deadline()
            .is_some_and(|deadline| self.runtime.shared.clock.instant() >= deadline)
    }

    fn fail_load(&self, job: Job<A>, error: LoadError) {
        if let LoadError::Store(error) = &error
            && error.is_unavailable()
        {
            self.runtime.shared.health.store_failed(error);
        }
        let error = match (job.uncertain, error) {
            (true, error) => DispatchError::OutcomeUnknown {
                command_id: job.command_id,
                reason: Box::new(error),
            },
            (false, error) => error.into_dispatch_error(job.command_id),
        };
        job.fail(error);
    }

    async fn decide(&self, job: &Job<A>, live: &Live<A>) -> Decision<A> {
        if job.expected.is_some()
            && let Some(conflict) = Box::pin(self.unmet_expectation(job, live)).await
        {
            return Decision::Answer(Answered::Failed(conflict));
        }
        let exists = live.basis.version > StreamVersion::NONE;
        match existence_of(&job.command) {
            Existence::Present if !exists => return Decision::Answer(Answered::NotFound),
            Existence::Absent if exists => return Decision::Answer(Answered::AlreadyExists),
            _ => {}
        }
        self.announce(job, live.basis.version);
        let events = match self.execute(job, live).await {
            Ok(Ok(events)) if events.is_empty() => return Decision::Answer(Answered::NoEvents),
            Ok(Ok(events)) => events.into_vec(),
            Ok(Err(error)) => return Decision::Answer(Answered::Rejected(error)),
            Err(panic) => return Decision::Answer(Answered::Failed(panic)),
        };
        match self.encode(job, &events) {
            Ok(encoded) => Decision::Events { events, encoded },
            Err(error) => Decision::Answer(Answered::Failed(DispatchError::Unwritable(error))),
        }
    }

    /// The conflict, if the aggregate is not at the version that the caller expects.
    async fn unmet_expectation(
        &self,
        job: &Job<A>,
        live: &Live<A>,
    ) -> Option<DispatchError<A::Error>> {
        let expected = job
            .expected
            .filter(|expected| *expected != live.basis.version)?;
        let since = self.events_since(expected).await;
        if expected < live.basis.version && self.are_tolerated(&job.command, expected, live, &since)
        {
            return None;
        }
        Some(DispatchError::Conflict(Box::new(Conflict {
            stream: self.instance.stream.clone(),
            expected: ExpectedVersion::Exact(expected),
            actual: live.basis.version,
            retries: job.retries,
            events: since,
        })))
    }

    /// Whether the command may go on although all of this has happened.
    fn are_tolerated(
        &self,
        command: &Routed<A>,
        expected: StreamVersion,
        live: &Live<A>,
        since: &[RecordedEvent],
    ) -> bool {
        let Routed::Decide(command) = command else {
            return false;
        };
        let is_complete = since.len() as u64 == live.basis.version.get() - expected.get();
        is_complete
            && since.iter().all(
                |event| match self.runtime.shared.loader.decode::<A>(event) {
                    Ok(events) => events.iter().all(|event| A::tolerates(command, event)),
                    Err(_) => false,
                },
            )
    }

    fn announce(&self, job: &Job<A>, version: StreamVersion) {
        let middleware = &self.runtime.shared.middleware;
        if middleware.is_empty() {
            return;
        }
        let (stream, number) = (&self.instance.stream, job.retries + 1);
        let attempt = Attempt::of(&*job.command, stream, job.command_id, number, version);
        for middleware in middleware.iter() {
            let told = std::panic::catch_unwind(AssertUnwindSafe(|| middleware.attempt(&attempt)));
            if told.is_err() {
                tracing::error!(
                    command = attempt.name,
                    "a middleware panicked at an attempt"
                );
            }
        }
    }

    async fn execute(
        &self,
        job: &Job<A>,
        live: &Live<A>,
    ) -> Result<aggregate::Decision<A>, DispatchError<A::Error>> {
        let context = Context::new(
            &self.instance.id,
            live.basis.version,
            job.command_id,
            job.correlation_id,
            &job.metadata,
        );
        match &*job.command {
            Routed::Decide(command) => {
                let decide = AssertUnwindSafe(|| live.state.execute(command, &context));
                std::panic::catch_unwind(decide).map_err(|panic| panicked("execute", &*panic))
            }
            Routed::Outside(command) => {
                let Some(handler) = self.runtime.handlers.get(&command.command_type()) else {
                    return Err(DispatchError::NotRegistered {
                        category: A::CATEGORY,
                    });
                };
                let decision = AssertUnwindSafe(handler.handle(command, &live.state, context));
                decision
                    .catch_unwind()
                    .await
                    .map_err(|panic| panicked("handle", &*panic))
            }
        }
    }

    fn encode(&self, job: &Job<A>, events: &[A::Event]) -> Result<Vec<NewEvent>, CodecError> {
        if events.len() > EventIds::MAX {
            let problem = format!(
                "the command produced {} events; at most {} are allowed",
                events.len(),
                EventIds::MAX
            );
            return Err(CodecError::encode(problem));
        }
        let codec = &self.runtime.shared.loader.codec;
        let ids = EventId::of_command(job.command_id, &self.instance.stream);
        let mut encoded = Vec::with_capacity(events.len());
        for (event, event_id) in events.iter().zip(ids.iter()) {
            let event_type = event.event_type();
            encoded.push(NewEvent {
                event_id,
                event_type: event_type.name.into(),
                schema_version: event_type.version,
                data: event.encode(codec)?,
                metadata: Arc::clone(&job.metadata),
                correlation_id: Some(job.correlation_id),
                causation_id: job.causation_id,
            });
        }
        if let Some(mark) = &job.mark {
            let metadata = Metadata {
                command: Some(mark.clone()),
                ..(*job.metadata).clone()
            };
            encoded[0].metadata = Arc::new(metadata);
        }
        Ok(encoded)
    }

    /// The append of a command that was decided on `basis`.
    pub(super) fn append_of(
        &self,
        job: &Job<A>,
        basis: Basis,
        events: Vec<NewEvent>,
        trusted: bool,
    ) -> Append {
        let expected = ExpectedVersion::Exact(basis.version);
        let write = StreamWrite::new(self.instance.stream.clone(), expected, events)
            .building_on(basis.entry)
            .trusted(trusted);
        let append = Append::several(vec![write])
            .with_deadline(job.deadline())
            .settling(job.settles);
        if job.may_be_repeated() {
            append.for_command(job.key(&self.instance.stream))
        } else {
            append
        }
    }

    /// The append of a command once more.
    pub(super) fn append_again(
        &self,
        job: &Job<A>,
        basis: Basis,
        events: &[A::Event],
    ) -> Result<Append, CodecError> {
        Ok(self.append_of(job, basis, self.encode(job, events)?, false))
    }
}

fn existence_of<A: Aggregate>(command: &Routed<A>) -> Existence {
    match command {
        Routed::Decide(command) => A::existence(command),
        Routed::Outside(command) => A::outside_existence(command.name()),
    }
}

fn panicked<E>(during: &'static str, panic: &(dyn std::any::Any + Send)) -> DispatchError<E> {
    DispatchError::Panicked {
        during,
        message: panic_message(panic),
    }
}

/// A command handler without the command's type.
pub(crate) trait OutsideHandler<A: Aggregate>: Send + Sync {
    fn handle<'a>(
        &'a self,
        command: &'a OutsideCommand<A>,
        state: &'a A,
        context: Context<'a, A>,
    ) -> BoxFuture<'a, aggregate::Decision<A>>;
}

pub(crate) struct HandlerOf<C, H> {
    handler: H,
    command: PhantomData<fn(C)>,
}

impl<C, H> HandlerOf<C, H> {
    pub(crate) fn new(handler: H) -> Self {
        Self {
            handler,
            command: PhantomData,
        }
    }
}

impl<A, C, H> OutsideHandler<A> for HandlerOf<C, H>
where
    A: Aggregate,
    C: Command,
    H: CommandHandler<C, Aggregate = A>,
{
    fn handle<'a>(
        &'a self,
        command: &'a OutsideCommand<A>,
        state: &'a A,
        context: Context<'a, A>,
    ) -> BoxFuture<'a, aggregate::Decision<A>> {
        Box::pin(async move {
            match command.downcast_ref::<C>() {
                Some(command) => self.handler.handle(command, state, &context).await,
                None => unreachable!("handlers are found by the type of their command"),
            }
        })
    }
}
