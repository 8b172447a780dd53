//! What can be opened, and what is said about the rest.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::one;
use ordain::store::{ReadAll, SubscriptionStore};
use ordain::{BoxError, Codec, EventStore, StoreError};
use ordain_sqlite::SqliteStore;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, Executor};

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

async fn raw(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path);
    options.create_if_missing(true).connect().await.unwrap()
}

async fn execute(path: &Path, sql: &str) {
    let mut connection = raw(path).await;
    let statements = sqlx::raw_sql(AssertSqlSafe(sql));
    statements.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn refusal(location: impl AsRef<Path>) -> String {
    let error = SqliteStore::open(location).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Incompatible { .. }),
        "{error:?}"
    );
    error.to_string()
}

#[tokio::test]
async fn a_store_is_made_and_opened_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a store?#%.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(one("account-1", 1)).await.unwrap();
    store.close().await;
    let store = SqliteStore::open(&path).await.unwrap();
    let page = store.read_all(ReadAll::forward()).await.unwrap();
    assert_eq!(page.events.len(), 1);
    store.close().await;
    let url = format!(
        "sqlite:{}/b%20c.db?readers=1&hard_deletes=true",
        directory.path().display()
    );
    SqliteStore::open(url).await.unwrap().close().await;
    assert!(directory.path().join("b c.db").exists());
}

#[tokio::test]
async fn what_is_no_place_for_a_store_is_refused_with_advice() {
    let directory = tempfile::tempdir().unwrap();
    for memory in [":memory:", "sqlite::memory:", "file::memory:"] {
        assert!(refusal(memory).await.contains("MemoryStore"), "{memory}");
    }
    assert!(refusal("").await.contains("no database file"));
    assert!(refusal(directory.path()).await.contains("is a directory"));
    let orphan = directory.path().join("missing/a.db");
    assert!(refusal(&orphan).await.contains("make it first"));
    assert!(
        refusal("sqlite:a.db?reader=3")
            .await
            .contains("unknown option `reader`")
    );
    let twice = SqliteStore::options().path("a.db").url("sqlite:b.db");
    assert!(
        twice
            .open()
            .await
            .unwrap_err()
            .to_string()
            .contains("two files")
    );
    let absent = SqliteStore::options()
        .path(directory.path().join("none.db"))
        .create(false);
    let error = absent.open().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("letter.txt");
    let letter = "Dear reader, ".repeat(1_000);
    std::fs::write(&path, &letter).unwrap();
    assert!(refusal(&path).await.contains("is not an SQLite database"));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);
}

#[tokio::test]
async fn an_unwritable_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    if is_superuser(directory.path()) {
        return run_as_nobody("an_unwritable_file_is_refused", directory.path());
    }
    let path = directory.path().join("a.db");
    SqliteStore::open(&path).await.unwrap().close().await;
    make_readonly(&path);
    let error = SqliteStore::open(&path).await.unwrap_err();
    assert!(
        error.is_unavailable() && error.to_string().contains("writable"),
        "{error}"
    );
}

fn make_readonly(path: &Path) {
    let mut permissions = std::fs::metadata(path).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(path, permissions).unwrap();
}

/// Whether permissions do not bind this process.
fn is_superuser(directory: &Path) -> bool {
    let probe = directory.join("probe");
    std::fs::write(&probe, "").unwrap();
    make_readonly(&probe);
    std::fs::OpenOptions::new().write(true).open(&probe).is_ok()
}

/// Runs a test of this file as a user whom permissions bind, from where that user may run it.
#[cfg(unix)]
fn run_as_nobody(test: &str, directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;

    const NOBODY: u32 = 65_534;
    let program = directory.join("tests");
    std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    for path in [directory, &program] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
    let run = std::process::Command::new(&program)
        .args(["--exact", test])
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .output()
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success() && output.contains("1 passed"),
        "{output}"
    );
}

#[cfg(not(unix))]
fn run_as_nobody(_: &str, _: &Path) {
    panic!("run the tests as a user whom file permissions bind");
}

#[tokio::test]
async fn files_of_other_programs_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let tables = directory.path().join("tables.db");
    execute(&tables, "CREATE TABLE events (a)").await;
    assert!(refusal(&tables).await.contains("another program"));
    let marked = directory.path().join("marked.db");
    execute(&marked, "PRAGMA application_id = 77").await;
    let before = std::fs::read(&marked).unwrap();
    assert!(refusal(&marked).await.contains("another program"));
    assert_eq!(std::fs::read(&marked).unwrap(), before);
}

#[tokio::test]
async fn schemas_of_other_releases_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let newer = directory.path().join("newer.db");
    SqliteStore::open(&newer).await.unwrap().close().await;
    execute(&newer, "PRAGMA user_version = 99").await;
    let refused = refusal(&newer).await;
    assert!(refused.contains("version 99") && refused.contains("update the program"));
    let older = directory.path().join("older.db");
    SqliteStore::open(&older).await.unwrap().close().await;
    execute(&older, "PRAGMA user_version = 0").await;
    assert!(refusal(&older).await.contains("older release"));
}

#[tokio::test]
async fn a_store_of_the_first_schema_is_brought_up_to_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    execute(&path, include_str!("../migrations/0001_initial.sql")).await;
    execute(
        &path,
        "INSERT INTO store_info VALUES (1, 'json', 'ordain-sqlite 0.1.0', 1);
         INSERT INTO streams (key, name, category, created_at) VALUES (1, 'account-1', 'account', 1);
         INSERT INTO events VALUES (1, 1, 1, randomblob(16), 'opened', 1, '{}', NULL, NULL, NULL, 1, NULL)",
    )
    .await;
    let store = SqliteStore::open(&path).await.unwrap();
    let appended = store.append(one("account-1", 2)).await.unwrap();
    assert_eq!(appended.versions[0], 2);
    let page = store.read_all(ReadAll::forward()).await.unwrap();
    assert_eq!(page.events[0].event_type, "opened");
    assert_eq!(store.subscriptions(None).await.unwrap(), []);
    store.close().await;
    SqliteStore::open(&path).await.unwrap().close().await;
}

#[tokio::test]
async fn a_store_keeps_its_codec() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let hexed = || {
        SqliteStore::options()
            .path(&path)
            .codec(Codec::custom(Hexed))
    };
    let store = hexed().open().await.unwrap();
    let mut append = one("account-1", 1);
    append.writes[0].events[0].data = vec![0, 255, 1].into();
    store.append(append).await.unwrap();
    let page = store.read_all(ReadAll::forward()).await.unwrap();
    assert_eq!(&page.events[0].data[..], [0, 255, 1]);
    store.close().await;
    assert!(
        refusal(&path)
            .await
            .contains("open it with the codec `hexed`")
    );
    hexed().open().await.unwrap().close().await;
}

#[tokio::test]
async fn many_may_make_one_store_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let opened = (0..8).map(|_| SqliteStore::open(&path));
    let stores = futures::future::try_join_all(opened).await.unwrap();
    for store in &stores {
        store.append(one("account-1", 1)).await.unwrap();
    }
    assert_eq!(stores[0].head().await.unwrap(), 8);
}

#[tokio::test]
async fn a_lock_held_too_long_is_said_at_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let mut other = raw(&path).await;
    other.execute("BEGIN EXCLUSIVE").await.unwrap();
    let options = SqliteStore::options()
        .path(&path)
        .busy_timeout(Duration::from_millis(30));
    let error = options.open().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
}
