//! How stores are opened, and what is said if they cannot be.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::time::{Duration, Instant};

use ordain::{BoxError, Codec, EventStore, StoreError};
use ordain_postgres::{Payload, PostgresOptions, PostgresStore};
use ordain_testkit::postgres::{Database, Server, ServerOptions};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

struct Hexed;

impl ordain::Format for Hexed {
    fn name(&self) -> &str {
        "hexed"
    }

    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(value)?)
    }

    fn decode(&self, bytes: &[u8], read: &mut ordain::ReadValue<'_>) -> Result<(), BoxError> {
        let mut json = serde_json::Deserializer::from_slice(bytes);
        read(&mut <dyn erased_serde::Deserializer<'_>>::erase(&mut json))?;
        Ok(())
    }
}

fn options(database: &Database) -> PostgresOptions {
    PostgresStore::options().url(&database.url())
}

async fn made(database: &Database) -> PostgresOptions {
    options(database).admin().unwrap().init().await.unwrap();
    options(database)
}

async fn refusal(options: PostgresOptions) -> String {
    let error = options.connect().await.unwrap_err();
    assert!(
        matches!(error, StoreError::Incompatible { .. }),
        "{error:?}"
    );
    error.to_string()
}

async fn outage(options: PostgresOptions) -> String {
    let error = options.connect().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    error.to_string()
}

fn url_of(port: u16) -> String {
    format!("postgres://ada:secret@127.0.0.1:{port}/orders?acquire_timeout_ms=300")
}

#[tokio::test]
async fn a_store_is_made_when_told_and_opened_again() {
    let database = Database::create().await;
    let missing = refusal(options(&database)).await;
    assert!(missing.contains("`PostgresAdmin::init`"), "{missing}");
    let store = options(&database)
        .migrate_on_connect(true)
        .connect()
        .await
        .unwrap();
    let identity = store.identity();
    store.close().await;
    let again = options(&database).connect().await.unwrap();
    assert_eq!(again.identity(), identity);
    again.close().await;
}

#[tokio::test]
async fn a_url_brings_options() {
    let database = Database::create().await;
    let url = format!(
        "{}?schema=my%20events&migrate_on_connect=true&pool_size=2",
        database.url()
    );
    let store = PostgresStore::options().url(&url).connect().await.unwrap();
    store.close().await;
    let other = options(&database)
        .schema("my events")
        .connect()
        .await
        .unwrap();
    assert_eq!(other.identity(), store.identity());
    other.close().await;
}

#[tokio::test]
async fn several_schemas_hold_several_stores() {
    let database = Database::create().await;
    let open = |schema| {
        options(&database)
            .schema(schema)
            .migrate_on_connect(true)
            .connect()
    };
    let (one, other) = (open("one").await.unwrap(), open("other").await.unwrap());
    assert_ne!(one.identity(), other.identity());
    one.close().await;
    other.close().await;
}

#[tokio::test]
async fn options_that_cannot_be_meant_are_refused() {
    let server = || PostgresStore::options().url("postgres://a/b");
    let custom = || server().codec(Codec::custom(Hexed));
    for (options, expected) in [
        (PostgresStore::options(), "no server is named"),
        (server().url("postgres://a/c"), "a server twice"),
        (
            server().servers([PgConnectOptions::new()]),
            "a server twice",
        ),
        (
            PostgresStore::options().servers([]),
            "list of servers is empty",
        ),
        (
            PostgresStore::options().url("postgres://a/b?size=1"),
            "unknown option `size`",
        ),
        (server().schema("pg_mine"), "cannot name a schema"),
        (server().schema("a\"b"), "cannot name a schema"),
        (server().pool_size(0), "`pool_size` is 0"),
        (server().batch_requests(0), "`batch_requests` is 0"),
        (server().queue_len(0), "`queue_len` is 0"),
        (server().pool_size(2).idle_min(3), "`idle_min` is larger"),
        (
            server().acquire_timeout(Duration::ZERO),
            "`acquire_timeout` is shorter",
        ),
        (
            server().statement_timeout(Duration::MAX),
            "`statement_timeout` is shorter",
        ),
        (
            server().statement_timeout(Duration::from_secs(5)),
            "`order_lock_timeout` is not shorter",
        ),
        (custom(), "codec `hexed`"),
        (custom().payload(Payload::Jsonb), "codec `hexed`"),
        (
            PostgresStore::options().url("postgres://a/b?options=-c%20a%3Db&pooled=true"),
            "in pooled mode",
        ),
        (
            PostgresStore::options().url("postgres://a/b?options=-c%20statement_timeout%3D1s"),
            "`statement_timeout` of the store",
        ),
    ] {
        let problem = refusal(options).await;
        assert!(problem.contains(expected), "{expected}: {problem}");
    }
}

