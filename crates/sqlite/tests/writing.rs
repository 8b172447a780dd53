//! What is special about writing to SQLite.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{HandClock, event, one, stream};
use futures::future::{join_all, try_join_all};
use ordain::store::{
    Append, CommandKey, Deletion, EventStoreExt, NewLinks, NewOutcome, ReadAll, ReadStream,
    StreamWrite,
};
use ordain::{CommandId, EventId, EventStore, ExpectedVersion, Snapshot, StoreError};
use ordain_sqlite::SqliteStore;
use ordain_testkit::differential::Random;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, Row};

async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new()
        .filename(path)
        .connect()
        .await
        .unwrap()
}

async fn number(connection: &mut SqliteConnection, sql: &str) -> i64 {
    let row = connection.fetch_one(AssertSqlSafe(sql)).await.unwrap();
    row.get(0)
}

async fn soundness(connection: &mut SqliteConnection) -> String {
    let row = connection.fetch_one("PRAGMA integrity_check").await;
    row.unwrap().get(0)
}

#[tokio::test]
async fn many_appends_share_few_transactions() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("a.db"))
        .await
        .unwrap();
    let names: Vec<_> = (0..2_000).map(|n| format!("account-{n}")).collect();
    let appends = names.iter().map(|name| store.append(one(name, 1)));
    let appended = try_join_all(appends).await.unwrap();
    let mut positions: Vec<_> = appended.iter().map(|a| a.first_position.get()).collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=2_000).collect::<Vec<_>>());
    let stats = store.stats();
    assert_eq!(stats.writes, 2_000);
    assert!(stats.commits < 20, "{stats:?}");
}

#[tokio::test]
async fn a_chain_in_one_batch_stands_and_falls_together() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("a.db"))
        .await
        .unwrap();
    let account = stream("account-1");
    let link = |version: u64, on: Option<EventId>| {
        let next = event(version);
        let id = next.event_id;
        let write = StreamWrite::new(account.clone(), ExpectedVersion::exact(version), vec![next]);
        (Append::several(vec![write.building_on(on)]), id)
    };
    let (first, first_id) = link(0, None);
    let (second, second_id) = link(1, Some(first_id));
    // As many versions, but built on an entry that is not there.
    let (stranger, stranger_id) = link(2, Some(EventId::new()));
    let (orphan, _) = link(3, Some(stranger_id));
    let (third, _) = link(2, Some(second_id));
    let appends = [first, second, stranger, orphan, third];
    let answers = join_all(appends.map(|append| store.append(append))).await;
    let accepted: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(accepted, [true, true, false, false, true]);
    assert!(answers[2].as_ref().unwrap_err().is_conflict());
    assert_eq!(store.stream_head(&account).await.unwrap().version, 3);
    assert_eq!(store.stats().commits, 1);
}

#[tokio::test]
async fn a_late_append_is_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    let clock = HandClock::new(1);
    let path = directory.path().join("a.db");
    let options = SqliteStore::options().path(&path).clock(clock.clone());
    let store = options.open().await.unwrap();
    let deadline = ordain::Clock::instant(&*clock) + Duration::from_secs(1);
    let append = |n| one("account-1", n).with_deadline(Some(deadline));
    store.append(append(1)).await.unwrap();
    // The writer takes it up when the lock is free, which is after the deadline.
    let mut other = raw(&path).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut late = std::pin::pin!(store.append(append(2)));
    assert!(futures::poll!(&mut late).is_pending());
    clock.pass(Duration::from_secs(1));
    other.execute("ROLLBACK").await.unwrap();
    assert!(matches!(late.await, Err(StoreError::DeadlinePassed)));
    assert_eq!(store.head().await.unwrap(), 1);
}

