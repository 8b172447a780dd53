//! Several stores, and several processes, on one file.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{claim, made, one, stream};
use ordain::store::{
    Arrival, Committed, Follower, Progress, ProjectionStore, ReadAll, ReadStream, SubscriptionKey,
    SubscriptionStore,
};
use ordain::{EventStore, RecordedEvent};
use ordain_sqlite::SqliteStore;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Executor, Row};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

const FILE: &str = "ORDAIN_TEST_FILE";
const NAME: &str = "ORDAIN_TEST_NAME";
const COUNT: &str = "ORDAIN_TEST_COUNT";
const COUNTED: &str = "ORDAIN_TEST_COUNTED";

/// Not a test: what the child processes do, which is to append and to say what was acknowledged.
#[tokio::test]
async fn child() {
    let Ok(file) = std::env::var(FILE) else {
        return;
    };
    let name = std::env::var(NAME).unwrap();
    let count: u64 = std::env::var(COUNT).unwrap().parse().unwrap();
    let options = SqliteStore::options().path(file);
    let busy = Duration::from_secs(60);
    let store = options.busy_timeout(busy).open().await.unwrap();
    println!();
    for number in 0..count {
        let appended = store.append(one(&name, number)).await.unwrap();
        println!("acknowledged {}", appended.first_position);
    }
    store.close().await;
}

/// Not a test: what other child processes do, which is to count in a read model what they handle.
#[tokio::test]
async fn counting_child() {
    let Ok(file) = std::env::var(COUNTED) else {
        return;
    };
    let options = SqliteStore::options().path(file);
    let busy = Duration::from_secs(60);
    let store = options.busy_timeout(busy).open().await.unwrap();
    let lease = claim(&store, &counter()).await;
    println!();
    for position in lease.position.get()..u64::MAX {
        let mut work = store.begin_work().await.unwrap();
        for _ in 0..3 {
            sqlx::query("UPDATE counter SET count = count + 1")
                .execute(&mut *work)
                .await
                .unwrap();
        }
        let to = (position + 1).into();
        let progress = Progress::new(lease.key.clone(), position.into(), to);
        let committed = store.commit_work(work, progress).await.unwrap();
        assert_eq!(committed, Committed::Done);
        println!("acknowledged {to}");
    }
}

fn counter() -> SubscriptionKey {
    SubscriptionKey::new("counter", 1)
}

fn start_child(file: &Path, name: &str, count: u64) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut command = test_command("child");
    command
        .env(FILE, file)
        .env(NAME, name)
        .env(COUNT, count.to_string());
    start(command)
}

fn test_command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    command
}

fn start(mut command: Command) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

/// The next position that the child was acknowledged.
async fn next_acknowledged(lines: &mut Lines<BufReader<ChildStdout>>) -> Option<u64> {
    while let Some(line) = lines.next_line().await.unwrap() {
        if let Some(position) = line.strip_prefix("acknowledged ") {
            return position.parse().ok();
        }
    }
    None
}

async fn check_soundness(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    for sql in ["PRAGMA integrity_check", "PRAGMA foreign_key_check"] {
        let found = connection.fetch_optional(sql).await.unwrap();
        let found: Option<String> = found.map(|row| row.get(0));
        assert!(matches!(found.as_deref(), None | Some("ok")), "{found:?}");
    }
}

/// Follows the log until `count` events were seen, each with the position after the one before.
async fn follow(store: &SqliteStore, count: u64) -> Vec<RecordedEvent> {
    let end = Instant::now() + Duration::from_secs(60);
    let mut seen: Vec<RecordedEvent> = Vec::new();
    let mut read = ReadAll::forward().limit(50);
    while (seen.len() as u64) < count {
        assert!(Instant::now() < end, "only {} of {count}", seen.len());
        let page = store.read_all(read.clone()).await.unwrap();
        for event in page.events {
            assert_eq!(event.position.get(), seen.len() as u64 + 1);
            seen.push(event);
        }
        assert_eq!(page.examined.get(), seen.len() as u64);
        read.after = page.examined;
    }
    seen
}

fn assert_ordered(events: &[RecordedEvent]) {
    let times = events.windows(2);
    assert!(
        times
            .into_iter()
            .all(|pair| pair[0].recorded_at <= pair[1].recorded_at)
    );
}

fn path_in(directory: &tempfile::TempDir) -> PathBuf {
    directory.path().join("shared.db")
}

#[tokio::test]
async fn two_stores_on_one_file_take_turns() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let (left, right) = tokio::join!(SqliteStore::open(&path), SqliteStore::open(&path));
    let (left, right) = (left.unwrap(), right.unwrap());
    let append = |store: SqliteStore, name: &'static str| {
        tokio::spawn(async move {
            for number in 0..200 {
                store.append(one(name, number)).await.unwrap();
            }
        })
    };
    let writers = [
        append(left.clone(), "account-1"),
        append(right.clone(), "account-1"),
        append(left.clone(), "account-2"),
        append(right.clone(), "account-3"),
    ];
    let seen = follow(&right, 800).await;
    futures::future::try_join_all(writers).await.unwrap();
    assert_ordered(&seen);
    assert_eq!(left.head().await.unwrap(), 800);
    let page = left
        .read_stream(ReadStream::forward(stream("account-1")))
        .await;
    assert_eq!(page.unwrap().head.version, 400);
    left.close().await;
    right.append(one("account-4", 1)).await.unwrap();
}

