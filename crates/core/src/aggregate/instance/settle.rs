//! From the store's answer to the caller's.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::future::BoxFuture;

use super::job::Success;
use super::worker::{Decided, Pending, Scope, Sent, Step, Worker};
use super::{Job, panic_message};
use crate::aggregate::load::{Basis, Until};
use crate::dispatch::{Answered, Conflict, DispatchError, Remembered, mark_of};
use crate::store::{Appended, Chain, NewOutcome, ReadStream, Repeat, StreamHead};
use crate::{
    Aggregate, CodecError, CommandMark, EventId, ExpectedVersion, GlobalPosition, RecordedEvent,
    Routed, StoreError, StreamVersion,
};

const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// How many events of a repeated command are read at first: most have left one or two.
const RECALLED_FIRST: u32 = 4;

/// Whether an answer without an append still holds.
enum Confirmed {
    Yes,
    Moved(StreamVersion),
    Repeated(Repeat),
}

impl<'s, A: Aggregate> Worker<'s, A> {
    /// Answers the first pending command, whose part of the store's work is done; the rest of it, if
    /// there is any, is boxed, so that the worker, which is moved when it is spawned, stays small.
    pub(super) fn settle<'w>(&'w mut self, first: Pending<'s, A>) -> Option<BoxFuture<'w, ()>> {
        let Pending { job, basis, step } = first;
        let mut sent = match step {
            Step::Append(sent) => sent,
            Step::Answer(decided) => {
                return Some(Box::pin(self.settle_answer(job, basis, decided)));
            }
        };
        let outcome = Pin::new(&mut sent.append).take_output();
        match outcome {
            Some(Ok(appended)) => {
                self.committed(job, sent, &appended);
                None
            }
            Some(Err(error)) => Some(Box::pin(self.settle_failure(job, basis, sent, error))),
            None => {
                let error = StoreError::internal("an append was settled before it ended");
                Some(Box::pin(self.settle_failure(job, basis, sent, error)))
            }
        }
    }

    async fn settle_failure(
        &mut self,
        mut job: Job<A>,
        basis: Basis,
        sent: Sent<'_, A>,
        error: StoreError,
    ) {
        let mut outcome = Err(error);
        if matches!(outcome, Err(StoreError::OutcomeUnknown { .. })) {
            job.uncertain = true;
            self.cautious = true;
            // Nothing of this worker may stand in the store's queue, unpolled, while it waits for more.
            let behind = self.take_behind().await;
            if !behind.is_empty() {
                self.live = None;
            }
            self.redo_first(behind);
            outcome = self
                .scope
                .append_until_known(&job, basis, &sent.events, outcome)
                .await;
        }
        match outcome {
            Ok(appended) => self.committed(job, sent, &appended),
            Err(error) => self.failed(job, basis, error).await,
        }
    }

    fn committed(&mut self, job: Job<A>, sent: Sent<'_, A>, appended: &Appended) {
        self.scope.runtime.shared.health.store_worked();
        self.cautious = false;
        let position = appended.last_position;
        let reached = Basis {
            position,
            ..sent.reached
        };
        if let Some(live) = &mut self.live {
            live.confirmed = live.confirmed.max(sent.arrivals);
            live.basis.position = appended.last_position;
        }
        self.lifespan = sent.lifespan;
        if let Some(state) = sent.snapshot {
            self.scope.take_snapshot(state, reached);
        }
        let (events, state) = (sent.events, sent.state);
        job.succeed(
            &self.scope.instance.stream,
            Success {
                basis: reached,
                events,
                state,
                repeated: false,
            },
        );
    }

    /// The first pending command failed: the state and all that was decided after it are void.
    async fn failed(&mut self, job: Job<A>, basis: Basis, error: StoreError) {
        self.live = None;
        let behind = self.take_behind().await;
        self.redo_first(behind);
        match error {
            StoreError::Conflict { actual, .. } => {
                self.cautious = true;
                self.retry_or_fail(job, basis, actual).await;
            }
            StoreError::Repeated(repeat) => self.scope.answer_repeated(job, repeat).await,
            StoreError::PredecessorFailed => self.redo.push_front(job),
            error => self.scope.fail(job, error),
        }
    }

