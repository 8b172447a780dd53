//! Making, migrating and removing stores and databases.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ordain::store::{Append, Deletion};
use ordain::{EventStore, ExpectedVersion, GlobalPosition, NewEvent, StoreError, StreamId};
use ordain_postgres::{MigrationState, Payload, PostgresAdmin, PostgresOptions, PostgresStore};
use ordain_testkit::postgres::Database;

fn options(database: &Database) -> PostgresOptions {
    PostgresStore::options().url(&database.url())
}

fn admin(database: &Database) -> PostgresAdmin {
    options(database).admin().unwrap()
}

fn refusal<T: std::fmt::Debug>(result: Result<T, StoreError>) -> String {
    let error = result.unwrap_err();
    assert!(
        matches!(error, StoreError::Incompatible { .. }),
        "{error:?}"
    );
    error.to_string()
}

async fn count(database: &Database, sql: &str) -> String {
    database.value(sql).await.unwrap().unwrap()
}

const EVENT: &str = "INSERT INTO ordain.streams VALUES (1, 'a-1', 'a', now());
    INSERT INTO ordain.events VALUES (1, 1, 1, now(), null, gen_random_uuid(), null, null, 1, 'opened', '{}')";

#[tokio::test]
async fn a_database_is_made_and_dropped_and_twice_does_no_harm() {
    let database = Database::create().await;
    let name = format!("{} \"two\"", database.name());
    let encoded = name.replace(' ', "%20").replace('"', "%22");
    let url = database.url().replace(&database.name(), &encoded);
    let admin = PostgresStore::options().url(&url).admin().unwrap();
    assert!(admin.create_database().await.unwrap());
    assert!(!admin.create_database().await.unwrap());
    assert_eq!(admin.init().await.unwrap(), [1, 2]);
    let unconfirmed = refusal(admin.drop_database("yes").await);
    assert!(unconfirmed.contains("repeat its name"), "{unconfirmed}");
    assert!(admin.drop_database(&name).await.unwrap());
    assert!(!admin.drop_database(&name).await.unwrap());
}

#[tokio::test]
async fn two_make_the_same_database_at_once() {
    let database = Database::create().await;
    let name = format!("{}_two", database.name());
    let url = database.url().replace(&database.name(), &name);
    let admin = PostgresStore::options().url(&url).admin().unwrap();
    let (one, other) = tokio::join!(admin.create_database(), admin.create_database());
    assert!(one.unwrap() || other.unwrap());
    admin.drop_database(&name).await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_not_make_databases_may_use_one_that_is_there() {
    let database = Database::create().await;
    let role = format!("plain_{}", database.name());
    let create = format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD 'p'; CREATE SCHEMA ordain AUTHORIZATION \"{role}\""
    );
    database.execute(&create).await.unwrap();
    let url = database.url_as(&role, "p");
    let admin = PostgresStore::options().url(&url).admin().unwrap();
    assert!(!admin.create_database().await.unwrap());
    assert_eq!(admin.init().await.unwrap(), [1, 2]);
    PostgresStore::options().url(&url).connect().await.unwrap();
    let elsewhere = PostgresStore::options()
        .url(&url)
        .schema("elsewhere")
        .admin()
        .unwrap();
    let forbidden = refusal(elsewhere.init().await);
    assert!(forbidden.contains("lacks a privilege"), "{forbidden}");
}

