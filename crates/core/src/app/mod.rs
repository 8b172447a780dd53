//! A running app.

mod builder;
mod error;
mod inline;
mod loaded;
mod maintenance;
mod readers;
mod send;
mod shared;

use std::any::TypeId;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use serde_json::Value;
use tokio::sync::{OnceCell, watch};
use tokio_util::sync::DropGuard;

pub use self::builder::AppBuilder;
pub use self::error::{LoadError, ShutdownError, StartError};
pub use self::loaded::{HistoryEvent, Loaded, Moment};
use self::readers::{Reader, Surroundings};
pub(crate) use self::shared::Shared;
use crate::aggregate::instance::{AggregateRuntime, Instances};
use crate::dispatch::{Dispatch, DispatchJson, Routes};
use crate::handler::Decoder;
use crate::health::Health;
use crate::process_manager::{
    self, IssuedCommand, Processes, SCHEDULE, Schedule, ScheduleError, Scheduled, ScheduledId,
};
use crate::store::{EventStore, Filter, SubscriptionStore};
use crate::subscription::{
    Events, Follow, Goal, Hub, Subscribe, Subscription, SubscriptionError, Subscriptions,
    WaitError, wait,
};
use crate::{
    Aggregate, CodecError, CommandOf, EventSet, GlobalPosition, Routed, StoreError, StreamId,
};

/// A running app: it takes commands for its aggregates.
///
/// Cheap to clone; it ends when it is [shut down](App::shutdown), or when the last clone is dropped,
/// which cuts off what is under way.
#[derive(Clone)]
pub struct App {
    inner: Arc<Inner>,
    /// Ends all tasks with the last clone that a user has; those of the app's own tasks have none.
    _cut_off: Option<Arc<DropGuard>>,
}

/// The app as its own tasks know it, which do not keep it alive. Cheap to clone.
#[derive(Clone)]
pub(crate) struct WeakApp {
    inner: Weak<Inner>,
}

impl WeakApp {
    /// The app, unless it is gone.
    pub(crate) fn upgrade(&self) -> Option<App> {
        let inner = self.inner.upgrade()?;
        Some(App {
            inner,
            _cut_off: None,
        })
    }
}

struct Inner {
    shared: Arc<Shared>,
    hub: Arc<Hub>,
    aggregates: HashMap<TypeId, Arc<dyn Instances>>,
    routes: Arc<Routes>,
    decoder: Decoder,
    /// Filled when this process has begun to dispatch what was scheduled.
    scheduled: OnceCell<()>,
}

impl fmt::Debug for WeakApp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WeakApp")
    }
}

impl App {
    /// Puts together an app that keeps its events in this store.
    pub fn builder<S: SubscriptionStore>(store: S) -> AppBuilder<S> {
        AppBuilder::new(store)
    }

    fn run(
        shared: Arc<Shared>,
        hub: Arc<Hub>,
        decoder: Decoder,
        aggregates: HashMap<TypeId, Arc<dyn Instances>>,
        routes: Routes,
    ) -> Self {
        let cut_off = shared.cut_off.clone().drop_guard();
        let inner = Inner {
            shared,
            hub,
            aggregates,
            routes: Arc::new(routes),
            decoder,
            scheduled: OnceCell::new(),
        };
        let app = Self {
            inner: Arc::new(inner),
            _cut_off: Some(Arc::new(cut_off)),
        };
        app.inner.hub.set_app(app.downgrade());
        app
    }