#[tokio::test]
async fn a_lock_held_too_long_leaves_nothing_and_passes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let options = SqliteStore::options().path(&path);
    let store = options
        .busy_timeout(Duration::from_millis(50))
        .open()
        .await
        .unwrap();
    store.append(one("account-1", 1)).await.unwrap();
    let mut other = raw(&path).await;
    other.execute("BEGIN IMMEDIATE").await.unwrap();
    let answers = join_all((0..10).map(|n| store.append(one("account-1", n)))).await;
    for answer in answers {
        assert!(matches!(answer, Err(StoreError::Unavailable { .. })));
    }
    // Readers never wait.
    assert_eq!(store.head().await.unwrap(), 1);
    other.execute("ROLLBACK").await.unwrap();
    let appended = store.append(one("account-1", 2)).await.unwrap();
    assert_eq!(appended.first_position, 2);
    assert!(store.stats().failures >= 1);
}

#[tokio::test]
async fn an_entry_written_behind_the_store_is_one_requests_trouble() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let store = SqliteStore::open(&path).await.unwrap();
    store.append(one("account-1", 1)).await.unwrap();
    let mut other = raw(&path).await;
    // A trigger that refuses one event stands for whatever a constraint may refuse.
    other
        .execute(
            "CREATE TRIGGER picky BEFORE INSERT ON events WHEN NEW.event_type = 'refused'
             BEGIN SELECT RAISE(ABORT, 'no'); END",
        )
        .await
        .unwrap();
    let mut refused = one("account-2", 1);
    refused.writes[0].events[0].event_type = "refused".into();
    let appends = [one("account-3", 1), refused, one("account-4", 1)];
    let answers = join_all(appends.map(|append| store.append(append))).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(StoreError::Internal { .. })));
    assert_eq!(store.head().await.unwrap(), 3);
}

#[tokio::test]
async fn dropped_appends_are_done_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let options = SqliteStore::options().path(&path).queue_len(8);
    let store = options.open().await.unwrap();
    let mut random = Random::new(7);
    let mut acknowledged = 0;
    for round in 0..100 {
        let names: Vec<_> = (0..20).map(|n| format!("account-{}", n % 5)).collect();
        let mut appends: Vec<_> = names
            .iter()
            .map(|name| Box::pin(store.append(one(name, round))))
            .collect();
        for append in &mut appends {
            if random.chance(80) && futures::poll!(append).is_ready() {
                acknowledged += 1;
            }
        }
        tokio::task::yield_now().await;
        appends.retain(|_| random.chance(30));
        acknowledged += join_all(appends).await.len() as u64;
    }
    let head = store.head().await.unwrap();
    assert!(head.get() >= acknowledged && head.get() <= 2_000, "{head}");
    let page = store
        .read_all(ReadAll::forward().limit(5_000))
        .await
        .unwrap();
    let positions: Vec<_> = page
        .events
        .iter()
        .map(|event| event.position.get())
        .collect();
    assert_eq!(positions, (1..=head.get()).collect::<Vec<_>>());
    store.append(one("account-1", 0)).await.unwrap();
}

#[tokio::test]
async fn dropped_reads_leave_the_readers_usable() {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteStore::options().path(directory.path().join("a.db"));
    let store = options.readers(1).open().await.unwrap();
    let events = (0..500).map(event).collect();
    let append = Append::new(stream("account-1"), ExpectedVersion::Any, events);
    store.append(append).await.unwrap();
    for _ in 0..20 {
        let mut read = Box::pin(store.read_all(ReadAll::forward()));
        assert!(futures::poll!(&mut read).is_pending());
        tokio::task::yield_now().await;
        let _ = futures::poll!(&mut read);
        drop(read);
    }
    let page = store.read_all(ReadAll::forward()).await.unwrap();
    assert_eq!(page.events.len(), 500);
}

