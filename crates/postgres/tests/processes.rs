//! Two processes that append what they can in every way there is, of which some are killed, and a reader in
//! each of them.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod wire;

use std::collections::{HashMap, HashSet};
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use ordain::store::{Append, Appended, ReadAll, StreamWrite};
use ordain::{EventId, EventStore, ExpectedVersion, RecordedEvent};
use ordain_postgres::{PostgresStats, PostgresStore, PostgresTransaction};
use ordain_testkit::postgres::{Database, Server, ServerOptions};
use sqlx::Row;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::watch;
use wire::{event, options, stream, within};

const URL: &str = "ORDAIN_TEST_URL";
const WORKER: &str = "ORDAIN_TEST_WORKER";
const BATCHES: &str = "ORDAIN_TEST_BATCHES";
const SEEN: &str = "ORDAIN_TEST_SEEN";

/// How many appends a process has under way at once.
const LINES: u64 = 3;

/// How long all may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// What one process does.
struct Worker {
    store: PostgresStore,
    name: String,
    wanted: u64,
    /// Batches begun, and those carried out.
    begun: AtomicU64,
    done: watch::Sender<u64>,
}

impl Worker {
    /// Appends in turn in each of the ways, until enough batches have been begun.
    async fn line(&self, line: u64) {
        let own = format!("own-{}-{line}", self.name);
        let mut tip = (0, None);
        loop {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if number >= self.wanted {
                return;
            }
            match number % 16 {
                0 => self.rolled_back(number).await,
                1 => self.buffered(number).await,
                2 => self.held(number).await,
                3..6 => self.plain(self.shared(number)).await,
                6..8 => self.plain(self.several(&own, number)).await,
                8 => self.raced(number).await,
                _ => tip = self.trusted(&own, tip, number).await,
            }
            // Several streams, among them the own one, leave the tip behind.
            if matches!(number % 16, 6..8) {
                let head = self.store.stream_head(&stream(&own)).await.unwrap();
                tip = (head.version.get(), head.entry);
            }
            self.done.send_modify(|done| *done += 1);
        }
    }

    fn shared(&self, number: u64) -> Append {
        let name = format!("shared-{}", number % 3);
        let events = (0..=number % 2).map(|_| event(number)).collect();
        Append::new(stream(&name), ExpectedVersion::Any, events)
    }

    fn several(&self, own: &str, number: u64) -> Append {
        let writes = ["shared-0", own, "shared-9"]
            .map(|name| StreamWrite::new(stream(name), ExpectedVersion::Any, vec![event(number)]));
        Append::several(writes.into())
    }

    async fn plain(&self, append: Append) {
        let ids = ids_of(&append);
        self.store.append(append).await.unwrap();
        acknowledge(&ids);
    }

    async fn trusted(
        &self,
        own: &str,
        tip: (u64, Option<EventId>),
        number: u64,
    ) -> (u64, Option<EventId>) {
        let event = event(number);
        let id = event.event_id;
        let append = wire::after(own, tip.0, tip.1, event);
        let appended = self.store.append(append).await.unwrap();
        acknowledge(&[id]);
        (appended.versions[0].get(), Some(id))
    }

    /// At a version that the other process may just take.
    async fn raced(&self, number: u64) {
        loop {
            let head = self.store.stream_head(&stream("raced-1")).await.unwrap();
            let event = event(number);
            let id = event.event_id;
            let append = wire::after("raced-1", head.version.get(), head.entry, event);
            match self.store.append(append).await {
                Ok(_) => return acknowledge(&[id]),
                Err(error) => assert!(error.is_conflict(), "{error}"),
            }
        }
    }

    async fn buffered(&self, number: u64) {
        let append = self.shared(number);
        let ids = ids_of(&append);
        let mut transaction = self.store.begin().await.unwrap();
        transaction.append(append).unwrap();
        self.until_another_is_done().await;
        transaction.commit().await.unwrap();
        acknowledge(&ids);
    }

    /// Holds the order lock until somebody waits for it.
    async fn held(&self, number: u64) {
        let append = self.shared(number);
        let ids = ids_of(&append);
        let (mut transaction, _) = self.append_now(append).await;
        until_others_wait(&mut transaction).await;
        transaction.commit().await.unwrap();
        acknowledge(&ids);
    }

    async fn rolled_back(&self, number: u64) {
        let append = self.shared(number);
        let ids = ids_of(&append);
        let (mut transaction, _) = self.append_now(append).await;
        until_others_wait(&mut transaction).await;
        transaction.rollback().await.unwrap();
        say("undone", &ids);
    }

    async fn append_now(&self, append: Append) -> (PostgresTransaction, Appended) {
        let mut transaction = self.store.begin().await.unwrap();
        let appended = transaction.append_now(append).await.unwrap();
        (transaction, appended)
    }

    async fn until_another_is_done(&self) {
        let mut done = self.done.subscribe();
        let before = *done.borrow();
        let another = done.wait_for(|done| *done > before);
        // The last one waits for nobody.
        let _ = tokio::time::timeout(Duration::from_millis(50), another).await;
    }

