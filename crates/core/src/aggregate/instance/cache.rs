//! The instances of one aggregate that are in memory.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;
use tokio::sync::oneshot;

use super::{Instance, Job, OutsideHandler, Refused, Reply, is_over};
use crate::app::Shared;
use crate::dispatch::DispatchError;
use crate::{Aggregate, StreamId};

type Found<A> = (Arc<Instance<A>>, bool);
type Answer<A> = Result<Reply<A>, DispatchError<<A as Aggregate>::Error>>;

/// All that is shared by the instances of one aggregate.
pub(crate) struct AggregateRuntime<A: Aggregate> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) handlers: HashMap<TypeId, Arc<dyn OutsideHandler<A>>>,
    instances: DashMap<A::Id, Arc<Instance<A>>>,
    count: AtomicUsize,
    /// Above how many instances room is made.
    full_at: AtomicUsize,
}

/// An aggregate's instances without its type.
pub(crate) trait Instances: Any + Send + Sync {
    /// Puts those out of memory that have been idle for too long; returns how many.
    fn evict_idle(&self) -> usize;

    /// How many are in memory.
    fn count(&self) -> usize;

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

impl<A: Aggregate> AggregateRuntime<A> {
    pub(crate) fn new(
        shared: Arc<Shared>,
        handlers: HashMap<TypeId, Arc<dyn OutsideHandler<A>>>,
    ) -> Self {
        let full_at = AtomicUsize::new(shared.config.instances_max);
        Self {
            shared,
            handlers,
            instances: DashMap::new(),
            count: AtomicUsize::new(0),
            full_at,
        }
    }

    /// The stream of the aggregate with this id.
    pub(crate) fn stream_of(id: &A::Id) -> Result<StreamId, DispatchError<A::Error>> {
        let text = id.to_string();
        StreamId::new(A::CATEGORY, &text).map_err(|source| DispatchError::InvalidId {
            category: A::CATEGORY,
            id: text.chars().take(100).collect(),
            source,
        })
    }

    /// Queues a command with its instance.
    pub(crate) fn submit(
        self: &Arc<Self>,
        id: &A::Id,
        mut job: Job<A>,
    ) -> Result<(), DispatchError<A::Error>> {
        loop {
            let (instance, made) = self.find_or_make(id)?;
            match instance.push(job, self) {
                Ok(()) => {
                    // Only now is the new one at work, and not the first to go.
                    if made {
                        self.make_room();
                    }
                    return Ok(());
                }
                Err(Refused::Retired(returned)) => {
                    self.forget(&instance);
                    job = *returned;
                }
                Err(Refused::Full { waiting }) => {
                    let stream = instance.stream.clone();
                    return Err(DispatchError::Overloaded { stream, waiting });
                }
            }
        }
    }

    /// Waits for a command's answer.
    pub(crate) async fn answer(
        job_id: crate::CommandId,
        answer: oneshot::Receiver<Answer<A>>,
    ) -> Answer<A> {
        answer.await.unwrap_or_else(|_| {
            let reason = "the task that worked on it ended".into();
            Err(DispatchError::OutcomeUnknown {
                command_id: job_id,
                reason,
            })
        })
    }

    /// The instance, if it is in memory.
    pub(crate) fn find(&self, id: &A::Id) -> Option<Arc<Instance<A>>> {
        self.instances.get(id).map(|instance| Arc::clone(&instance))
    }

    /// The instance, and whether it was not in memory before.
    fn find_or_make(&self, id: &A::Id) -> Result<Found<A>, DispatchError<A::Error>> {
        if let Some(instance) = self.find(id) {
            return Ok((instance, false));
        }
        let stream = Self::stream_of(id)?;
        let mut made = false;
        let make = || {
            made = true;
            let now = self.shared.clock.instant();
            Arc::new(Instance::new(id.clone(), stream, now))
        };
        let instance = Arc::clone(&*self.instances.entry(id.clone()).or_insert_with(make));
        if made {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
        Ok((instance, made))
    }

    /// Takes a retired instance off the list.
    pub(super) fn forget(&self, instance: &Arc<Instance<A>>) {
        let removed = self
            .instances
            .remove_if(&instance.id, |_, listed| Arc::ptr_eq(listed, instance));
        if removed.is_some() {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Evicts instances when there are too many; if too few are idle, not again before there are a good
    /// number more.
    fn make_room(&self) {
        if self.count() <= self.full_at.load(Ordering::Relaxed) {
            return;
        }
        self.evict_longest_idle();
        let (max, count) = (self.shared.config.instances_max, self.count());
        let full_at = if count <= max { max } else { count + max / 16 };
        self.full_at.store(full_at, Ordering::Relaxed);
    }

    /// Makes room: all that is too much and a sixteenth of the bound besides, so that a full cache is not
    /// searched for every new instance.
    fn evict_longest_idle(&self) {
        let mut idle: Vec<_> = self
            .instances
            .iter()
            .filter_map(|entry| Some((entry.value().idle_since()?, Arc::clone(entry.value()))))
            .collect();
        let max = self.shared.config.instances_max;
        let excess = self.count().saturating_sub(max);
        let wanted = (excess + max / 16).max(1).min(idle.len());
        if wanted < idle.len() {
            idle.select_nth_unstable_by_key(wanted, |(since, _)| *since);
        }
        for (since, instance) in idle.into_iter().take(wanted) {
            if instance.retire_if(|still, _| still == since) {
                self.forget(&instance);
            }
        }
    }
}

impl<A: Aggregate> Instances for AggregateRuntime<A> {
    fn evict_idle(&self) -> usize {
        let (now, default) = (
            self.shared.clock.instant(),
            self.shared.config.instance_idle,
        );
        let due: Vec<_> = self
            .instances
            .iter()
            .map(|entry| Arc::clone(entry.value()))
            .filter(|instance| instance.retire_if(|since, span| is_over(since, span, default, now)))
            .collect();
        due.iter().for_each(|instance| self.forget(instance));
        let max = self.shared.config.instances_max;
        self.full_at.store(max, Ordering::Relaxed);
        due.len()
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn as_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