#[tokio::test]
async fn a_role_with_grants_uses_a_store_that_another_has_made() {
    let database = Database::create().await;
    admin(&database).init().await.unwrap();
    let role = format!("granted_{}", database.name());
    let grant = format!(
        "CREATE ROLE \"{role}\" LOGIN PASSWORD 'p';
         GRANT USAGE ON SCHEMA ordain TO \"{role}\";
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA ordain TO \"{role}\""
    );
    database.execute(&grant).await.unwrap();
    let url = database.url_as(&role, "p");
    let store = PostgresStore::options()
        .url(&url)
        .hard_deletes(true)
        .connect();
    let store = store.await.unwrap();
    let stream = StreamId::new("a", "1").unwrap();
    let events = vec![NewEvent::new("opened", "{}")];
    let append = Append::new(stream.clone(), ExpectedVersion::NoStream, events);
    store.append(append).await.unwrap();
    let deleted = store.delete_stream(&stream, ExpectedVersion::Any, Deletion::Hard);
    deleted.await.unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_store_is_made_once() {
    let database = Database::create().await;
    let admin = admin(&database);
    assert_eq!(admin.init().await.unwrap(), [1, 2]);
    let identity = admin.status().await.unwrap().store.unwrap().identity;
    assert_eq!(admin.init().await.unwrap(), Vec::<u32>::new());
    assert_eq!(admin.migrate().await.unwrap(), Vec::<u32>::new());
    assert_eq!(
        admin.status().await.unwrap().store.unwrap().identity,
        identity
    );
}

#[tokio::test]
async fn the_status_tells_what_is_pending() {
    let database = Database::create().await;
    let admin = options(&database).payload(Payload::Bytea).admin().unwrap();
    let before = admin.status().await.unwrap();
    assert!(before.has_pending() && !before.is_current() && !before.has_unknown());
    assert!(before.store.is_none());
    assert!(
        before.to_string().contains("0001 initial: pending"),
        "{before}"
    );
    admin.init().await.unwrap();
    database.execute(EVENT).await.unwrap();

    let after = admin.status().await.unwrap();
    assert!(after.is_current() && !after.has_pending());
    assert!(matches!(
        after.migrations[0].state,
        MigrationState::Completed { .. }
    ));
    assert!(
        after.to_string().contains("0001 initial: completed"),
        "{after}"
    );
    let store = after.store.unwrap();
    assert_eq!(
        (store.payload, store.codec.as_str()),
        (Payload::Bytea, "json")
    );
    assert_eq!(store.head, GlobalPosition::new(1));

    let newer =
        "INSERT INTO ordain.ordain_migrations VALUES (3, 'later', gen_random_uuid(), now())";
    database.execute(newer).await.unwrap();
    let newer = admin.status().await.unwrap();
    assert!(newer.has_unknown() && !newer.is_current());
    assert!(
        newer.to_string().contains("0003 later: completed"),
        "{newer}"
    );
    for refused in [
        refusal(options(&database).payload(Payload::Bytea).connect().await),
        refusal(admin.migrate().await),
        refusal(admin.reset("ordain").await),
    ] {
        assert!(refused.contains("update the program"), "{refused}");
    }
}

#[tokio::test]
async fn the_payload_is_a_column_of_the_type() {
    let database = Database::create().await;
    for payload in [Payload::Json, Payload::Jsonb, Payload::Bytea] {
        let admin = options(&database).schema(payload.name()).payload(payload);
        admin.admin().unwrap().init().await.unwrap();
        let column = format!(
            "SELECT data_type FROM information_schema.columns
             WHERE table_schema = '{payload}' AND table_name = 'events' AND column_name = 'data'"
        );
        assert_eq!(count(&database, &column).await, payload.name());
    }
}

#[tokio::test]
async fn a_reset_store_is_empty_and_another_one() {
    let database = Database::create().await;
    let admin = admin(&database);
    let missing = refusal(admin.reset("ordain").await);
    assert!(missing.contains("there is no store"), "{missing}");
    admin.init().await.unwrap();
    database.execute(EVENT).await.unwrap();
    database
        .execute("CREATE TABLE ordain.orders (id int); INSERT INTO ordain.orders VALUES (1)")
        .await
        .unwrap();
    let before = admin.status().await.unwrap().store.unwrap();
    let unconfirmed = refusal(admin.reset("public").await);
    assert!(unconfirmed.contains("repeat its name"), "{unconfirmed}");
    for _ in 0..2 {
        admin.reset("ordain").await.unwrap();
    }
    let after = admin.status().await.unwrap().store.unwrap();
    assert_ne!(after.identity, before.identity);
    assert_eq!(after.head, GlobalPosition::ORIGIN);
    assert_eq!(
        count(&database, "SELECT count(*) FROM ordain.events").await,
        "0"
    );
    assert_eq!(
        count(&database, "SELECT count(*) FROM ordain.orders").await,
        "1"
    );
    assert_eq!(
        count(&database, "SELECT generation FROM ordain.log_head").await,
        "3"
    );
}

#[tokio::test]
async fn a_reset_may_change_the_payload() {
    let database = Database::create().await;
    admin(&database).init().await.unwrap();
    let bytea = || options(&database).payload(Payload::Bytea);
    bytea().admin().unwrap().reset("ordain").await.unwrap();
    bytea().connect().await.unwrap();
}

#[tokio::test]
async fn a_store_is_dropped_alone() {
    let database = Database::create().await;
    let admin = admin(&database);
    let mine = "CREATE SCHEMA ordain; CREATE TABLE ordain.orders (id int); CREATE FUNCTION ordain.mine() RETURNS int LANGUAGE sql RETURN 1";
    database.execute(mine).await.unwrap();
    assert_eq!(admin.init().await.unwrap(), [1, 2]);
    let unconfirmed = refusal(admin.drop_store("").await);
    assert!(unconfirmed.contains("repeat its name"), "{unconfirmed}");
    assert!(admin.drop_store("ordain").await.unwrap());
    assert!(!admin.drop_store("ordain").await.unwrap());
    let left =
        "SELECT string_agg(relname, ',') FROM pg_class WHERE relnamespace = 'ordain'::regnamespace";
    assert_eq!(count(&database, left).await, "orders");
    assert_eq!(count(&database, "SELECT ordain.mine()").await, "1");
    assert!(!admin.drop_schema("ordain").await.unwrap());
    database
        .execute("DROP TABLE ordain.orders; DROP FUNCTION ordain.mine")
        .await
        .unwrap();
    admin.init().await.unwrap();
    assert!(admin.drop_schema("ordain").await.unwrap());
    assert!(admin.drop_schema("ordain").await.unwrap());
    assert_eq!(
        count(
            &database,
            "SELECT count(*) FROM pg_namespace WHERE nspname = 'ordain'"
        )
        .await,
        "0"
    );
    assert_eq!(admin.init().await.unwrap(), [1, 2]);
}

#[tokio::test]
async fn what_depends_on_a_store_keeps_it() {
    let database = Database::create().await;
    let admin = admin(&database);
    admin.init().await.unwrap();
    database
        .execute("CREATE VIEW public.mine AS SELECT * FROM ordain.events")
        .await
        .unwrap();
    for refused in [
        refusal(admin.drop_store("ordain").await.map(drop)),
        refusal(admin.reset("ordain").await),
    ] {
        assert!(refused.contains("drop those first"), "{refused}");
    }
    assert!(admin.status().await.unwrap().is_current());
}

#[tokio::test]
async fn a_table_with_the_name_of_one_of_the_stores_is_left_alone() {
    let database = Database::create().await;
    let mine = "CREATE SCHEMA ordain; CREATE TABLE ordain.events (id int); INSERT INTO ordain.events VALUES (7)";
    database.execute(mine).await.unwrap();
    let admin = admin(&database);
    let refused = refusal(admin.init().await);
    assert!(refused.contains("choose another schema"), "{refused}");
    assert!(!admin.drop_store("ordain").await.unwrap());
    assert_eq!(count(&database, "SELECT id FROM ordain.events").await, "7");
}

#[tokio::test]
async fn sessions_with_other_defaults_do_not_matter() {
    let database = Database::create().await;
    let name = database.name();
    let odd = format!(
        "CREATE SCHEMA odd;
         CREATE TABLE odd.pg_namespace (nspname text);
         CREATE FUNCTION odd.set_config(text, text, boolean) RETURNS text LANGUAGE sql RETURN 'odd';
         ALTER DATABASE \"{name}\" SET search_path = odd, pg_catalog;
         ALTER DATABASE \"{name}\" SET default_transaction_isolation = 'serializable';
         ALTER DATABASE \"{name}\" SET default_transaction_read_only = on;
         ALTER DATABASE \"{name}\" SET statement_timeout = '1ms'"
    );
    database.execute(&odd).await.unwrap();
    let admin = admin(&database);
    assert_eq!(admin.init().await.unwrap(), [1, 2]);
    assert!(admin.status().await.unwrap().is_current());
    admin.reset("ordain").await.unwrap();
    assert!(admin.drop_schema("ordain").await.unwrap());
}
