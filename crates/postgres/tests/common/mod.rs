//! What several test files need.
#![allow(dead_code, reason = "not every test file needs all of it")]

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

use ordain::EventStore;
use ordain::store::ProjectionStore;
use ordain_postgres::{Payload, PostgresOptions, PostgresStore};
use ordain_testkit::contract::{StoreFixture, SubscriptionFixture};
use ordain_testkit::postgres::{Database, Found, PgBouncer, PoolMode};
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row};
use uuid::Uuid;

/// Stores in schemas of their own, all of them in one database of the run's throwaway server: making a
/// schema takes a fraction of what making a database takes, and none may notice the others.
pub(crate) struct Schemas {
    payload: Payload,
    pooled: bool,
    /// By the identity of the store in it.
    made: Mutex<HashMap<Uuid, Schema>>,
    /// The table of the read model.
    numbers: String,
}

struct Schema {
    place: Arc<Place>,
    name: String,
}

/// A database, and perhaps a pooler before it.
pub(crate) struct Place {
    database: Database,
    bouncer: Option<PgBouncer>,
    schemas: AtomicUsize,
}

type Kept = (Weak<Place>, Option<Arc<Place>>);

/// The places of this process. On a throwaway server, which ends with its last user, they are kept; elsewhere
/// they end with the last of the tests that run at the moment.
static CURRENT: tokio::sync::Mutex<[Kept; 2]> =
    tokio::sync::Mutex::const_new([(Weak::new(), None), (Weak::new(), None)]);

impl Place {
    pub(crate) async fn current(pooled: bool) -> Arc<Self> {
        let current = &mut CURRENT.lock().await[usize::from(pooled)];
        if let Some(place) = current.0.upgrade() {
            return place;
        }
        let database = Database::create().await;
        let bouncer = match pooled {
            true => Some(bouncer(&database).await),
            false => None,
        };
        let place = Arc::new(Self {
            database,
            bouncer,
            schemas: AtomicUsize::new(0),
        });
        let stays = !matches!(place.database.server(), Some(Found::Url(_)));
        *current = (Arc::downgrade(&place), stays.then(|| Arc::clone(&place)));
        place
    }

    pub(crate) fn url(&self) -> String {
        match &self.bouncer {
            Some(bouncer) => bouncer.url(&self.database.name()),
            None => self.database.url(),
        }
    }

    /// The name of a schema that nobody else has, one that has to be quoted.
    pub(crate) fn new_schema(&self) -> String {
        format!("Store {}", self.schemas.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn options(&self, schema: &str) -> PostgresOptions {
        PostgresStore::options()
            .url(&self.url())
            .pooled(self.bouncer.is_some())
            .listen_url(&self.database.url())
            .schema(schema)
            .migrate_on_connect(true)
            .pool_size(4)
    }
}

/// So few connections to the server that many clients share each of them.
async fn bouncer(database: &Database) -> PgBouncer {
    let settings = [("default_pool_size", "3"), ("max_client_conn", "1000")];
    let started = PgBouncer::start(database, PoolMode::Transaction, &settings).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

impl Schemas {
    pub(crate) fn new(payload: Payload) -> Self {
        Self {
            payload,
            pooled: false,
            made: Mutex::default(),
            numbers: format!("numbers_{}", Uuid::now_v7().simple()),
        }
    }

    /// Behind PgBouncer in transaction mode.
    pub(crate) fn pooled() -> Self {
        Self {
            pooled: true,
            ..Self::new(Payload::Json)
        }
    }

    async fn fresh(&self, hard_deletes: bool) -> PostgresStore {
        let place = Place::current(self.pooled).await;
        let name = place.new_schema();
        let options = place.options(&name).payload(self.payload);
        let store = options.hard_deletes(hard_deletes).connect().await.unwrap();
        let schema = Schema { place, name };
        self.made.lock().unwrap().insert(store.identity(), schema);
        store
    }

    async fn again(&self, store: &PostgresStore) -> PostgresStore {
        let options = {
            let made = self.made.lock().unwrap();
            let schema = &made[&store.identity()];
            schema.place.options(&schema.name).payload(self.payload)
        };
        options.hard_deletes(true).connect().await.unwrap()
    }
}

impl StoreFixture for Schemas {
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

impl Schemas {
    async fn run(&self, connection: &mut PgConnection, sql: &str) -> Vec<PgRow> {
        let sql = sql.replace("numbers", &self.numbers);
        let query = sqlx::query(AssertSqlSafe(sql)).persistent(false);
        query.fetch_all(connection).await.unwrap()
    }
}

impl SubscriptionFixture for Schemas {
    async fn make_read_model(&self, store: &PostgresStore) {
        let mut work = store.begin_work().await.unwrap();
        let sql =
            "CREATE TABLE IF NOT EXISTS numbers (key text PRIMARY KEY, number bigint NOT NULL)";
        self.run(PostgresStore::connection(&mut work), sql).await;
        assert!(store.commit_change(work, Vec::new()).await.unwrap());
    }

    async fn put(&self, connection: &mut PgConnection, key: &str, number: i64) {
        let sql = format!(
            "INSERT INTO numbers VALUES ('{key}', {number}) \
             ON CONFLICT (key) DO UPDATE SET number = excluded.number"
        );
        self.run(connection, &sql).await;
    }

    async fn get(&self, connection: &mut PgConnection, key: &str) -> Option<i64> {
        let sql = format!("SELECT number FROM numbers WHERE key = '{key}'");
        let rows = self.run(connection, &sql).await;
        rows.first().map(|row| row.get(0))
    }
}
