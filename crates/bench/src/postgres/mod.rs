//! PostgreSQL: a server, and schemas that last as long as a measurement.

mod database;
mod pgbench;

use ordain::{BoxError, EventStore};
use ordain_postgres::{Payload, PostgresOptions, PostgresStore};
use ordain_testkit::postgres;
use uuid::Uuid;

use self::database::Database;
use self::pgbench::Pgbench;
use crate::cli;
use crate::figures::Measured;
use crate::workload::{Run, Workload};

/// What a server of our own has beside the defaults of the test kit.
const SETTINGS: [(&str, &str); 3] = [
    ("shared_buffers", "1GB"),
    ("max_wal_size", "8GB"),
    ("max_connections", "1000"),
];

const SERVER: &str = include_str!("sql/server.sql");
const PLAIN_TABLE: &str = include_str!("sql/plain_table.sql");
const PLAIN_INSERT: &str = include_str!("sql/plain_insert.sql");

/// A server, and how stores are made on it.
pub(crate) struct Server {
    url: String,
    payload: Option<Payload>,
    database: Database,
    /// None if the server is not ours.
    own: Option<postgres::Server>,
}

impl Server {
    /// The server of the url, or a new one.
    pub(crate) async fn open(told: &cli::Postgres) -> Result<Self, BoxError> {
        let (url, own) = match &told.url {
            Some(url) => (url.clone(), None),
            None => {
                let own = start().await?;
                (own.url("postgres"), Some(own))
            }
        };
        Ok(Self {
            payload: told.payload,
            database: Database::of(&url)?,
            url,
            own,
        })
    }

    /// The name of the store in figures.
    pub(crate) fn store_name(&self) -> &'static str {
        match self.payload {
            Some(Payload::Jsonb) => "postgres (jsonb)",
            Some(Payload::Bytea) => "postgres (bytea)",
            _ => "postgres",
        }
    }

    /// Measures a store in a new schema.
    pub(crate) async fn measure(
        &self,
        workload: Workload,
        run: &Run,
    ) -> Result<Measured, BoxError> {
        self.in_schema(async |_, options| {
            let store = options.connect().await?;
            let measured = workload.run(store.clone(), run).await;
            store.close().await;
            measured
        })
        .await
    }

    /// Works with a store in a new schema, and the url by which another process has it.
    pub(crate) async fn on_store<T>(
        &self,
        work: impl AsyncFnOnce(String, PostgresStore) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        self.in_schema(async |schema, options| {
            let store = options.connect().await?;
            let joint = if self.url.contains('?') { '&' } else { '?' };
            let worked = work(format!("{}{joint}schema={schema}", self.url), store.clone()).await;
            store.close().await;
            worked
        })
        .await
    }

    /// Measures plain inserts of the same rows by PostgreSQL's own program.
    pub(crate) async fn pgbench(&self, run: &Run) -> Result<Measured, BoxError> {
        let folder = self.own.as_ref().map(|own| own.binaries().folder());
        let pgbench = Pgbench::find(folder)?;
        self.in_schema(async |schema, options| {
            options.admin()?.init().await?;
            let inside = |sql: &str| sql.replace("ordain.", &format!("{schema}."));
            self.database.execute(inside(PLAIN_TABLE)).await?;
            let (url, script) = (self.database.url(), inside(PLAIN_INSERT));
            pgbench.measure(url, &script, run).await
        })
        .await
    }

    /// The server's version, and the settings that bear on speed.
    pub(crate) async fn describe(&self) -> Result<String, BoxError> {
        self.database.value(SERVER).await
    }

    /// Works in a new schema, which is removed whatever comes of the work.
    async fn in_schema<T>(
        &self,
        work: impl AsyncFnOnce(&str, PostgresOptions) -> Result<T, BoxError>,
    ) -> Result<T, BoxError> {
        let schema = format!("ordain_bench_{}", Uuid::new_v4().simple());
        let worked = tokio::select! {
            worked = work(&schema, self.options(&schema)) => worked,
            _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
        };
        let drop = format!("DROP SCHEMA IF EXISTS {schema} CASCADE");
        let dropped = self.database.execute(drop).await;
        let worked = worked?;
        dropped?;
        Ok(worked)
    }

    fn options(&self, schema: &str) -> PostgresOptions {
        let options = PostgresStore::options().url(&self.url).schema(schema);
        let options = options.migrate_on_connect(true);
        match self.payload {
            Some(payload) => options.payload(payload),
            None => options,
        }
    }
}

async fn start() -> Result<postgres::Server, postgres::Error> {
    let options = postgres::ServerOptions::new();
    let options = SETTINGS.iter().fold(options, |options, (name, value)| {
        options.setting(name, value)
    });
    postgres::Server::start(options).await
}