    /// Takes back all that is pending. None of it counts as an attempt.
    async fn take_behind(&mut self) -> Vec<Job<A>> {
        let mut behind = Vec::with_capacity(self.pending.len());
        while let Some(mut pending) = self.pending.pop_front() {
            pending.settled().await;
            let mut job = pending.job;
            if let Step::Append(mut sent) = pending.step {
                let outcome = Pin::new(&mut sent.append).take_output();
                // An append that went through all the same is found by its ids when it is redone.
                job.uncertain |= match outcome {
                    Some(Ok(_)) => true,
                    Some(Err(error)) => error.is_outcome_unknown(),
                    None => false,
                };
            }
            behind.push(job);
        }
        self.chain = Chain::new();
        behind
    }

    fn redo_first(&mut self, jobs: Vec<Job<A>>) {
        for job in jobs.into_iter().rev() {
            self.redo.push_front(job);
        }
    }

    async fn retry_or_fail(&mut self, mut job: Job<A>, basis: Basis, actual: StreamVersion) {
        if job.retries < job.retries_max {
            job.retries += 1;
            self.redo.push_front(job);
            return;
        }
        let conflict = Conflict {
            stream: self.scope.instance.stream.clone(),
            expected: ExpectedVersion::Exact(basis.version),
            actual,
            retries: job.retries,
            events: self.scope.events_since(basis.version).await,
        };
        job.fail(DispatchError::Conflict(Box::new(conflict)));
    }

    /// Gives an answer that needs no append, if the state it rests on is still the current one.
    async fn settle_answer(&mut self, job: Job<A>, basis: Basis, decided: Decided<A>) {
        match self.confirm(&job, basis, &decided.answered).await {
            Ok(Confirmed::Yes) => self.answer(job, basis, decided),
            Ok(Confirmed::Repeated(repeat)) => self.scope.answer_repeated(job, repeat).await,
            Ok(Confirmed::Moved(actual)) => {
                self.live = None;
                self.cautious = true;
                self.retry_or_fail(job, basis, actual).await;
            }
            Err(error) => self.scope.fail(job, error),
        }
    }

    async fn confirm(
        &mut self,
        job: &Job<A>,
        basis: Basis,
        answered: &Answered<A::Error>,
    ) -> Result<Confirmed, StoreError> {
        if job.is_remembered() && answered.is_remembered() {
            return self.scope.remember(job, basis, answered).await;
        }
        if job.may_be_repeated() {
            let key = job.key(&self.scope.instance.stream);
            if let Some(repeat) = self.scope.store.find_repeat(&key).await? {
                return Ok(Confirmed::Repeated(repeat));
            }
        }
        if job.uncertain {
            let source = "an earlier attempt may still be stored".into();
            return Err(StoreError::OutcomeUnknown { source });
        }
        if self
            .live
            .as_ref()
            .is_some_and(|live| job.arrival <= live.confirmed)
        {
            return Ok(Confirmed::Yes);
        }
        let arrivals = self.scope.instance.arrivals();
        let head: StreamHead = self
            .scope
            .store
            .stream_head(&self.scope.instance.stream)
            .await?;
        self.scope.runtime.shared.health.store_worked();
        if !basis.is_at(&head) {
            return Ok(Confirmed::Moved(head.version));
        }
        if let Some(live) = &mut self.live {
            live.confirmed = live.confirmed.max(arrivals);
        }
        Ok(Confirmed::Yes)
    }

    fn answer(&mut self, job: Job<A>, mut basis: Basis, decided: Decided<A>) {
        self.cautious = false;
        self.lifespan = decided.lifespan;
        if let Some(live) = &self.live {
            basis.position = live.basis.position;
        }
        let stream = &self.scope.instance.stream;
        match decided.answered.into_result(stream) {
            Err(error) => job.fail(error),
            Ok(()) => {
                let (events, state) = (Vec::new(), decided.state);
                job.succeed(
                    stream,
                    Success {
                        basis,
                        events,
                        state,
                        repeated: false,
                    },
                );
            }
        }
    }
}

