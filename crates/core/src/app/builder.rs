//! Putting an app together.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::inline::Inline;
use super::readers::Reader;
use super::{App, Shared, StartError};
use crate::aggregate::instance::{AggregateRuntime, HandlerOf, Instances, OutsideHandler};
use crate::aggregate::load::Loader;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::dispatch::Routes;
use crate::handler::Decoder;
use crate::health::Monitor;
use crate::middleware::Middleware;
use crate::store::{EventStore, ProjectionStore, SubscriptionStore};
use crate::subscription::{Hub, HubOptions, TailOptions};
use crate::{
    Aggregate, BatchHandler, Command, CommandHandler, EventHandler, EventSet, EventType,
    ProcessManager, Projection, RawHandler, Upcaster, Upcasters, check_category,
};

/// Puts an app together: aggregates, handlers, middleware, options.
pub struct AppBuilder<S> {
    store: S,
    config: Config,
    clock: Arc<dyn Clock>,
    upcasters: Upcasters,
    middleware: Vec<Arc<dyn Middleware>>,
    aggregates: Vec<Registration>,
    handlers: Vec<Handler>,
    readers: Vec<Reader>,
    inline: Inline<S>,
}

/// What the builder knows of an aggregate without its type.
struct Registration {
    category: &'static str,
    type_id: TypeId,
    events: &'static [EventType],
    outside: Vec<(&'static str, TypeId)>,
    add_routes: fn(&mut Routes) -> Result<(), (&'static str, &'static str)>,
    build: fn(Arc<Shared>, Vec<Handler>) -> Arc<dyn Instances>,
}

struct Handler {
    aggregate: TypeId,
    command: TypeId,
    command_name: &'static str,
    /// An `Arc<dyn OutsideHandler<A>>`.
    handler: Box<dyn Any + Send + Sync>,
}

impl<S: SubscriptionStore> AppBuilder<S> {
    pub(super) fn new(store: S) -> Self {
        Self {
            store,
            config: Config::default(),
            clock: SystemClock::shared(),
            upcasters: Upcasters::new(),
            middleware: Vec::new(),
            aggregates: Vec::new(),
            handlers: Vec::new(),
            readers: Vec::new(),
            inline: Inline::none(),
        }
    }

    /// Takes commands for this aggregate.
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        self.aggregates.push(Registration {
            category: A::CATEGORY,
            type_id: TypeId::of::<A>(),
            events: A::Event::TYPES,
            outside: A::outside_commands()
                .iter()
                .map(|route| (route.name(), route.command_type()))
                .collect(),
            add_routes: Routes::add::<A>,
            build: build::<A>,
        });
        self
    }

    /// Has a command that its aggregate lists under `outside(..)` decided by this handler.
    #[must_use]
    pub fn command_handler<C, H>(mut self, handler: H) -> Self
    where
        C: Command,
        H: CommandHandler<C>,
    {
        let handler: Arc<dyn OutsideHandler<H::Aggregate>> =
            Arc::new(HandlerOf::<C, H>::new(handler));
        self.handlers.push(Handler {
            aggregate: TypeId::of::<H::Aggregate>(),
            command: TypeId::of::<C>(),
            command_name: C::NAME,
            handler: Box::new(handler),
        });
        self
    }

    /// Has events handled one by one, at least once each.
    #[must_use]
    pub fn event_handler(mut self, handler: impl EventHandler) -> Self {
        self.readers.push(Reader::event_handler(handler));
        self
    }

    /// Has events handled many at once, at least once each.
    #[must_use]
    pub fn batch_handler(mut self, handler: impl BatchHandler) -> Self {
        self.readers.push(Reader::batch_handler(handler));
        self
    }

    /// Has events handled as they are stored, at least once each.
    #[must_use]
    pub fn raw_handler(mut self, handler: impl RawHandler) -> Self {
        self.readers.push(Reader::raw_handler(handler));
        self
    }

