//! The task that works on one instance.

use std::collections::VecDeque;
use std::sync::Arc;

use futures::future::{BoxFuture, MaybeDone};

use super::{AggregateRuntime, Instance, Job, Live};
use crate::aggregate::Lifespan;
use crate::aggregate::load::Basis;
use crate::dispatch::Answered;
use crate::projection::InlineAppend;
use crate::store::{Append, Appended, Chain, EventStore};
use crate::{Aggregate, EventSet, StoreError};

/// Runs the commands of one instance in order.
///
/// A command is decided on the state after all commands before it, also those whose events are still
/// on their way to the store. What is on its way stands in `pending`, in order; when something there
/// fails, all that stands behind it rests on events that do not exist, and is redone.
pub(super) struct Worker<'s, A: Aggregate> {
    pub(super) scope: Scope<'s, A>,
    pub(super) live: Option<Live<A>>,
    pub(super) pending: VecDeque<Pending<'s, A>>,
    /// Commands to be redone, before any that wait.
    pub(super) redo: VecDeque<Job<A>>,
    /// Joins the appends that are under way.
    pub(super) chain: Chain,
    /// After a conflict: one command at a time, and no trust, until one succeeds.
    pub(super) cautious: bool,
    pub(super) lifespan: Lifespan,
}

/// What a worker works with.
pub(super) struct Scope<'s, A: Aggregate> {
    pub(super) instance: Arc<Instance<A>>,
    pub(super) runtime: Arc<AggregateRuntime<A>>,
    pub(super) store: &'s dyn EventStore,
    /// Appends events that are projected in the same transaction.
    pub(super) inline: Option<&'s dyn InlineAppend>,
}

/// A command that is decided and not yet answered.
pub(super) struct Pending<'s, A: Aggregate> {
    pub(super) job: Job<A>,
    /// What it was decided on.
    pub(super) basis: Basis,
    pub(super) step: Step<'s, A>,
}

pub(super) enum Step<'s, A: Aggregate> {
    /// Its events are on their way.
    Append(Sent<'s, A>),
    /// It has no events; the answer stands when those before it are stored.
    Answer(Decided<A>),
}

/// An answer without events.
pub(super) struct Decided<A: Aggregate> {
    pub(super) answered: Answered<A::Error>,
    /// The state it was given on, where the caller wants it.
    pub(super) state: Option<A>,
    pub(super) lifespan: Lifespan,
}

pub(super) struct Sent<'s, A: Aggregate> {
    pub(super) append: MaybeDone<BoxFuture<'s, Result<Appended, StoreError>>>,
    pub(super) events: Vec<A::Event>,
    /// What the stream comes to by the events; the position is not known yet.
    pub(super) reached: Basis,
    /// The state after the events, where the caller wants it.
    pub(super) state: Option<A>,
    /// The state after the events, where a snapshot is due.
    pub(super) snapshot: Option<A>,
    pub(super) lifespan: Lifespan,
    /// How many commands had come when it was sent.
    pub(super) arrivals: u64,
}

impl<A: Aggregate> Worker<'_, A> {
    pub(super) fn spawn(
        instance: Arc<Instance<A>>,
        runtime: Arc<AggregateRuntime<A>>,
        live: Option<Live<A>>,
    ) {
        let shared = Arc::clone(&runtime.shared);
        let guard = Abandon {
            instance: Some(Arc::clone(&instance)),
            runtime: Arc::clone(&runtime),
        };
        shared.spawn(async move {
            let store = Arc::clone(&runtime.shared.store);
            let inline = runtime.shared.inline.clone();
            let worker = Worker {
                scope: Scope {
                    instance,
                    runtime,
                    store: &*store,
                    inline: inline.as_deref(),
                },
                live,
                pending: VecDeque::new(),
                redo: VecDeque::new(),
                chain: Chain::new(),
                cautious: false,
                lifespan: Lifespan::Default,
            };
            worker.run().await;
            guard.disarm();
        });
    }

    async fn run(mut self) {
        loop {
            tokio::task::coop::consume_budget().await;
            self.start_waiting().await;
            if !self.pending.is_empty() {
                self.wait().await;
            } else if self.redo.is_empty() && self.park() {
                return;
            }
        }
    }

    async fn start_waiting(&mut self) {
        while self.has_room() {
            let next = self.redo.pop_front().or_else(|| self.scope.instance.take());
            let Some(job) = next else { return };
            self.start(job).await;
        }
    }

    fn has_room(&self) -> bool {
        let depth = if self.cautious || self.scope.is_inline() {
            1
        } else {
            self.scope.runtime.shared.config.pipeline_depth
        };
        self.pending.len() < depth
    }

    /// Waits until the first pending command is through, or another one can be started.
    async fn wait(&mut self) {
        let has_room = self.has_room();
        let Some(first) = self.pending.front_mut() else {
            return;
        };
        tokio::select! {
            biased;
            () = first.settled() => self.settle_first().await,
            () = self.scope.instance.arrived.notified(), if has_room => {}
        }
    }

    async fn settle_first(&mut self) {
        if let Some(first) = self.pending.pop_front()
            && let Some(rest) = self.settle(first)
        {
            rest.await;
        }
    }

    /// Waits for all that is pending.
    pub(super) async fn drain(&mut self) {
        while let Some(mut first) = self.pending.pop_front() {
            first.settled().await;
            if let Some(rest) = self.settle(first) {
                rest.await;
            }
        }
    }

    fn park(&mut self) -> bool {
        let now = self.scope.runtime.shared.clock.instant();
        let parked = self.scope.instance.park(&mut self.live, self.lifespan, now);
        if parked && self.lifespan == Lifespan::Stop {
            self.scope.runtime.forget(&self.scope.instance);
        }
        parked
    }
}

impl<'s, A: Aggregate> Scope<'s, A> {
    /// Whether the aggregate's events are projected in the transaction that appends them: then one append
    /// cannot begin before the one that it rests on has ended.
    fn is_inline(&self) -> bool {
        self.inline
            .is_some_and(|inline| inline.wants(A::Event::TYPES))
    }

    pub(super) fn append(&self, append: Append) -> BoxFuture<'s, Result<Appended, StoreError>> {
        match self.inline {
            Some(inline) if inline.wants_some_of(&append) => inline.append(append),
            _ => self.store.append(append),
        }
    }
}

impl<A: Aggregate> Pending<'_, A> {
    /// Waits for the store, where it was asked. Cancel-safe.
    pub(super) async fn settled(&mut self) {
        if let Step::Append(sent) = &mut self.step {
            (&mut sent.append).await;
        }
    }
}

/// Retires the instance of a worker that died, which only a defect or the end of the runtime can
/// bring about.
struct Abandon<A: Aggregate> {
    instance: Option<Arc<Instance<A>>>,
    runtime: Arc<AggregateRuntime<A>>,
}

impl<A: Aggregate> Abandon<A> {
    fn disarm(mut self) {
        self.instance = None;
    }
}

impl<A: Aggregate> Drop for Abandon<A> {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            instance.abandon();
            self.runtime.forget(&instance);
        }
    }
}