    /// Follows the log until told how far, and says what it sees.
    async fn follow(&self, seen: u64, end: watch::Receiver<Option<u64>>) {
        let mut read = ReadAll::forward().after(seen).limit(40);
        while end.borrow().is_none_or(|end| read.after.get() < end) {
            let page = self.store.read_all(read.clone()).await.unwrap();
            for event in &page.events {
                println!("seen {} {}", event.position, event.event_id);
            }
            read.after = page.examined;
        }
    }
}

/// Waits until somebody waits for the order lock; if nobody is left to wait, for a moment.
async fn until_others_wait(transaction: &mut PostgresTransaction) {
    const SQL: &str = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted \
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
    let end = Instant::now() + Duration::from_millis(50);
    while Instant::now() < end {
        let row = sqlx::query(SQL)
            .fetch_one(&mut ***transaction)
            .await
            .unwrap();
        if row.get::<i64, _>(0) > 0 {
            return;
        }
    }
}

fn ids_of(append: &Append) -> Vec<EventId> {
    let events = append.writes.iter().flat_map(|write| &write.events);
    events.map(|event| event.event_id).collect()
}

fn acknowledge(ids: &[EventId]) {
    say("acknowledged", ids);
}

/// A line for a batch.
fn say(what: &str, ids: &[EventId]) {
    let ids: Vec<_> = ids.iter().map(EventId::to_string).collect();
    println!("{what} {}", ids.join(" "));
}

/// Not a test: what the child processes do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(url) = std::env::var(URL) else {
        return;
    };
    let number = |name| std::env::var(name).unwrap().parse::<u64>().unwrap();
    let store = PostgresStore::options().url(&url).connect().await.unwrap();
    println!();
    let worker = Worker {
        store,
        name: std::env::var(WORKER).unwrap(),
        wanted: number(BATCHES),
        begun: AtomicU64::new(0),
        done: watch::channel(0).0,
    };
    let (ended, end) = watch::channel(None);
    let work = async {
        join_all((0..LINES).map(|line| worker.line(line))).await;
        ended.send_replace(Some(worker.store.head().await.unwrap().get()));
    };
    tokio::join!(work, worker.follow(number(SEEN), end));
    let PostgresStats {
        commits,
        index_refusals,
        fences,
        ..
    } = worker.store.stats();
    println!("did {commits} {index_refusals} {fences}");
    worker.store.close().await;
}

/// What was heard of the processes.
#[derive(Debug, Default)]
struct Heard {
    /// Acknowledged or undone.
    batches: u64,
    acknowledged: Vec<EventId>,
    undone: HashSet<EventId>,
    /// Position and event, by worker, in the order of sight.
    seen: [Vec<(u64, EventId)>; 2],
    commits: u64,
    index_refusals: u64,
    fences: u64,
    kills: u64,
}

impl Heard {
    fn hear(&mut self, worker: usize, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let parse = |id: &&str| id.parse::<EventId>().unwrap();
        match words[..] {
            ["acknowledged", ref ids @ ..] => {
                self.batches += 1;
                self.acknowledged.extend(ids.iter().map(parse));
            }
            ["undone", ref ids @ ..] => {
                self.batches += 1;
                self.undone.extend(ids.iter().map(parse));
            }
            ["seen", position, id] => {
                let seen = (position.parse().unwrap(), id.parse().unwrap());
                self.seen[worker].push(seen);
            }
            ["did", commits, index_refusals, fences] => {
                self.commits += commits.parse::<u64>().unwrap();
                self.index_refusals += index_refusals.parse::<u64>().unwrap();
                self.fences += fences.parse::<u64>().unwrap();
            }
            _ => {}
        }
    }
}

