//! The projections of the commands' own transactions, until the app starts.

use std::any::Any;
use std::sync::Arc;

use futures::future::BoxFuture;

use super::StartError;
use crate::clock::Clock;
use crate::handler::Decoder;
use crate::projection::{InlineAppend, InlineProjections};
use crate::store::ProjectionStore;
use crate::{EventSet, EventType, Projection};

type Started<'a> = BoxFuture<'a, Result<Option<Arc<dyn InlineAppend>>, StartError>>;

/// The projections of the commands' own transactions, until the app starts.
pub(super) struct Inline<S> {
    names: Vec<&'static str>,
    types: Vec<EventType>,
    /// Adds each to an [`InlineProjections`], which only a store with transactions can have.
    additions: Additions,
    start: for<'a> fn(Additions, &'a S, &'a Decoder, Arc<dyn Clock>) -> Started<'a>,
}

type Additions = Vec<Box<dyn Any + Send + Sync>>;

type Addition<S> = Box<dyn FnOnce(&mut InlineProjections<S>) + Send + Sync>;

impl<S> Inline<S> {
    pub(super) fn none() -> Self {
        Self {
            names: Vec::new(),
            types: Vec::new(),
            additions: Vec::new(),
            start: |_, _, _, _| Box::pin(async { Ok(None) }),
        }
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &&'static str> {
        self.names.iter()
    }

    pub(super) fn types(&self) -> impl Iterator<Item = &EventType> {
        self.types.iter()
    }

    /// Makes the tables.
    pub(super) fn start<'a>(
        self,
        store: &'a S,
        decoder: &'a Decoder,
        clock: &Arc<dyn Clock>,
    ) -> Started<'a> {
        (self.start)(self.additions, store, decoder, Arc::clone(clock))
    }
}

impl<S: ProjectionStore> Inline<S> {
    pub(super) fn add<P: Projection<S::Connection>>(&mut self, projection: P) {
        let addition: Addition<S> = Box::new(|projections| projections.add(projection));
        self.names.push(P::NAME);
        self.types.extend(P::Events::TYPES);
        self.additions.push(Box::new(addition));
        self.start =
            |additions, store, decoder, clock| Box::pin(start(additions, store, decoder, clock));
    }
}

async fn start<S: ProjectionStore>(
    additions: Additions,
    store: &S,
    decoder: &Decoder,
    clock: Arc<dyn Clock>,
) -> Result<Option<Arc<dyn InlineAppend>>, StartError> {
    let mut projections = InlineProjections::new(store.clone(), decoder.clone(), clock);
    for addition in additions {
        if let Ok(addition) = addition.downcast::<Addition<S>>() {
            addition(&mut projections);
        }
    }
    projections.setup().await?;
    Ok(Some(Arc::new(projections)))
}