    /// Begins what the app does by itself, when its subscriptions are there.
    fn maintain(&self) {
        let shared = self.shared();
        let instances = self.inner.aggregates.values().cloned().collect();
        let maintenance = maintenance::run(Arc::clone(shared), self.downgrade(), instances);
        let stopping = shared.stopping.clone();
        shared.spawn(async move {
            stopping.run_until_cancelled(maintenance).await;
        });
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            hub: Arc::clone(self.hub()),
            decoder: self.inner.decoder.clone(),
            app: self.downgrade(),
        }
    }

    /// Takes part in dispatching what was scheduled, if anything ever was.
    async fn follow_schedule(&self) -> Result<(), StartError> {
        if self.inner.scheduled.initialized() {
            return Ok(());
        }
        match self.hub().store.subscriptions(Some(SCHEDULE)).await?[..] {
            [] => Ok(()),
            [..] => self.begin_schedule().await,
        }
    }

    /// Takes part in dispatching what was scheduled.
    pub(crate) async fn begin_schedule(&self) -> Result<(), StartError> {
        let begin = || (Reader::process_manager::<Scheduled>().start)(self.surroundings());
        self.inner.scheduled.get_or_try_init(begin).await?;
        Ok(())
    }

    pub(crate) fn downgrade(&self) -> WeakApp {
        WeakApp {
            inner: Arc::downgrade(&self.inner),
        }
    }

    /// Dispatches a command to its aggregate. Nothing happens before the result is polled.
    ///
    /// `Ok` means that the command's events are stored.
    pub fn dispatch<A: Aggregate, C: CommandOf<A>>(&self, command: C) -> Dispatch<A> {
        Dispatch::new(self.clone(), command.route())
    }

    /// Dispatches a command to the aggregate `A`, where several have it.
    pub fn dispatch_to<A: Aggregate>(&self, command: impl CommandOf<A>) -> Dispatch<A> {
        Dispatch::new(self.clone(), command.route())
    }

    /// Dispatches the command of this name, given as JSON. Nothing happens before the result is
    /// polled.
    pub fn dispatch_json(&self, name: &str, body: Value) -> DispatchJson {
        DispatchJson::new(self.clone(), name, body)
    }

    /// Has a command dispatched later: say when.
    ///
    /// It is durable: whichever process runs then dispatches it, and it takes effect once. A process that was
    /// running before anything was ever scheduled in the store takes part within a minute.
    pub fn schedule<A: Aggregate>(&self, command: impl CommandOf<A>) -> Schedule {
        let command = self.issued(&command.route());
        Schedule::new(self.clone(), command)
    }

    /// A command to be scheduled, unless nothing can ever come of it.
    fn issued<A: Aggregate>(&self, command: &Routed<A>) -> Result<IssuedCommand, ScheduleError> {
        let category = A::CATEGORY;
        if self.aggregate::<A>().is_none() {
            return Err(ScheduleError::NotRegistered { category });
        }
        let command = IssuedCommand::of(command)
            .map_err(|error| ScheduleError::Unwritable(CodecError::encode(error)))?;
        match StreamId::new(category, command.id()) {
            Ok(_) => Ok(command),
            Err(source) => Err(ScheduleError::InvalidId {
                category,
                id: command.id().chars().take(100).collect(),
                source,
            }),
        }
    }

    /// Takes back a command that was [scheduled](Self::schedule); `false` if it is on its way, or carried out.
    ///
    /// # Errors
    /// Only if the store cannot work.
    pub async fn cancel_scheduled(&self, id: ScheduledId) -> Result<bool, StoreError> {
        process_manager::cancel(&*self.hub().store, id).await
    }

    /// The store that the app keeps its events in.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.shared().store
    }

    /// The subscriptions of the app's store: how they stand, and what they are told.
    pub fn subscriptions(&self) -> Subscriptions {
        Subscriptions::with_hub(&self.inner.hub)
    }

    /// The filter for the events of a set, by all names that they are stored under, also of the past: for
    /// [`follow`](Self::follow) and [`subscribe`](Self::subscribe).
    pub fn filter_of<S: EventSet>(&self) -> Filter {
        self.inner.decoder.filter::<S>()
    }

    /// Follows the log: the events before, then those that come, without remembering anything.
    ///
    /// # Errors
    /// Only if the store cannot work.
    pub async fn follow(&self, follow: Follow) -> Result<Events, StoreError> {
        Events::follow(self.hub(), follow).await
    }

    /// Opens a durable subscription, which the caller drives: take events, and acknowledge them.
    ///
    /// # Errors
    /// If it cannot be made as it is wanted, or is open in this process already.
    pub async fn subscribe(&self, subscribe: Subscribe) -> Result<Subscription, SubscriptionError> {
        Subscription::open(self.hub(), subscribe).await
    }

    /// The instances of a process manager.
    pub fn processes(&self, name: &str) -> Processes {
        Processes::new(Arc::clone(&self.hub().store), name)
    }

    /// Waits until a subscription has come to a position, whichever process works on it.
    ///
    /// # Errors
    /// If it does not come there in time, or cannot.
    pub async fn wait_until(
        &self,
        name: &str,
        position: impl Into<GlobalPosition>,
        deadline: Instant,
    ) -> Result<(), WaitError> {
        let goal = Goal {
            name,
            position: position.into(),
            stream: None,
            deadline: deadline.into(),
        };
        wait(self.hub(), goal).await
    }

    /// How the app is doing.
    pub fn health(&self) -> Health {
        self.shared().health.health()
    }

    /// Tells of every change in how the app is doing.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.shared().health.watch()
    }

    /// How many instances are in memory.
    pub fn instances(&self) -> usize {
        self.inner
            .aggregates
            .values()
            .map(|instances| instances.count())
            .sum()
    }

    /// Puts instances out of memory that have been idle for too long; returns how many.
    ///
    /// The app does so by itself from time to time.
    pub fn evict_idle_instances(&self) -> usize {
        self.inner
            .aggregates
            .values()
            .map(|instances| instances.evict_idle())
            .sum()
    }

    /// Takes no more commands, and waits until those that were begun have ended.
    ///
    /// The store stays open. Calling it again waits again, and it goes on if nobody waits for it.
    ///
    /// # Errors
    /// If something has not ended after the [time allowed](crate::Config::drain); it is cut off then.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        let shared = Arc::clone(self.shared());
        // In a task of its own: who calls it may be cut off by it, as a handler is.
        let stopped = tokio::spawn(async move { shared.stop().await }).await;
        stopped.unwrap_or_else(|_| {
            let unfinished = self.shared().tracker.len();
            Err(ShutdownError { unfinished })
        })
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.inner.hub
    }

    pub(crate) fn routes(&self) -> &Arc<Routes> {
        &self.inner.routes
    }

    pub(crate) fn aggregate<A: Aggregate>(&self) -> Option<Arc<AggregateRuntime<A>>> {
        let instances = self.inner.aggregates.get(&TypeId::of::<A>())?;
        Arc::clone(instances).as_any().downcast().ok()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("App")
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