#[tokio::test]
async fn what_is_written_cannot_be_changed_by_hand() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let options = SqliteStore::options().path(&path).hard_deletes(true);
    let store = options.open().await.unwrap();
    store.append(one("account-1", 1)).await.unwrap();
    store.append(one("account-2", 1)).await.unwrap();
    let erased = stream("account-2");
    let any = ExpectedVersion::Any;
    store
        .delete_stream(&erased, any, Deletion::Hard)
        .await
        .unwrap();
    let mut other = raw(&path).await;
    for sql in [
        "UPDATE events SET data = '{}'",
        "UPDATE events SET position = 100",
        "DELETE FROM events",
        "DELETE FROM events WHERE event_type = '$deleted'",
        "REPLACE INTO events SELECT * FROM events",
        "INSERT OR REPLACE INTO events (position, stream, version, event_id, event_type,
            schema_version, recorded_at)
            SELECT 100, stream, 100, event_id, 'changed', 1, 0 FROM events",
        "INSERT OR REPLACE INTO events (position, stream, version, event_id, event_type,
            schema_version, recorded_at)
            SELECT 100, stream, version, zeroblob(16), 'changed', 1, 0 FROM events",
        "REPLACE INTO streams SELECT * FROM streams",
        "DELETE FROM streams",
        "UPDATE streams SET name = 'account-3' WHERE key = 1",
        "UPDATE streams SET deleted = 0 WHERE deleted = 2",
        "UPDATE log_head SET floor = 0",
        "DELETE FROM log_head",
        "DELETE FROM erased",
        "UPDATE erased SET position = 100",
        "UPDATE store_info SET codec = 'other'",
        "DELETE FROM store_info",
        "INSERT INTO erasure_permit (stream) VALUES (99)",
    ] {
        let refused = other.execute(AssertSqlSafe(sql)).await;
        assert!(refused.is_err(), "{sql}");
    }
    assert_eq!(soundness(&mut other).await, "ok");
}

#[tokio::test]
async fn erasing_takes_everything_and_leaves_no_permit() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let options = SqliteStore::options().path(&path).hard_deletes(true);
    let store = options.open().await.unwrap();
    let (gone, stays) = (stream("account-1"), stream("account-2"));
    let mut append = one("account-1", 1);
    append.writes[0].events[0].data = "{\"name\":\"Rumpelstiltskin\"}".into();
    let gone_id = append.writes[0].events[0].event_id;
    store.append(append).await.unwrap();
    let kept = one("account-2", 1);
    let kept_id = kept.writes[0].events[0].event_id;
    store.append(kept).await.unwrap();
    let links = NewLinks {
        stream: stream("list-1"),
        expected: ExpectedVersion::NoStream,
        targets: vec![gone_id, kept_id],
    };
    store.link(links).await.unwrap();
    let command = CommandKey::new(CommandId::new(), gone.clone());
    let outcome = NewOutcome {
        command: command.clone(),
        version: 1.into(),
        entry: Some(gone_id),
        data: "Rumpelstiltskin".into(),
    };
    store.record_outcome(outcome).await.unwrap();
    let snapshot = Snapshot {
        stream: gone.clone(),
        version: 1.into(),
        entry: gone_id,
        schema_version: 1,
        data: "Rumpelstiltskin".into(),
        taken_at: common::at(0),
    };
    store.record_snapshot(snapshot.clone()).await.unwrap();
    let head = store
        .delete_stream(&gone, ExpectedVersion::exact(1), Deletion::Hard)
        .await
        .unwrap();
    assert_eq!((head.version.get(), head.position.get()), (2, 5));
    // What comes too late is not kept.
    store.record_snapshot(snapshot).await.unwrap();
    assert!(store.read_snapshot(&gone).await.is_err());
    assert_eq!(store.find_repeat(&command).await.unwrap(), None);
    let list = ReadStream::forward(stream("list-1"));
    let page = store.read_stream(list).await.unwrap();
    assert_eq!(page.events.len(), 1);
    assert_eq!(page.events[0].stream, stays);
    let mut other = raw(&path).await;
    assert_eq!(
        number(&mut other, "SELECT count(*) FROM erasure_permit").await,
        0
    );
    assert_eq!(number(&mut other, "SELECT floor FROM log_head").await, 5);
    assert_eq!(number(&mut other, "SELECT count(*) FROM erased").await, 1);
    let again = store.append(one("account-1", 2)).await.unwrap_err();
    assert!(matches!(again, StoreError::StreamErased { .. }));
    for file in ["a.db", "a.db-wal"] {
        let bytes = std::fs::read(directory.path().join(file)).unwrap();
        let mut found = bytes.windows(15).filter(|text| text == b"Rumpelstiltskin");
        assert!(found.next().is_none(), "{file} still holds what was erased");
    }
}