#[tokio::test]
async fn processes_take_turns_and_a_reader_skips_nothing() {
    const EACH: u64 = 300;
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let store = SqliteStore::open(&path).await.unwrap();
    let names = ["account-1", "account-2", "account-1"];
    let mut children: Vec<_> = names
        .iter()
        .map(|name| start_child(&path, name, EACH))
        .collect();
    let said = futures::future::join_all(children.iter_mut().map(|(_, lines)| async {
        let mut positions = Vec::new();
        while let Some(position) = next_acknowledged(lines).await {
            positions.push(position);
        }
        positions
    }));
    let (seen, said) = tokio::join!(follow(&store, 3 * EACH), said);
    assert_ordered(&seen);
    let mut positions = said.concat();
    positions.sort_unstable();
    assert_eq!(positions, (1..=3 * EACH).collect::<Vec<_>>());
    for (mut child, _) in children {
        assert!(child.wait().await.unwrap().success());
    }
    check_soundness(&path).await;
}

#[tokio::test]
async fn a_killed_process_leaves_what_was_acknowledged() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    SqliteStore::open(&path).await.unwrap().close().await;
    let mut acknowledged = 0;
    for round in 0..10 {
        let (mut child, mut lines) = start_child(&path, "account-1", u64::MAX);
        for _ in 0..=round * 7 {
            acknowledged = next_acknowledged(&mut lines).await.unwrap();
        }
        child.kill().await.unwrap();
        while let Some(position) = next_acknowledged(&mut lines).await {
            acknowledged = position;
        }
        check_soundness(&path).await;
        let store = SqliteStore::open(&path).await.unwrap();
        let head = store.head().await.unwrap();
        // One append may have been committed and not yet acknowledged.
        assert!((acknowledged..=acknowledged + 1).contains(&head.get()));
        let page = store.read_all(ReadAll::forward().limit(100_000)).await;
        let events = page.unwrap().events;
        assert_eq!(events.len() as u64, head.get());
        assert!(
            events
                .iter()
                .all(|event| event.version.get() == event.position.get())
        );
        store.close().await;
    }
}

#[tokio::test]
async fn a_killed_process_leaves_read_model_and_position_alike() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let store = SqliteStore::open(&path).await.unwrap();
    let mut work = store.begin().await.unwrap();
    sqlx::raw_sql("CREATE TABLE counter (count INTEGER); INSERT INTO counter VALUES (0)")
        .execute(&mut *work)
        .await
        .unwrap();
    let made = store.commit_change(work, vec![made(&counter())]).await;
    assert!(made.unwrap());
    for round in 0..10 {
        let mut command = test_command("counting_child");
        command.env(COUNTED, &path);
        let (mut child, mut lines) = start(command);
        let mut acknowledged = 0;
        for _ in 0..=round * 5 {
            acknowledged = next_acknowledged(&mut lines).await.unwrap();
        }
        child.kill().await.unwrap();
        while let Some(position) = next_acknowledged(&mut lines).await {
            acknowledged = position;
        }
        let position = position_of(&store).await;
        // One may have been committed and not yet acknowledged.
        assert!((acknowledged..=acknowledged + 1).contains(&position));
        assert_eq!(count(&store).await, 3 * position);
    }
    check_soundness(&path).await;
}

async fn position_of(store: &SqliteStore) -> u64 {
    let found = store.subscriptions(Some("counter")).await.unwrap();
    found[0].partitions[0].position.get()
}

async fn count(store: &SqliteStore) -> u64 {
    let mut work = store.begin().await.unwrap();
    let count: i64 = sqlx::query_scalar("SELECT count FROM counter")
        .fetch_one(&mut *work)
        .await
        .unwrap();
    work.rollback().await.unwrap();
    count as u64
}

async fn next(follower: &mut Follower) -> Arrival {
    let next = tokio::time::timeout(Duration::from_secs(60), follower.next());
    next.await.unwrap().unwrap()
}

#[tokio::test]
async fn appends_of_other_processes_are_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = path_in(&directory);
    let options = SqliteStore::options().path(&path);
    let interval = Duration::from_millis(5);
    let store = options.poll_interval(interval).open().await.unwrap();
    let mut follower = store.arrivals().unwrap().follow();
    for round in 1..=3 {
        let (mut child, _lines) = start_child(&path, "account-1", 1);
        assert!(matches!(next(&mut follower).await, Arrival::Unknown));
        assert_eq!(store.head().await.unwrap(), round);
        assert!(child.wait().await.unwrap().success());
    }
    drop(follower);
    store.close().await;
}