impl<A: Aggregate> Scope<'_, A> {
    /// Tells the caller what the store could not do. Nobody can say that nothing was stored once an
    /// attempt went out whose outcome is unknown.
    fn fail(&self, job: Job<A>, error: StoreError) {
        if error.is_unavailable() {
            self.runtime.shared.health.store_failed(&error);
        }
        let command_id = job.command_id;
        let error = if job.uncertain && !error.is_deleted() && !error.is_settled() {
            DispatchError::OutcomeUnknown {
                command_id,
                reason: Box::new(error),
            }
        } else {
            DispatchError::from_store(error, command_id)
        };
        job.fail(error);
    }

    /// Sends an append whose outcome is unknown again, with the same ids at the same version, until
    /// it is stored, found, or refused.
    async fn append_until_known(
        &self,
        job: &Job<A>,
        basis: Basis,
        events: &[A::Event],
        mut outcome: Result<Appended, StoreError>,
    ) -> Result<Appended, StoreError> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..self.runtime.shared.config.resends {
            match &outcome {
                Err(StoreError::OutcomeUnknown { .. }) => {}
                // The first one may still be stored, whatever keeps this one from it.
                Err(error) if error.is_unavailable() => {
                    self.runtime.shared.health.store_failed(error);
                }
                _ => return outcome,
            }
            let append = self.append_again(job, basis, events);
            outcome = match append {
                Ok(append) => self.append(append).await,
                Err(error) => Err(StoreError::internal(error)),
            };
            if matches!(&outcome, Err(error) if error.is_unavailable() || error.is_outcome_unknown())
            {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
        match outcome {
            Err(error) if error.is_unavailable() => Err(StoreError::OutcomeUnknown {
                source: Box::new(error),
            }),
            outcome => outcome,
        }
    }

    /// What has happened since a version, a page at the most.
    pub(super) async fn events_since(&self, version: StreamVersion) -> Vec<RecordedEvent> {
        let read = ReadStream::forward(self.instance.stream.clone()).from(version.next());
        let page = self
            .store
            .read_stream(read.limit(self.runtime.shared.config.page))
            .await;
        page.map_or_else(|_| Vec::new(), |page| page.events)
    }

    /// Has the store keep the answer under the command's id, if it still holds.
    async fn remember(
        &self,
        job: &Job<A>,
        basis: Basis,
        answered: &Answered<A::Error>,
    ) -> Result<Confirmed, StoreError> {
        let encode = AssertUnwindSafe(|| {
            let mark = match &job.mark {
                Some(mark) => mark.clone(),
                None => mark_of(&job.command)?,
            };
            Remembered::encode::<A>(answered, &mark, basis.version)
        });
        let data = std::panic::catch_unwind(encode)
            .unwrap_or_else(|panic| Err(CodecError::encode(panic_message(&*panic))));
        let Some(data) = data.map_err(StoreError::internal)? else {
            return Ok(Confirmed::Yes);
        };
        let outcome = NewOutcome {
            command: job.key(&self.instance.stream),
            version: basis.version,
            entry: basis.entry,
            data,
        };
        let mut pause = FIRST_PAUSE;
        let mut kept = self.store.record_outcome(outcome.clone()).await;
        for _ in 0..self.runtime.shared.config.resends {
            if !matches!(kept, Err(StoreError::OutcomeUnknown { .. })) {
                break;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            kept = self.store.record_outcome(outcome.clone()).await;
        }
        match kept {
            Ok(()) => Ok(Confirmed::Yes),
            Err(StoreError::Repeated(repeat)) => Ok(Confirmed::Repeated(repeat)),
            Err(StoreError::Conflict { actual, .. }) => Ok(Confirmed::Moved(actual)),
            Err(error) => Err(error),
        }
    }

    /// Whether it is worth asking for a repetition before the command is decided.
    ///
    /// A handler outside the aggregate is not asked twice. Repeated commands come in rows, as when a file
    /// is run again. The first is found when its append is refused, which costs the state in memory; those
    /// after it are looked up before.
    pub(super) fn may_be_repetition(&self, job: &Job<A>) -> bool {
        let is_outside = matches!(*job.command, Routed::Outside(_));
        job.mark.is_some()
            && !job.uncertain
            && (is_outside || self.instance.repeating.load(Ordering::Relaxed))
    }

    /// Answers a command that has been carried out before.
    pub(super) async fn unless_repeated(&self, job: Job<A>) -> Option<Job<A>> {
        let found = self
            .store
            .find_repeat(&job.key(&self.instance.stream))
            .await;
        match found {
            Ok(Some(repeat)) => {
                self.answer_repeated(job, repeat).await;
                None
            }
            // What the store cannot say now, it says when it is asked to append.
            Ok(None) | Err(_) => {
                self.instance.repeating.store(false, Ordering::Relaxed);
                Some(job)
            }
        }
    }

    /// Gives the answer that the command got when it came first.
    async fn answer_repeated(&self, job: Job<A>, repeat: Repeat) {
        self.instance.repeating.store(true, Ordering::Relaxed);
        let answer = match repeat {
            Repeat::Outcome(data) => self.recall_outcome(&job, &data).await,
            Repeat::Events(version) => self.recall_events(&job, version).await,
        };
        match answer {
            Ok(success) => job.succeed(&self.instance.stream, success),
            Err(error) => job.fail(error),
        }
    }

    async fn recall_outcome(
        &self,
        job: &Job<A>,
        data: &[u8],
    ) -> Result<Success<A>, DispatchError<A::Error>> {
        let remembered = Remembered::decode(data).map_err(DispatchError::Unwritable)?;
        check_mark(job, Some(&remembered.command))?;
        let version = remembered.version;
        remembered
            .into_answer::<A>()
            .into_result(&self.instance.stream)?;
        let read = ReadStream::backward(self.instance.stream.clone())
            .from(version)
            .limit(1);
        let last = match self.store.read_stream(read).await {
            Ok(page) => page.events.into_iter().next(),
            Err(StoreError::StreamNotFound { .. }) => None,
            Err(error) => return Err(DispatchError::from_store(error, job.command_id)),
        };
        let basis = Basis {
            version,
            entry: last.as_ref().map(|event| event.event_id),
            position: last.map_or(GlobalPosition::ORIGIN, |event| event.position),
        };
        self.recalled(job, basis, Vec::new()).await
    }

    /// Walks the events that the command left: those with its ids, from the first on.
    async fn recall_events(
        &self,
        job: &Job<A>,
        first: StreamVersion,
    ) -> Result<Success<A>, DispatchError<A::Error>> {
        let mut ids = EventId::of_command(job.command_id, &self.instance.stream).iter();
        let (mut basis, mut events) = (Basis::default(), Vec::new());
        let mut next = Some(first);
        let mut limit = RECALLED_FIRST;
        while let Some(from) = next {
            let read = ReadStream::forward(self.instance.stream.clone()).from(from);
            let page = self.store.read_stream(read.limit(limit)).await;
            limit = self.runtime.shared.config.page;
            let page = page.map_err(|error| DispatchError::from_store(error, job.command_id))?;
            next = page.next;
            for event in &page.events {
                if ids.next() != Some(event.event_id) {
                    next = None;
                    break;
                }
                if event.version == first {
                    check_mark(job, event.metadata.command.as_ref())?;
                }
                basis = Basis {
                    version: event.version,
                    entry: Some(event.event_id),
                    position: event.position,
                };
                let decoded = self.runtime.shared.loader.decode::<A>(event);
                events.extend(decoded.map_err(|error| DispatchError::Unreadable(Box::new(error)))?);
            }
        }
        self.recalled(job, basis, events).await
    }

    async fn recalled(
        &self,
        job: &Job<A>,
        basis: Basis,
        events: Vec<A::Event>,
    ) -> Result<Success<A>, DispatchError<A::Error>> {
        let mut state = None;
        if job.with_state {
            let (id, stream) = (&self.instance.id, &self.instance.stream);
            let until = Until::Version(basis.version);
            let replayed = self
                .runtime
                .shared
                .loader
                .load::<A>(id, stream, until)
                .await;
            let replayed = replayed.map_err(|error| error.into_dispatch_error(job.command_id))?;
            state = Some(replayed.state);
        }
        Ok(Success {
            basis,
            events,
            state,
            // What was sent again after a lost reply was not repeated by the caller.
            repeated: !job.uncertain,
        })
    }
}

/// Whether the command is the one that came before under its id.
fn check_mark<A: Aggregate>(
    job: &Job<A>,
    recorded: Option<&CommandMark>,
) -> Result<(), DispatchError<A::Error>> {
    match (&job.mark, recorded) {
        (Some(mark), Some(recorded)) if !mark.matches(recorded) => {
            let (command_id, recorded) = (job.command_id, recorded.name.clone());
            Err(DispatchError::CommandIdReused {
                command_id,
                recorded,
            })
        }
        _ => Ok(()),
    }
}