fn start_child(url: &str, worker: &str, batches: u64, seen: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(URL, url)
        .env(WORKER, worker)
        .env(BATCHES, batches.to_string())
        .env(SEEN, seen.to_string())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// Runs a worker: as many processes one after the other as there are kills and one more. Each begins its
/// part of the batches; all but the last are killed when they have said that half of it is done.
async fn run_worker(url: String, worker: usize, batches: u64, kills: u64) -> Heard {
    let mut heard = Heard::default();
    let part = batches.div_ceil(kills + 1);
    for incarnation in 0..=kills {
        let seen = heard.seen[worker].last().map_or(0, |last| last.0);
        let name = format!("{worker}-{incarnation}");
        let is_killed = incarnation < kills;
        // One that is killed has more to do than it will get to.
        let wanted = if is_killed { 2 * part } else { part };
        let mut child = start_child(&url, &name, wanted, seen);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let enough = heard.batches + part;
        while let Some(line) = lines.next_line().await.unwrap() {
            heard.hear(worker, &line);
            if is_killed && heard.batches == enough {
                child.start_kill().unwrap();
            }
        }
        let ended = child.wait().await.unwrap();
        assert_eq!(ended.success(), !is_killed, "{ended}");
        heard.kills += u64::from(is_killed);
    }
    heard
}

async fn whole_log(store: &PostgresStore) -> Vec<RecordedEvent> {
    let mut log = Vec::new();
    let mut read = ReadAll::forward().limit(1_000);
    loop {
        let page = store.read_all(read.clone()).await.unwrap();
        if page.events.is_empty() {
            return log;
        }
        read.after = page.examined;
        log.extend(page.events);
    }
}

/// Every position once, none skipped; every stream dense; what was acknowledged is there once, and what was
/// undone is not; each reader saw the log as it is.
fn assert_sound(log: &[RecordedEvent], heard: &[Heard]) {
    let positions = log.iter().map(|event| event.position.get());
    assert!(positions.eq(1..=log.len() as u64), "positions have a hole");
    let mut versions = HashMap::new();
    for event in log {
        let version = versions.entry(&event.stream).or_insert(0);
        *version += 1;
        assert_eq!(event.version, *version, "{} has a hole", event.stream);
    }
    let places: HashMap<_, _> = log
        .iter()
        .map(|event| (event.event_id, event.position.get()))
        .collect();
    assert_eq!(places.len(), log.len(), "an event is there twice");
    for (worker, heard) in heard.iter().enumerate() {
        for id in &heard.acknowledged {
            assert!(places.contains_key(id), "{id} was acknowledged and is lost");
        }
        for id in &heard.undone {
            assert!(!places.contains_key(id), "{id} was undone and is there");
        }
        let seen = &heard.seen[worker];
        for (index, (position, id)) in seen.iter().enumerate() {
            let expected = index as u64 + 1;
            assert_eq!(*position, expected, "a reader left out or repeated one");
            assert_eq!(places[id], *position, "an event stood elsewhere");
        }
    }
}

async fn prove(database: &Database, isolation: &str, batches: u64, kills: u64) {
    let start = Instant::now();
    let name = database.name();
    let default =
        format!("ALTER DATABASE \"{name}\" SET default_transaction_isolation TO '{isolation}'");
    database.execute(&default).await.unwrap();
    let store = options(database).connect().await.unwrap();
    let workers = (0..2).map(|worker| {
        // The two are killed at different times.
        let kills = kills + worker as u64 * kills.min(1);
        tokio::spawn(run_worker(database.url(), worker, batches / 2, kills))
    });
    let heard = within("the work", PATIENCE, join_all(workers)).await;
    let heard: Vec<_> = heard.into_iter().map(Result::unwrap).collect();
    let log = whole_log(&store).await;
    assert_sound(&log, &heard);
    let sum = |number: fn(&Heard) -> u64| heard.iter().map(number).sum::<u64>();
    assert!(sum(|heard| heard.batches) >= batches);
    println!(
        "{isolation}: {} batches, {} events, {} acknowledged, {} undone, {} seen, {} kills; \
         of the living: {} commits of appenders, {} refusals by an index, {} fences; {:?}",
        sum(|heard| heard.batches),
        log.len(),
        sum(|heard| heard.acknowledged.len() as u64),
        sum(|heard| heard.undone.len() as u64),
        sum(|heard| heard.seen.iter().map(Vec::len).sum::<usize>() as u64),
        sum(|heard| heard.kills),
        sum(|heard| heard.commits),
        sum(|heard| heard.index_refusals),
        sum(|heard| heard.fences),
        start.elapsed()
    );
    store.close().await;
}

/// What collides at a position names the constraint in the server's log.
async fn prove_all(batches: [u64; 3], kills: u64) {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let isolations = ["read committed", "repeatable read", "serializable"];
    for (isolation, batches) in isolations.into_iter().zip(batches) {
        let name = isolation.replace(' ', "_");
        let database = server.create_database(&name).await.unwrap();
        prove(&database, isolation, batches, kills).await;
    }
    let log = server.log();
    assert!(!log.contains("events_position"), "positions collided");
    assert!(!log.contains("events_event_id"), "ids collided");
}

#[tokio::test]
async fn two_processes_leave_no_hole_under_any_isolation_default() {
    prove_all([600, 200, 200], 1).await;
}

#[tokio::test]
#[ignore = "takes minutes"]
async fn two_processes_leave_no_hole_in_10_000_batches() {
    prove_all([10_000, 2_000, 2_000], 4).await;
}

#[tokio::test]
async fn a_collision_at_a_position_would_be_in_the_log() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let database = server.create_database("events").await.unwrap();
    let store = options(&database).connect().await.unwrap();
    store.append(wire::one("a-1", 1)).await.unwrap();
    let twice = "INSERT INTO ordain.events (global_position, stream_key, stream_version, recorded_at, \
        event_id, schema_version, event_type, data) \
        SELECT global_position, stream_key, 2, recorded_at, gen_random_uuid(), 1, event_type, data \
        FROM ordain.events";
    assert!(database.execute(twice).await.is_err());
    assert!(server.log().contains("events_position"));
}
