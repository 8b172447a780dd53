use std::sync::atomic::{AtomicUsize, Ordering};

use ordain_testkit::postgres::{Database, Server, ServerOptions, Stop};
use sqlx::{AssertSqlSafe, Executor, PgConnection, Row};

use super::*;
use crate::PostgresStore;
use crate::connect::Source;
use crate::options::PostgresOptions;

async fn open(options: PostgresOptions) -> Pool {
    let (settings, source) = Settings::check(options).unwrap();
    let finder = Finder::new(source, &settings);
    let found = finder.find(finder.end()).await.unwrap();
    Pool::open(finder, found.options, &settings).await.unwrap()
}

async fn value(connection: &mut PgConnection, sql: &str) -> Result<String, sqlx::Error> {
    let row = connection.fetch_one(AssertSqlSafe(sql)).await?;
    row.try_get(0)
}

/// Asks until an answer comes, as a store that is used would.
async fn ask(pool: &Pool, sql: &str) -> String {
    loop {
        let Ok(mut connection) = pool.acquire().await else {
            continue;
        };
        match value(&mut connection, sql).await {
            Ok(value) => return value,
            Err(error) => pool.note(&error, connection),
        }
    }
}

#[tokio::test]
async fn sessions_are_told_the_timeout_unless_they_are_pooled() {
    let database = Database::create().await;
    let options = || PostgresStore::options().url(&database.url());
    let own = open(options().statement_timeout(Duration::from_secs(7))).await;
    assert_eq!(ask(&own, "SHOW statement_timeout").await, "7s");
    assert_eq!(ask(&own, "SHOW application_name").await, "ordain");
    assert_eq!(ask(&own, "SHOW extra_float_digits").await, "2");
    let pooled = open(options().pooled(true)).await;
    assert_eq!(ask(&pooled, "SHOW statement_timeout").await, "0");
    assert_eq!(ask(&pooled, "SHOW extra_float_digits").await, "1");
}

#[tokio::test]
async fn the_size_bounds_the_connections_and_the_timeout_the_wait() {
    let database = Database::create().await;
    let options = PostgresStore::options().url(&database.url()).pool_size(1);
    let pool = open(options.acquire_timeout(Duration::from_secs(1))).await;
    let held = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let error = pool.acquire().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains("2 of 2 are open"), "{error}");
    drop(held);
}

#[tokio::test]
async fn what_lay_idle_when_the_server_was_lost_is_not_handed_out() {
    let database = Database::create().await;
    let pool = open(PostgresStore::options().url(&database.url())).await;
    let mut one = pool.acquire().await.unwrap();
    drop((pool.acquire().await.unwrap(), pool.acquire().await.unwrap()));
    let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    database.execute(others).await.unwrap();
    let error = value(&mut one, "SELECT 'x'").await.unwrap_err();
    assert!(failure::loses_connection(&error), "{error:?}");
    pool.note(&error, one);
    let mut connection = pool.acquire().await.unwrap();
    assert_eq!(value(&mut connection, "SELECT 'x'").await.unwrap(), "x");
}

#[tokio::test]
async fn an_error_of_the_statement_keeps_the_connection() {
    let database = Database::create().await;
    let pool = open(PostgresStore::options().url(&database.url()).pool_size(1)).await;
    let held = pool.acquire().await.unwrap();
    let mut connection = pool.acquire().await.unwrap();
    let process = "SELECT pg_backend_pid()::text";
    let before = value(&mut connection, process).await.unwrap();
    let error = value(&mut connection, "SELECT 1 / 0").await.unwrap_err();
    pool.note(&error, connection);
    assert_eq!(ask(&pool, process).await, before);
    drop(held);
}

#[tokio::test]
async fn the_pool_follows_the_primary() {
    let first = Server::start(ServerOptions::new()).await.unwrap();
    let second = first.standby().await.unwrap();
    let servers = [&second, &first].map(|server| server.url("postgres").parse().unwrap());
    let pool = open(PostgresStore::options().servers(servers)).await;
    let port = "SELECT current_setting('port')";
    assert_eq!(ask(&pool, port).await, first.port().to_string());
    first.stop(Stop::Fast).await.unwrap();
    second.promote().await.unwrap();
    assert_eq!(ask(&pool, port).await, second.port().to_string());
}

#[tokio::test]
async fn the_hook_is_called_again_after_a_loss() {
    let database = Database::create().await;
    let (url, calls) = (database.url(), Arc::new(AtomicUsize::new(0)));
    let counter = Arc::clone(&calls);
    let hook = move || {
        counter.fetch_add(1, Ordering::Relaxed);
        let server = url.parse::<PgConnectOptions>();
        async move { Ok(server?) }
    };
    let pool = open(PostgresStore::options().connect_hook(hook)).await;
    ask(&pool, "SELECT 'x'").await;
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let error = sqlx::Error::Protocol("out of step".into());
    pool.note(&error, pool.acquire().await.unwrap());
    ask(&pool, "SELECT 'x'").await;
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_password_that_has_ended_is_asked_for_again() {
    let database = Database::create().await;
    let role = format!("short_lived_{}", database.name());
    let create = format!("CREATE ROLE \"{role}\" LOGIN PASSWORD 'first'");
    database.execute(&create).await.unwrap();
    let urls = ["first", "second"].map(|password| database.url_as(&role, password));
    let calls = AtomicUsize::new(0);
    let hook = move || {
        let call = calls.fetch_add(1, Ordering::Relaxed);
        let server = urls[call.min(1)].parse::<PgConnectOptions>();
        async move { Ok(server?) }
    };
    let pool = open(PostgresStore::options().connect_hook(hook)).await;
    let held = pool.acquire().await.unwrap();
    let alter = format!("ALTER ROLE \"{role}\" PASSWORD 'second'");
    database.execute(&alter).await.unwrap();
    let mut fresh = pool.acquire().await.unwrap();
    assert_eq!(value(&mut fresh, "SELECT 'x'").await.unwrap(), "x");
    drop(held);
}

#[tokio::test]
async fn a_pool_of_the_caller_stays_open() {
    let database = Database::create().await;
    let caller = PgPool::connect(&database.url()).await.unwrap();
    let source = Source::Pool(caller.clone());
    let pool = Pool::of_caller(caller.clone());
    assert!(!source.moves() && !pool.is_own());
    pool.close().await;
    assert!(!caller.is_closed());
    assert_eq!(ask(&pool, "SELECT 'x'").await, "x");
}
