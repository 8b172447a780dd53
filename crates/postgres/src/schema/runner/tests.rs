use std::collections::BTreeSet;
use std::task::Poll;

use futures::poll;
use ordain_testkit::postgres::Database;
use sqlx::{ConnectOptions, postgres::PgConnectOptions};

use super::*;
use crate::schema::applied::check_current;

const DESCRIBE: &str = include_str!("describe.sql");

const SECOND: Migration = Migration {
    version: 2,
    name: "notes",
    text: "ALTER TABLE ordain.streams ADD COLUMN note json /* payload */;
           CREATE TABLE ordain.notes (id bigint PRIMARY KEY);",
    drop: "DROP TABLE ordain.notes;",
};

const BROKEN: Migration = Migration {
    version: 2,
    name: "broken",
    text: "CREATE TABLE ordain.notes (id bigint); SELECT 1 / 0;",
    drop: "",
};

fn with(migration: Migration) -> Vec<Migration> {
    let mut migrations = MIGRATIONS[..1].to_vec();
    migrations.push(migration);
    migrations
}

fn runner<'a>(migrations: &'a [Migration], schema: &'a SchemaName) -> Runner<'a> {
    Runner {
        migrations,
        schema,
        payload: Payload::Jsonb,
        codec: "json",
        timeout: Duration::from_secs(60),
    }
}

fn schema(name: &str) -> SchemaName {
    SchemaName::new(name).unwrap()
}

async fn connect(database: &Database) -> PgConnection {
    let options: PgConnectOptions = database.url().parse().unwrap();
    options.connect().await.unwrap()
}

/// All that a schema holds, without its name.
async fn describe(connection: &mut PgConnection, schema: &SchemaName) -> BTreeSet<String> {
    let rows = sqlx::query(DESCRIBE).bind(schema.as_str());
    let rows = rows.fetch_all(connection).await.unwrap();
    let lines = rows.iter().map(|row| row.get::<String, _>(0));
    lines
        .map(|line| line.replace(schema.quoted(), "ordain"))
        .collect()
}

async fn is_empty(connection: &mut PgConnection, schema: &SchemaName) -> bool {
    describe(connection, schema).await.is_empty()
}

/// Runs the future until a session of the database waits for an advisory lock.
async fn until_it_waits<F: Future + Unpin>(database: &Database, future: &mut F) {
    let waiting = "SELECT count(*) FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'advisory' AND NOT l.granted";
    let observer = database.connect().await.unwrap();
    while observer.value(waiting).await.unwrap().as_deref() == Some("0") {
        assert!(poll!(&mut *future).is_pending(), "it does not wait");
    }
}

#[tokio::test]
async fn an_old_schema_becomes_like_a_fresh_one() {
    let database = Database::create().await;
    let mut connection = connect(&database).await;
    let (old, fresh) = (schema("old one"), schema("fresh one"));
    let all = with(SECOND);
    for migrations in [&all, MIGRATIONS] {
        for known in 1..migrations.len() {
            let made = runner(&migrations[..known], &old)
                .init(&mut connection)
                .await;
            assert_eq!(made.unwrap().len(), known);
            let done = runner(migrations, &old).migrate(&mut connection).await;
            assert_eq!(done.unwrap().len(), migrations.len() - known);
            runner(migrations, &fresh)
                .init(&mut connection)
                .await
                .unwrap();
            let described = describe(&mut connection, &fresh).await;
            let migrated = describe(&mut connection, &old).await;
            assert!(described.len() > 50);
            let differences: Vec<_> = described.symmetric_difference(&migrated).collect();
            assert!(differences.is_empty(), "{differences:#?}");
            for schema in [&old, &fresh] {
                runner(migrations, schema)
                    .drop_store(&mut connection)
                    .await
                    .unwrap();
                assert!(is_empty(&mut connection, schema).await);
            }
        }
    }
}

#[tokio::test]
async fn two_runners_at_once_migrate_once() {
    let database = Database::create().await;
    let (mut one, mut other) = (connect(&database).await, connect(&database).await);
    let (schema, migrations) = (schema("ordain"), with(SECOND));
    let runner = runner(&migrations, &schema);
    let (one, other) = futures::join!(runner.init(&mut one), runner.init(&mut other));
    let mut versions = [one.unwrap(), other.unwrap()];
    versions.sort();
    assert_eq!(versions, [vec![], vec![1, 2]]);
}

#[tokio::test]
async fn a_runner_reports_no_success_while_another_is_at_work() {
    let database = Database::create().await;
    let (mut one, mut other) = (connect(&database).await, connect(&database).await);
    let schema = schema("ordain");
    let runner = runner(MIGRATIONS, &schema);
    let mut first = runner.begin(&mut one).await.unwrap();
    runner.make(&mut first, 1).await.unwrap();
    let mut second = Box::pin(runner.init(&mut other));
    until_it_waits(&database, &mut second).await;
    assert!(matches!(poll!(&mut second), Poll::Pending));
    first.commit().await.unwrap();
    assert_eq!(second.await.unwrap(), Vec::<u32>::new());
}