#[tokio::test]
async fn a_store_is_opened_as_it_was_made() {
    let database = Database::create().await;
    let jsonb = || options(&database).schema("a").payload(Payload::Jsonb);
    jsonb()
        .migrate_on_connect(true)
        .connect()
        .await
        .unwrap()
        .close()
        .await;
    let problem = refusal(options(&database).schema("a").migrate_on_connect(true)).await;
    assert!(
        problem.contains("open it with the payload `jsonb`"),
        "{problem}"
    );
    jsonb().connect().await.unwrap().close().await;

    let hexed = || {
        let bytes = options(&database).schema("b").payload(Payload::Bytea);
        bytes.codec(Codec::custom(Hexed))
    };
    hexed()
        .migrate_on_connect(true)
        .connect()
        .await
        .unwrap()
        .close()
        .await;
    let problem = refusal(options(&database).schema("b").payload(Payload::Bytea)).await;
    assert!(
        problem.contains("open it with the codec `hexed`"),
        "{problem}"
    );
    hexed().connect().await.unwrap().close().await;
}

#[tokio::test]
async fn a_missing_database_is_told_with_what_makes_it() {
    let database = Database::create().await;
    let url = database.url().replace(&database.name(), "no_such_database");
    let problem = refusal(PostgresStore::options().url(&url)).await;
    assert!(
        problem.contains("`PostgresAdmin::create_database`"),
        "{problem}"
    );
}

#[tokio::test]
async fn an_unreachable_server_is_told_within_the_acquire_timeout() {
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = refusing.local_addr().unwrap().port();
    drop(refusing);
    let started = Instant::now();
    let problem = outage(PostgresStore::options().url(&url_of(port))).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(problem.contains(&format!("127.0.0.1:{port}")), "{problem}");
    assert!(!problem.contains("secret"), "{problem}");
}

#[tokio::test]
async fn a_silent_server_is_told_within_the_acquire_timeout() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = silent.local_addr().unwrap().port();
    let started = Instant::now();
    let problem = outage(PostgresStore::options().url(&url_of(port))).await;
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(problem.contains("does not answer"), "{problem}");
}

#[tokio::test]
async fn no_password_is_told() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let url = format!(
        "postgres://postgres:secret@127.0.0.1:{}/postgres",
        server.port()
    );
    let options = PostgresStore::options().url(&url);
    assert!(!format!("{options:?}").contains("secret"));
    let admin = options.clone().admin().unwrap();
    assert!(!format!("{admin:?}").contains("secret"));
    let error = options.connect().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(error.to_string().contains("check the address"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );

    let hook = || async { Err("no answer from postgres://ada:secret@directory".into()) };
    let options = PostgresStore::options().connect_hook(hook);
    assert!(!format!("{options:?}").contains("secret"));
    let error = options
        .acquire_timeout(Duration::from_millis(50))
        .connect()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("no answer from"), "{error}");
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );

    let store = PostgresStore::options()
        .url(&server.url("postgres"))
        .migrate_on_connect(true);
    let store = store.connect().await.unwrap();
    let password = server.url("postgres");
    let password = password.split([':', '@']).nth(2).unwrap();
    assert!(password.len() > 4 && !format!("{store:?}").contains(password));
    store.close().await;
}

