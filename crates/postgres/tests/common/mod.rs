//! What several test files need.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::collections::HashMap;
use std::sync::Mutex;

use ordain::EventStore;
use ordain_postgres::{Payload, PostgresOptions, PostgresStore};
use ordain_testkit::contract::StoreFixture;
use ordain_testkit::postgres::Database;
use uuid::Uuid;

/// Stores in databases of their own, on the run's throwaway server.
pub(crate) struct Databases {
    payload: Payload,
    /// By the identity of the store in it.
    made: Mutex<HashMap<Uuid, Database>>,
}

impl Databases {
    pub(crate) fn new(payload: Payload) -> Self {
        Self {
            payload,
            made: Mutex::default(),
        }
    }

    fn options(&self, database: &Database) -> PostgresOptions {
        PostgresStore::options()
            .url(&database.url())
            .payload(self.payload)
            .migrate_on_connect(true)
            .pool_size(4)
    }

    async fn fresh(&self, hard_deletes: bool) -> PostgresStore {
        let database = Database::create().await;
        let options = self.options(&database).hard_deletes(hard_deletes);
        let store = options.connect().await.unwrap();
        self.made.lock().unwrap().insert(store.identity(), database);
        store
    }

    async fn again(&self, store: &PostgresStore) -> PostgresStore {
        let options = {
            let made = self.made.lock().unwrap();
            self.options(&made[&store.identity()])
        };
        options.hard_deletes(true).connect().await.unwrap()
    }
}

impl StoreFixture for Databases {
    type Store = PostgresStore;

    async fn open(&self) -> PostgresStore {
        self.fresh(true).await
    }

    async fn open_without_hard_deletes(&self) -> PostgresStore {
        self.fresh(false).await
    }

    async fn reopen(&self, store: PostgresStore) -> Option<PostgresStore> {
        store.close().await;
        Some(self.again(&store).await)
    }

    async fn open_another_handle(&self, store: &PostgresStore) -> Option<PostgresStore> {
        Some(self.again(store).await)
    }
}
