//! How the suite opens the stores it tests.

use std::sync::Arc;

use ordain::store::{MemoryOptions, ProjectionStore};
use ordain::{Clock, EventStore, MemoryStore, ReadModels};

/// Opens stores for the contract suite.
///
/// They keep JSON ([`Codec::Json`](ordain::Codec::Json)) and have the default
/// [`Limits`](ordain::store::Limits). Every one that is opened is a place of its own, until it is
/// opened again by [`reopen`](Self::reopen) or [`open_another_handle`](Self::open_another_handle).
/// What has to be removed after a test is the fixture's to remove when it is dropped.
#[allow(
    async_fn_in_trait,
    reason = "only the suite calls it, and spawns none of these futures"
)]
pub trait StoreFixture {
    /// The store under test.
    type Store: EventStore;

    /// A fresh, empty store on which streams can be erased.
    async fn open(&self) -> Self::Store;

    /// A fresh, empty store on which streams cannot be erased.
    async fn open_without_hard_deletes(&self) -> Self::Store;

    /// A fresh, empty store that takes `recorded_at` from this clock; `None` if the time is the
    /// database's.
    async fn open_with_clock(&self, clock: Arc<dyn Clock>) -> Option<Self::Store> {
        let _ = clock;
        None
    }

    /// Opens the same data again, after `store` was [closed](EventStore::close); `None` if nothing
    /// outlives the store.
    async fn reopen(&self, store: Self::Store) -> Option<Self::Store> {
        drop(store);
        None
    }

    /// A second store on the same data, as another process has it; `None` if there is no such thing.
    async fn open_another_handle(&self, store: &Self::Store) -> Option<Self::Store> {
        let _ = store;
        None
    }
}

/// What read models are written with in the stores of a fixture.
pub type ConnectionOf<F> = <<F as StoreFixture>::Store as ProjectionStore>::Connection;

/// Opens stores for the subscription contract, and says how a read model is written in them.
///
/// The read model is one table of numbers under texts, which is the fixture's to make; its stores may share it.
#[allow(
    async_fn_in_trait,
    reason = "only the suite calls it, and spawns none of these futures"
)]
pub trait SubscriptionFixture: StoreFixture<Store: ProjectionStore> {
    /// Makes the read model in a store, unless it is there; called once for each, before anything is put into
    /// it.
    async fn make_read_model(&self, store: &Self::Store) {
        let _ = store;
    }

    /// Puts a number under a key, in place of the one before.
    fn put(
        &self,
        connection: &mut ConnectionOf<Self>,
        key: &str,
        number: i64,
    ) -> impl Future<Output = ()> + Send;

    /// The number under a key.
    fn get(
        &self,
        connection: &mut ConnectionOf<Self>,
        key: &str,
    ) -> impl Future<Output = Option<i64>> + Send;
}

/// The store in memory.
#[derive(Debug, Clone, Copy, Default)]
pub struct MemoryFixture;

impl StoreFixture for MemoryFixture {
    type Store = MemoryStore;

    async fn open(&self) -> MemoryStore {
        MemoryStore::with_options(MemoryOptions::new().hard_deletes(true))
    }

    async fn open_without_hard_deletes(&self) -> MemoryStore {
        MemoryStore::new()
    }

    async fn open_with_clock(&self, clock: Arc<dyn Clock>) -> Option<MemoryStore> {
        let options = MemoryOptions::new().hard_deletes(true).clock(clock);
        Some(MemoryStore::with_options(options))
    }

    async fn open_another_handle(&self, store: &MemoryStore) -> Option<MemoryStore> {
        Some(store.clone())
    }
}

impl SubscriptionFixture for MemoryFixture {
    async fn put(&self, models: &mut ReadModels, key: &str, number: i64) {
        models.put("numbers", key, number);
    }

    async fn get(&self, models: &mut ReadModels, key: &str) -> Option<i64> {
        models.get("numbers", key)
    }
}