#[tokio::test]
async fn a_runner_goes_on_if_the_other_fails() {
    let database = Database::create().await;
    let (mut one, mut other) = (connect(&database).await, connect(&database).await);
    let schema = schema("ordain");
    let runner = runner(MIGRATIONS, &schema);
    let mut first = runner.begin(&mut one).await.unwrap();
    runner.make(&mut first, 1).await.unwrap();
    let mut second = Box::pin(runner.init(&mut other));
    until_it_waits(&database, &mut second).await;
    first.rollback().await.unwrap();
    assert_eq!(second.await.unwrap(), versions(MIGRATIONS));
}

#[tokio::test]
async fn a_runner_does_not_wait_for_ever_or_for_other_schemas() {
    let database = Database::create().await;
    let (mut one, mut other) = (connect(&database).await, connect(&database).await);
    let (schema, elsewhere) = (schema("ordain"), schema("elsewhere"));
    let hasty = Runner {
        timeout: Duration::from_millis(20),
        ..runner(MIGRATIONS, &schema)
    };
    let first = hasty.begin(&mut one).await.unwrap();
    let error = hasty.init(&mut other).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    assert!(
        error.to_string().contains("try again when it has ended"),
        "{error}"
    );
    let made = runner(MIGRATIONS, &elsewhere).init(&mut other).await;
    assert_eq!(made.unwrap(), versions(MIGRATIONS));
    drop(first);
}

#[tokio::test]
async fn a_migration_that_fails_leaves_nothing() {
    let database = Database::create().await;
    let mut connection = connect(&database).await;
    let (schema, broken) = (schema("ordain"), with(BROKEN));
    let runner_broken = runner(&broken, &schema);
    runner_broken.init(&mut connection).await.unwrap_err();
    let exists = runner_broken.ask(&mut connection, sql::SCHEMA_EXISTS).await;
    assert_eq!(exists.unwrap(), Some(false));
    runner(MIGRATIONS, &schema)
        .init(&mut connection)
        .await
        .unwrap();
    let before = describe(&mut connection, &schema).await;
    runner_broken.migrate(&mut connection).await.unwrap_err();
    assert!(describe(&mut connection, &schema).await == before);
}

#[tokio::test]
async fn a_schema_that_is_too_old_or_too_new_is_refused_with_the_remedy() {
    let database = Database::create().await;
    let mut connection = connect(&database).await;
    let (schema, two) = (schema("ordain"), with(SECOND));
    let (older, newer) = (runner(&two[..1], &schema), runner(&two, &schema));
    let absent = newer.migrate(&mut connection).await.unwrap_err();
    assert!(
        absent.to_string().contains("`PostgresAdmin::init`"),
        "{absent}"
    );
    older.init(&mut connection).await.unwrap();
    let applied = older.applied(&mut connection).await.unwrap();
    let old = check_current(&two, &applied, &schema)
        .unwrap_err()
        .to_string();
    assert!(
        old.contains("version 1") && old.contains("`PostgresAdmin::migrate`"),
        "{old}"
    );
    newer.migrate(&mut connection).await.unwrap();
    let applied = newer.applied(&mut connection).await.unwrap();
    check_current(&two, &applied, &schema).unwrap();
    let new = check_current(&two[..1], &applied, &schema).unwrap_err();
    assert!(new.to_string().contains("update the program"), "{new}");
    for refused in [
        older.init(&mut connection).await.map(drop),
        older.migrate(&mut connection).await.map(drop),
        older.reset(&mut connection).await,
        older.drop_store(&mut connection).await.map(drop),
    ] {
        let refused = refused.unwrap_err();
        assert!(
            refused.to_string().contains("update the program"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_migration_of_another_text_is_refused_until_the_store_is_reset() {
    let database = Database::create().await;
    let mut connection = connect(&database).await;
    let schema = schema("ordain");
    let mut altered = MIGRATIONS.to_vec();
    altered[0].text = concat!(
        include_str!("../../../migrations/0001_initial.sql"),
        "-- Altered."
    );
    runner(MIGRATIONS, &schema)
        .init(&mut connection)
        .await
        .unwrap();
    let altered = runner(&altered, &schema);
    let error = altered.migrate(&mut connection).await.unwrap_err();
    assert!(error.to_string().contains("migration 1"), "{error}");
    altered.reset(&mut connection).await.unwrap();
    assert_eq!(
        altered.migrate(&mut connection).await.unwrap(),
        Vec::<u32>::new()
    );
}

#[tokio::test]
async fn a_reset_store_is_another_one_of_the_next_generation() {
    let database = Database::create().await;
    let mut connection = connect(&database).await;
    let schema = schema("ordain");
    let runner = runner(MIGRATIONS, &schema);
    runner.init(&mut connection).await.unwrap();
    let before = LogHead::read(&mut connection, &schema).await.unwrap();
    runner.reset(&mut connection).await.unwrap();
    let after = LogHead::read(&mut connection, &schema).await.unwrap();
    assert_ne!(after.identity, before.identity);
    assert_eq!(after.generation, before.generation + 1);
}
