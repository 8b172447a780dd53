//! The handlers and projections of an app, until it starts.

use std::sync::Arc;

use futures::future::BoxFuture;

use super::StartError;
use crate::handler::{Batched, Decoder, Raw, Single};
use crate::projection::Projecting;
use crate::store::{Filter, ProjectionStore, SubscriptionKey};
use crate::subscription::{
    Consumer, Delivering, Hub, Registration, SubscriptionError, SubscriptionOptions, register,
};
use crate::{BatchHandler, EventHandler, EventSet, EventType, Projection, RawHandler};

type Start =
    Box<dyn FnOnce(Arc<Hub>, Decoder) -> BoxFuture<'static, Result<(), StartError>> + Send + Sync>;

/// A handler or projection that is to be started.
pub(super) struct Reader {
    pub(super) name: &'static str,
    pub(super) types: &'static [EventType],
    pub(super) start: Start,
}

impl Reader {
    pub(super) fn event_handler<H: EventHandler>(handler: H) -> Self {
        Self {
            name: H::NAME,
            types: H::Events::TYPES,
            start: Box::new(|hub, decoder| {
                Box::pin(async move {
                    let wish = Wish {
                        key: SubscriptionKey::new(H::NAME, H::VERSION),
                        filter: decoder.filter::<H::Events>(),
                        options: handler.options(),
                        beside: false,
                    };
                    join(&hub, wish, Single { handler, decoder }).await
                })
            }),
        }
    }

    pub(super) fn batch_handler<H: BatchHandler>(handler: H) -> Self {
        Self {
            name: H::NAME,
            types: H::Events::TYPES,
            start: Box::new(|hub, decoder| {
                Box::pin(async move {
                    let wish = Wish {
                        key: SubscriptionKey::new(H::NAME, H::VERSION),
                        filter: decoder.filter::<H::Events>(),
                        options: handler.options(),
                        beside: false,
                    };
                    join(&hub, wish, Batched { handler, decoder }).await
                })
            }),
        }
    }

    pub(super) fn raw_handler<H: RawHandler>(handler: H) -> Self {
        Self {
            name: H::NAME,
            types: &[],
            start: Box::new(|hub, _| {
                Box::pin(async move {
                    let wish = Wish {
                        key: SubscriptionKey::new(H::NAME, H::VERSION),
                        filter: handler.filter(),
                        options: handler.options(),
                        beside: false,
                    };
                    join(&hub, wish, Raw { handler }).await
                })
            }),
        }
    }

    pub(super) fn projection<S, P>(store: S, projection: P) -> Self
    where
        S: ProjectionStore,
        P: Projection<S::Connection>,
    {
        Self {
            name: P::NAME,
            types: P::Events::TYPES,
            start: Box::new(|hub, decoder| {
                Box::pin(async move {
                    let wish = Wish {
                        key: SubscriptionKey::new(P::NAME, P::VERSION),
                        filter: decoder.filter::<P::Events>(),
                        options: projection.options(),
                        beside: true,
                    };
                    let projecting = Projecting {
                        store,
                        projection,
                        decoder,
                    };
                    projecting.setup().await?;
                    join(&hub, wish, projecting).await
                })
            }),
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

/// Makes the subscription unless it is there, and works on it.
async fn join(hub: &Hub, wish: Wish, consumer: impl Consumer) -> Result<(), StartError> {
    let registration = Registration {
        key: wish.key,
        filter: &wish.filter,
        options: &wish.options,
        beside: wish.beside,
    };
    let record = match register(&*hub.store, &registration).await {
        Ok(record) => record,
        Err(error @ SubscriptionError::Retired { .. }) => {
            tracing::warn!(%error, "it is left to newer processes");
            return Ok(());
        }
        Err(error) => return Err(error.into()),
    };
    let delivering = Delivering {
        consumer,
        filter: wish.filter,
        options: wish.options,
    };
    // The builder has refused a name that is given twice, so nobody else works on it.
    hub.join(record, Arc::new(delivering));
    Ok(())
}