#[tokio::test]
async fn a_pool_of_the_caller_serves_several_stores() {
    let database = Database::create().await;
    let single = PgPoolOptions::new().max_connections(1);
    let single = single.connect_lazy(&database.url()).unwrap();
    let problem = refusal(PostgresStore::options().pool(single)).await;
    assert!(problem.contains("less than 2 connections"), "{problem}");

    let pool = PgPoolOptions::new().max_connections(4);
    let pool = pool.connect(&database.url()).await.unwrap();
    let options = |schema| {
        let options = PostgresStore::options().pool(pool.clone());
        options.schema(schema).migrate_on_connect(true)
    };
    let sized = refusal(options("one").pool_size(3)).await;
    assert!(sized.contains("tell the pool"), "{sized}");
    let one = options("one").connect().await.unwrap();
    let other = options("other").connect().await.unwrap();
    one.close().await;
    other.head().await.unwrap();
    other.close().await;
    assert!(!pool.is_closed());
}

#[tokio::test]
async fn a_session_that_does_not_wait_for_the_disk_is_refused_unless_allowed() {
    let database = Database::create().await;
    let made = made(&database).await;
    let name = database.name();
    let alter = format!("ALTER DATABASE \"{name}\" SET synchronous_commit = off");
    database.execute(&alter).await.unwrap();
    let problem = refusal(made.clone()).await;
    assert!(
        problem.contains("`allow_synchronous_commit_off`"),
        "{problem}"
    );
    let allowed = made.allow_synchronous_commit_off(true);
    allowed.connect().await.unwrap().close().await;
}

#[tokio::test]
async fn sessions_that_only_read_are_refused() {
    let database = Database::create().await;
    let made = made(&database).await;
    let name = database.name();
    let alter = format!("ALTER DATABASE \"{name}\" SET default_transaction_read_only = on");
    database.execute(&alter).await.unwrap();
    let problem = outage(made).await;
    assert!(
        problem.contains("`default_transaction_read_only`"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_server_without_fsync_is_refused_unless_allowed() {
    let careless = ServerOptions::new().setting("fsync", "off");
    let server = Server::start(careless).await.unwrap();
    let options = || {
        PostgresStore::options()
            .url(&server.url("postgres"))
            .migrate_on_connect(true)
    };
    let problem = refusal(options()).await;
    assert!(problem.contains("`allow_fsync_off`"), "{problem}");
    options()
        .allow_fsync_off(true)
        .connect()
        .await
        .unwrap()
        .close()
        .await;
}

#[tokio::test]
async fn a_database_of_another_encoding_is_refused() {
    let database = Database::create().await;
    let name = format!("{}_ascii", database.name());
    let create = format!(
        "CREATE DATABASE \"{name}\" TEMPLATE template0 ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    database.execute(&create).await.unwrap();
    let url = database.url().replace(&database.name(), &name);
    let problem = refusal(PostgresStore::options().url(&url)).await;
    assert!(problem.contains("encoding UTF8"), "{problem}");
    database
        .execute(&format!("DROP DATABASE \"{name}\""))
        .await
        .unwrap();
}

#[tokio::test]
async fn the_primary_is_found_among_servers() {
    let primary = Server::start(ServerOptions::new()).await.unwrap();
    let standby = primary.standby().await.unwrap();
    let url = primary.url("postgres");
    let store = PostgresStore::options().url(&url).migrate_on_connect(true);
    store.connect().await.unwrap().close().await;

    let problem = outage(PostgresStore::options().url(&standby.url("postgres"))).await;
    assert!(problem.contains("is a standby"), "{problem}");
    let place = format!("127.0.0.1:{}", primary.port());
    let list = format!("127.0.0.1:1,127.0.0.1:{},{place}", standby.port());
    let store = PostgresStore::options().url(&url.replace(&place, &list));
    store.connect().await.unwrap().close().await;
    let servers = [standby.url("postgres"), url].map(|url| url.parse().unwrap());
    let store = PostgresStore::options().servers(servers);
    store.connect().await.unwrap().close().await;
    let only = [&standby, &standby].map(|server| server.url("postgres").parse().unwrap());
    let options = PostgresStore::options().servers(only);
    let problem = outage(options.acquire_timeout(Duration::from_secs(2))).await;
    assert!(problem.contains("is a standby"), "{problem}");
}

#[tokio::test]
async fn pooled_stores_open_without_startup_options() {
    let database = Database::create().await;
    let store = made(&database).await.pooled(true).connect().await.unwrap();
    store.head().await.unwrap();
    store.close().await;
}