#[tokio::test]
async fn closing_finishes_what_is_queued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let store = SqliteStore::open(&path).await.unwrap();
    let names: Vec<_> = (0..300).map(|n| format!("account-{n}")).collect();
    let mut appends: Vec<_> = names
        .iter()
        .map(|name| Box::pin(store.append(one(name, 1))))
        .collect();
    for append in &mut appends {
        assert!(futures::poll!(append).is_pending());
    }
    let (other, twice) = (store.clone(), store.clone());
    let ((), (), answers) = tokio::join!(other.close(), twice.close(), join_all(appends));
    assert!(answers.iter().all(Result::is_ok));
    store.close().await;
    let closed = |error| matches!(error, Some(StoreError::Closed));
    assert!(closed(store.append(one("account-1", 1)).await.err()));
    assert!(closed(store.head().await.err()));
    assert!(closed(store.read_all(ReadAll::forward()).await.err()));
    assert!(!directory.path().join("a.db-wal").exists());
    let store = SqliteStore::open(&path).await.unwrap();
    assert_eq!(store.head().await.unwrap(), 300);
}

#[test]
fn a_store_may_be_dropped_outside_its_runtime() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.db");
    let runtime = || tokio::runtime::Runtime::new().unwrap();
    let first = runtime();
    let store = first.block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        store.append(one("account-1", 1)).await.unwrap();
        store.head().await.unwrap();
        store
    });
    let clone = store.clone();
    drop(store);
    drop(first);
    // The writer went down with its runtime; the readers are on threads of their own.
    let second = runtime();
    second.block_on(async {
        assert_eq!(clone.head().await.unwrap(), 1);
        assert!(clone.append(one("account-1", 2)).await.is_err());
        clone.close().await;
    });
    drop(second);
    drop(clone);
    runtime().block_on(async {
        let store = SqliteStore::open(&path).await.unwrap();
        assert_eq!(store.head().await.unwrap(), 1);
    });
}

#[tokio::test]
async fn large_appends_and_long_streams_work() {
    let directory = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(directory.path().join("a.db"))
        .await
        .unwrap();
    let account = stream("account-1");
    let events: Vec<_> = (0..8_001).map(event).collect();
    let append = Append::new(account.clone(), ExpectedVersion::NoStream, events);
    let appended = store.append(append).await.unwrap();
    assert_eq!(appended.last_position, 8_001);
    let mut large = one("account-2", 1);
    large.writes[0].events[0].data = format!("\"{}\"", "x".repeat(15 << 20)).into();
    store.append(large).await.unwrap();
    let read = store.stream(ReadStream::forward(account).limit(700));
    let versions: Vec<_> = futures::TryStreamExt::try_collect::<Vec<_>>(read)
        .await
        .unwrap()
        .iter()
        .map(|event| event.version.get())
        .collect();
    assert_eq!(versions, (1..=8_001).collect::<Vec<_>>());
}

/// Needs a small file system of its own: `ORDAIN_SMALL_DIR` names a directory of about 2 MB.
#[tokio::test]
#[ignore = "needs ORDAIN_SMALL_DIR"]
async fn a_full_disk_is_survived() {
    let directory = std::env::var("ORDAIN_SMALL_DIR").unwrap();
    let directory = Path::new(&directory);
    let store = SqliteStore::open(directory.join("a.db")).await.unwrap();
    let store = Arc::new(store);
    let ballast = directory.join("ballast");
    std::fs::write(&ballast, vec![1; 300_000]).unwrap();
    let large = || {
        let mut append = one("account-1", 1);
        append.writes[0].events[0].data = format!("\"{}\"", "x".repeat(50_000)).into();
        append
    };
    let mut stored = 0;
    let error = loop {
        match store.append(large()).await {
            Ok(_) => stored += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error:?}");
    assert_eq!(store.head().await.unwrap(), stored);
    std::fs::remove_file(ballast).unwrap();
    let appended = store.append(large()).await.unwrap();
    assert_eq!(appended.first_position, stored + 1);
    store.close().await;
    let mut other = raw(&directory.join("a.db")).await;
    assert_eq!(soundness(&mut other).await, "ok");
}
