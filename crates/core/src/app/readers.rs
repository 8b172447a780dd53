//! The handlers and projections of an app, until it starts.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::{StartError, WeakApp};
use crate::handler::{Batched, Decoder, Raw, Single};
use crate::process_manager::Managing;
use crate::projection::Projecting;
use crate::store::{Filter, ProjectionStore, SubscriptionKey, SubscriptionRecord};
use crate::subscription::{
    Consumer, Delivering, Hub, Registration, SubscriptionError, SubscriptionOptions, Work, register,
};
use crate::{
    BatchHandler, EventHandler, EventSet, EventType, ProcessManager, Projection, RawHandler,
};

type Start =
    Box<dyn FnOnce(Surroundings) -> BoxFuture<'static, Result<(), StartError>> + Send + Sync>;

/// What a reader is started in.
#[derive(Clone)]
pub(super) struct Surroundings {
    pub(super) hub: Arc<Hub>,
    pub(super) decoder: Decoder,
    pub(super) app: WeakApp,
}

/// A handler or projection that is to be started.
pub(super) struct Reader {
    pub(super) name: &'static str,
    pub(super) types: &'static [EventType],
    pub(super) start: Start,
}

impl Reader {
    pub(super) fn event_handler<H: EventHandler>(handler: H) -> Self {
        Self::new(H::NAME, H::Events::TYPES, |around| async move {
            let Surroundings { hub, decoder, .. } = around;
            let key = SubscriptionKey::new(H::NAME, H::VERSION);
            let wish = Wish::new(key, decoder.filter::<H::Events>(), handler.options());
            join(&hub, wish, delivering(Single { handler, decoder })).await
        })
    }

    pub(super) fn batch_handler<H: BatchHandler>(handler: H) -> Self {
        Self::new(H::NAME, H::Events::TYPES, |around| async move {
            let Surroundings { hub, decoder, .. } = around;
            let key = SubscriptionKey::new(H::NAME, H::VERSION);
            let wish = Wish::new(key, decoder.filter::<H::Events>(), handler.options());
            join(&hub, wish, delivering(Batched { handler, decoder })).await
        })
    }

    pub(super) fn raw_handler<H: RawHandler>(handler: H) -> Self {
        Self::new(H::NAME, &[], |around| async move {
            let key = SubscriptionKey::new(H::NAME, H::VERSION);
            let wish = Wish::new(key, handler.filter(), handler.options());
            join(&around.hub, wish, delivering(Raw { handler })).await
        })
    }

    pub(super) fn projection<S, P>(store: S, projection: P) -> Self
    where
        S: ProjectionStore,
        P: Projection<S::Connection>,
    {
        Self::new(P::NAME, P::Events::TYPES, |around| async move {
            let Surroundings { hub, decoder, .. } = around;
            let key = SubscriptionKey::new(P::NAME, P::VERSION);
            let wish = Wish::new(key, decoder.filter::<P::Events>(), projection.options());
            let wish = wish.beside();
            // An older version touches nothing once another is in its place.
            let Some(record) = made(&hub, &wish).await? else {
                return Ok(());
            };
            let projecting = Projecting {
                store,
                projection,
                decoder,
            };
            projecting.setup().await?;
            hub.join(record, Arc::new(delivering(projecting)(wish)));
            Ok(())
        })
    }

    pub(super) fn process_manager<P: ProcessManager>() -> Self {
        Self::new(P::NAME, P::Events::TYPES, |around| async move {
            let managing = Managing::<P>::new(around.app, around.decoder);
            if let Some((option, problem)) = managing.options.problem() {
                let name = P::NAME.to_owned();
                let error = SubscriptionError::Option {
                    name,
                    option,
                    problem,
                };
                return Err(error.into());
            }
            let key = SubscriptionKey::new(P::NAME, P::VERSION);
            let options = managing.options.subscription.clone();
            let wish = Wish::new(key, managing.filter.clone(), options);
            join(&around.hub, wish, |_| managing).await
        })
    }

    fn new<F, Started>(name: &'static str, types: &'static [EventType], start: F) -> Self
    where
        F: FnOnce(Surroundings) -> Started + Send + Sync + 'static,
        Started: Future<Output = Result<(), StartError>> + Send + 'static,
    {
        Self {
            name,
            types,
            start: Box::new(|around| Box::pin(start(around))),
        }
    }
}

/// What a subscription is wanted to be like.
struct Wish {
    key: SubscriptionKey,
    filter: Filter,
    options: SubscriptionOptions,
    beside: bool,
}

impl Wish {
    fn new(key: SubscriptionKey, filter: Filter, options: SubscriptionOptions) -> Self {
        Self {
            key,
            filter,
            options,
            beside: false,
        }
    }

    /// A new version is built beside the old one.
    fn beside(self) -> Self {
        Self {
            beside: true,
            ..self
        }
    }
}

/// Makes the subscription unless it is there, and works on it.
async fn join<W: Work>(
    hub: &Hub,
    wish: Wish,
    work: impl FnOnce(Wish) -> W,
) -> Result<(), StartError> {
    if let Some(record) = made(hub, &wish).await? {
        hub.join(record, Arc::new(work(wish)));
    }
    Ok(())
}

/// Makes the subscription unless it is there; `None` if another version has taken its place.
async fn made(hub: &Hub, wish: &Wish) -> Result<Option<SubscriptionRecord>, StartError> {
    let registration = Registration {
        key: wish.key.clone(),
        filter: &wish.filter,
        options: &wish.options,
        beside: wish.beside,
    };
    match register(&*hub.store, &registration).await {
        Ok(record) => {
            warn_of_other_partitions(&record, &wish.options);
            Ok(Some(record))
        }
        Err(error @ SubscriptionError::Retired { .. }) => {
            tracing::warn!(%error, "it is left to newer processes");
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn warn_of_other_partitions(record: &SubscriptionRecord, options: &SubscriptionOptions) {
    let has = record.partitions.len();
    if has != options.partitions as usize && record.definition.barrier.is_none() {
        let wants = options.partitions;
        tracing::warn!(subscription = %record.key, has, wants, "it keeps the partitions that it was made with; `App::subscriptions` repartitions it");
    }
}

/// Has a subscription deliver to a consumer.
fn delivering<C: Consumer>(consumer: C) -> impl FnOnce(Wish) -> Delivering<C> {
    |wish| Delivering {
        consumer,
        filter: wish.filter,
        options: wish.options,
    }
}
