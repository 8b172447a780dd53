//! What opens stores for the suites of the testkit.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::sync::Arc;
use std::time::Duration;

use ordain::{Clock, EventStore};
use ordain_sqlite::{LentConnection, SqliteOptions, SqliteStore};
use ordain_testkit::contract::{StoreFixture, SubscriptionFixture};
use tempfile::TempDir;

/// Files in a folder of their own, removed with the fixture.
pub(crate) struct Files {
    folder: TempDir,
}

impl Files {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Options of a file that no store has opened yet.
    pub(crate) fn fresh(&self) -> SqliteOptions {
        let (file, path) = tempfile::Builder::new()
            .suffix(".db")
            .tempfile_in(&self.folder)
            .unwrap()
            .keep()
            .unwrap();
        drop(file);
        std::fs::remove_file(&path).unwrap();
        Self::patient(SqliteStore::options().path(path))
    }

    /// Options of a store that waits long for other processes.
    pub(crate) fn patient(options: SqliteOptions) -> SqliteOptions {
        options.busy_timeout(Duration::from_secs(60))
    }

    fn again(store: &SqliteStore) -> SqliteOptions {
        Self::patient(SqliteStore::options().path(store.path())).hard_deletes(true)
    }
}

impl StoreFixture for Files {
    type Store = SqliteStore;

    async fn open(&self) -> SqliteStore {
        self.fresh().hard_deletes(true).open().await.unwrap()
    }

    async fn open_without_hard_deletes(&self) -> SqliteStore {
        self.fresh().open().await.unwrap()
    }

    async fn open_with_clock(&self, clock: Arc<dyn Clock>) -> Option<SqliteStore> {
        Some(
            self.fresh()
                .hard_deletes(true)
                .clock(clock)
                .open()
                .await
                .unwrap(),
        )
    }

    async fn reopen(&self, store: SqliteStore) -> Option<SqliteStore> {
        store.close().await;
        Some(Self::again(&store).open().await.unwrap())
    }

    async fn open_another_handle(&self, store: &SqliteStore) -> Option<SqliteStore> {
        Some(Self::again(store).open().await.unwrap())
    }
}

impl SubscriptionFixture for Files {
    async fn make_read_model(&self, store: &SqliteStore) {
        let mut transaction = store.begin().await.unwrap();
        sqlx::query("CREATE TABLE numbers (key TEXT PRIMARY KEY, number INTEGER) STRICT")
            .execute(&mut *transaction)
            .await
            .unwrap();
        transaction.commit().await.unwrap();
    }

    async fn put(&self, connection: &mut LentConnection, key: &str, number: i64) {
        sqlx::query("INSERT OR REPLACE INTO numbers (key, number) VALUES (?1, ?2)")
            .bind(key)
            .bind(number)
            .execute(connection)
            .await
            .unwrap();
    }

    async fn get(&self, connection: &mut LentConnection, key: &str) -> Option<i64> {
        sqlx::query_scalar("SELECT number FROM numbers WHERE key = ?1")
            .bind(key)
            .fetch_optional(connection)
            .await
            .unwrap()
    }
}