    /// Has events taken into a read model, exactly once each.
    #[must_use]
    pub fn projection<P: Projection<S::Connection>>(mut self, projection: P) -> Self
    where
        S: ProjectionStore,
    {
        let store = self.store.clone();
        self.readers.push(Reader::projection(store, projection));
        self
    }

    /// Has the events of commands taken into a read model in the commands' own transactions: it is current
    /// as soon as a command is answered.
    ///
    /// Such a command is not committed together with others, and commands of its aggregate wait for each
    /// other. If the projection fails, the command fails and nothing is stored. The projection does not know
    /// the events' positions, is shown none that are there already, and is not called for events that are
    /// appended without a command.
    #[must_use]
    pub fn inline_projection<P: Projection<S::Connection>>(mut self, projection: P) -> Self
    where
        S: ProjectionStore,
    {
        self.inline.add(projection);
        self
    }

    /// Has instances of this process manager react to events with commands and timers.
    #[must_use]
    pub fn process_manager<P: ProcessManager>(mut self) -> Self {
        self.readers.push(Reader::process_manager::<P>());
        self
    }

    /// Wraps every dispatch in this; what is added first is outermost.
    #[must_use]
    pub fn middleware(mut self, middleware: impl Middleware) -> Self {
        self.middleware.push(Arc::new(middleware));
        self
    }

    /// Brings old events up to date while they are read.
    #[must_use]
    pub fn upcaster(mut self, upcaster: Upcaster) -> Self {
        self.upcasters.add(upcaster);
        self
    }

    /// Bounds the app this way.
    #[must_use]
    pub fn config(mut self, config: Config) -> Self {
        self.config = config;
        self
    }

    /// Takes the time from this clock.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Checks everything and starts the app.
    ///
    /// # Errors
    /// An option that cannot be, parts that do not fit together, a store that does not answer.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub async fn start(self) -> Result<App, StartError> {
        self.config.check()?;
        self.check_aggregates()?;
        self.check_handlers()?;
        let events: Vec<_> = self
            .aggregates
            .iter()
            .flat_map(|aggregate| aggregate.events)
            .chain(self.readers.iter().flat_map(|reader| reader.types))
            .chain(self.inline.types())
            .copied()
            .collect();
        self.upcasters.check(&events)?;
        let mut routes = Routes::default();
        for aggregate in &self.aggregates {
            (aggregate.add_routes)(&mut routes).map_err(|(name, first)| {
                StartError::CommandTwice {
                    name,
                    first,
                    second: aggregate.category,
                }
            })?;
        }
        self.check_readers()?;
        self.store.head().await?;
        let (app, readers) = self.build(routes).await?;
        if let Err(error) = start_all(&app, readers).await {
            // What is under way has done nothing that needs more than to be given back.
            let _ = app.shutdown().await;
            return Err(error);
        }
        app.maintain();
        Ok(app)
    }

    fn check_readers(&self) -> Result<(), StartError> {
        let mut seen = Vec::new();
        let readers = self.readers.iter().map(|reader| &reader.name);
        for name in readers.chain(self.inline.names()) {
            if seen.contains(name) {
                return Err(StartError::NameTwice { name });
            }
            if name.starts_with('$') {
                return Err(StartError::ReservedName { name });
            }
            seen.push(name);
        }
        Ok(())
    }

    fn check_aggregates(&self) -> Result<(), StartError> {
        let mut seen = Vec::new();
        for Registration { category, .. } in &self.aggregates {
            check_category(category).map_err(|source| StartError::Category { category, source })?;
            if seen.contains(category) {
                return Err(StartError::CategoryTwice { category });
            }
            seen.push(category);
        }
        Ok(())
    }

    fn check_handlers(&self) -> Result<(), StartError> {
        for aggregate in &self.aggregates {
            for (command, command_type) in &aggregate.outside {
                let is_for = |handler: &&Handler| handler.is_for(aggregate.type_id, *command_type);
                match self.handlers.iter().filter(is_for).count() {
                    1 => {}
                    0 => {
                        let category = aggregate.category;
                        return Err(StartError::HandlerMissing { command, category });
                    }
                    _ => {
                        let problem = "the command has two; keep one";
                        return Err(StartError::HandlerMisplaced { command, problem });
                    }
                }
            }
        }
        let misplaced = self.handlers.iter().find(|handler| !self.lists(handler));
        match misplaced {
            None => Ok(()),
            Some(handler) => Err(StartError::HandlerMisplaced {
                command: handler.command_name,
                problem: "its aggregate is not registered, or does not list it under `outside(..)`",
            }),
        }
    }

    fn lists(&self, handler: &Handler) -> bool {
        self.aggregates.iter().any(|aggregate| {
            let mut outside = aggregate.outside.iter();
            outside.any(|(_, command)| handler.is_for(aggregate.type_id, *command))
        })
    }

    async fn build(self, routes: Routes) -> Result<(App, Vec<Reader>), StartError> {
        let upcasters = Arc::new(self.upcasters);
        let decoder = Decoder::new(self.store.codec().clone(), Arc::clone(&upcasters));
        let inline_names = self.inline.names().copied().collect();
        let inline = self.inline.start(&self.store, &decoder, &self.clock);
        let inline = inline.await?;
        let subscriptions: Arc<dyn SubscriptionStore> = Arc::new(self.store);
        let store = Arc::clone(&subscriptions) as Arc<dyn EventStore>;
        let loader = Loader {
            store: Arc::clone(&store),
            codec: store.codec().clone(),
            upcasters,
            page: self.config.page,
            warned: Arc::default(),
        };
        let hub_options = HubOptions {
            lease: self.config.lease,
            beat: self.config.beat.min(self.config.lease / 3),
            tail: TailOptions {
                poll: self.config.poll,
                page: self.config.page,
            },
            inline: inline_names,
        };
        let snapshot_writers = self.config.snapshot_writers.min(Semaphore::MAX_PERMITS);
        let shared = Arc::new(Shared {
            store,
            inline,
            loader,
            clock: Arc::clone(&self.clock),
            health: Monitor::new(self.clock),
            middleware: self.middleware,
            snapshot_permits: Arc::new(Semaphore::new(snapshot_writers)),
            config: self.config,
            tracker: TaskTracker::new(),
            stopping: CancellationToken::new(),
            cut_off: CancellationToken::new(),
        });
        let mut handlers = self.handlers;
        let mut aggregates = HashMap::new();
        for aggregate in self.aggregates {
            let is_own = |handler: &mut Handler| handler.aggregate == aggregate.type_id;
            let own = handlers.extract_if(.., is_own).collect();
            let instances = (aggregate.build)(Arc::clone(&shared), own);
            aggregates.insert(aggregate.type_id, instances);
        }
        let hub = Hub::start(subscriptions, hub_options, &shared);
        let app = App::run(shared, hub, decoder, aggregates, routes);
        Ok((app, self.readers))
    }
}

async fn start_all(app: &App, readers: Vec<Reader>) -> Result<(), StartError> {
    for reader in readers {
        (reader.start)(app.surroundings()).await?;
    }
    app.follow_schedule().await
}

impl Handler {
    fn is_for(&self, aggregate: TypeId, command: TypeId) -> bool {
        (self.aggregate, self.command) == (aggregate, command)
    }
}

fn build<A: Aggregate>(shared: Arc<Shared>, handlers: Vec<Handler>) -> Arc<dyn Instances> {
    let handlers = handlers.into_iter().filter_map(|entry| {
        let handler = entry
            .handler
            .downcast::<Arc<dyn OutsideHandler<A>>>()
            .ok()?;
        Some((entry.command, *handler))
    });
    Arc::new(AggregateRuntime::<A>::new(shared, handlers.collect()))
}

impl<S> fmt::Debug for AppBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let categories: Vec<_> = self.aggregates.iter().map(|one| one.category).collect();
        f.debug_struct("AppBuilder")
            .field("aggregates", &categories)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
