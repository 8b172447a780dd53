//! Servers that lose what they had confirmed, or are lost for a while, under a store that goes on.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::join_all;
use ordain::store::Appended;
use ordain::{EventId, EventStore, StoreError};
use ordain_postgres::{PostgresOptions, PostgresStore};
use ordain_testkit::nodes;
use ordain_testkit::postgres::{Connection, Database, Server, ServerOptions, Stop};
use tokio::task::JoinHandle;
use wire::{Proxy, after, entries, event, number, one, options, stream, until, within};

const SOON: Duration = Duration::from_secs(60);

/// How long nothing may come of what must not happen.
const A_WHILE: Duration = Duration::from_millis(500);

type Answer = Result<Appended, StoreError>;

/// A writer that knows the end of its stream itself, and says so.
struct Line {
    store: PostgresStore,
    name: String,
    /// The ids of the events that were confirmed, by version.
    known: Vec<EventId>,
}

impl Line {
    fn new(store: &PostgresStore, name: impl Into<String>) -> Self {
        Self {
            store: store.clone(),
            name: name.into(),
            known: Vec::new(),
        }
    }

    fn version(&self) -> u64 {
        self.known.len() as u64
    }

    /// Appends its next event.
    async fn append(&mut self) -> Answer {
        self.append_as(EventId::new()).await
    }

    async fn append_as(&mut self, id: EventId) -> Answer {
        let mut event = event(self.version() + 1);
        event.event_id = id;
        let append = after(
            &self.name,
            self.version(),
            self.known.last().copied(),
            event,
        );
        let answer = self.store.append(append).await;
        if let Ok(appended) = &answer {
            assert_eq!(appended.versions[0].get(), self.version() + 1);
            self.known.push(id);
        }
        answer
    }

    /// Appends so many, which succeeds.
    async fn grow(&mut self, count: usize) {
        for _ in 0..count {
            self.append().await.unwrap();
        }
    }

    /// Appends its next event, however often it takes, and notes the ids of which it was told that they
    /// were not stored.
    async fn append_in_trouble(&mut self, never: &mut Vec<EventId>) {
        let mut id = EventId::new();
        let mut in_doubt = false;
        let end = Instant::now() + SOON;
        loop {
            assert!(Instant::now() < end, "{} does not get on", self.name);
            match self.append_as(id).await {
                Ok(_) => return,
                Err(StoreError::OutcomeUnknown { .. }) => in_doubt = true,
                Err(error) if error.is_unavailable() && !in_doubt => {
                    never.push(id);
                    id = EventId::new();
                }
                Err(error) if error.is_unavailable() => {}
                // It came true before.
                Err(StoreError::Conflict { actual, .. }) if in_doubt => {
                    assert_eq!(actual.get(), self.version() + 1, "{}", self.name);
                    self.known.push(id);
                    return;
                }
                Err(StoreError::DuplicateEvent { event_id }) if in_doubt => {
                    assert_eq!(event_id, id, "{}", self.name);
                    self.known.push(id);
                    return;
                }
                Err(error) => panic!("{} at version {}: {error:?}", self.name, self.version()),
            }
        }
    }

    /// Forgets what is not stored any more; returns how much that is.
    fn forget_lost(&mut self, stored: &HashMap<String, Vec<EventId>>) -> usize {
        let found = stored.get(&self.name).cloned().unwrap_or_default();
        assert!(
            self.known.starts_with(&found),
            "{} has what nobody appended there",
            self.name
        );
        let lost = self.known.len() - found.len();
        self.known = found;
        lost
    }
}

fn lines(store: &PostgresStore, count: usize) -> Vec<Line> {
    (1..=count)
        .map(|line| Line::new(store, format!("a-{line}")))
        .collect()
}

async fn grow_all(lines: &mut [Line], count: usize) {
    join_all(lines.iter_mut().map(|line| line.grow(count))).await;
}

async fn append_all(lines: &mut [Line]) -> Vec<Answer> {
    let appends = join_all(lines.iter_mut().map(Line::append));
    within("the appends", SOON, appends).await
}

/// The ids of all events, by stream and version. Neither versions nor positions have holes.
async fn stored(database: &Database) -> HashMap<String, Vec<EventId>> {
    let sql = "SELECT s.name, e.event_id, e.stream_version, e.global_position \
        FROM ordain.events AS e LEFT JOIN ordain.streams AS s ON s.key = e.stream_key \
        ORDER BY e.global_position";
    let mut found = HashMap::<String, Vec<EventId>>::new();
    for (row, position) in database.query(sql).await.unwrap().into_iter().zip(1_u64..) {
        let [name, id, version, at] = &row[..] else {
            panic!("four columns")
        };
        let number = |text: &Option<String>| text.as_ref().unwrap().parse::<u64>().unwrap();
        let ids = found.entry(name.clone().unwrap()).or_default();
        ids.push(id.as_ref().unwrap().parse().unwrap());
        assert_eq!(number(version), ids.len() as u64, "versions of {name:?}");
        assert_eq!(number(at), position, "positions");
    }
    found
}

/// What the lines know is what is stored, and nothing else.
fn assert_stored(lines: &[Line], stored: &HashMap<String, Vec<EventId>>) {
    for line in lines {
        assert_eq!(stored.get(&line.name), Some(&line.known), "{}", line.name);
    }
}

/// Events are gone under a warm store. Nothing is built on them, and the store goes on with what there is.
async fn goes_on_without_the_lost(store: &PostgresStore, lines: &mut [Line], now: &Database) {
    let before = stored(now).await;
    let answers = append_all(lines).await;
    for (line, answer) in lines.iter().zip(answers) {
        let error = answer.unwrap_err();
        assert!(error.is_conflict(), "{}: {error:?}", line.name);
    }
    assert_eq!(
        stored(now).await,
        before,
        "something was built on lost events"
    );
    for line in &mut *lines {
        assert!(line.forget_lost(&before) > 0);
        let head = store.stream_head(&stream(&line.name)).await.unwrap();
        assert_eq!(head.version.get(), line.version());
    }
    within("growing", SOON, grow_all(lines, 3)).await;
    assert_stored(lines, &stored(now).await);
}

async fn own_server() -> (Server, Database) {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let database = server.create_database("orders").await.unwrap();
    (server, database)
}

/// Warm lines, a copy of the server as it was before their last events, and the address leading there.
async fn restored() -> (PostgresStore, Vec<Line>, Database, (Proxy, [Server; 2])) {
    let (server, database) = own_server().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let mut warm = lines(&store, 8);
    grow_all(&mut warm, 3).await;
    let copy = server.restored_copy().await.unwrap();
    grow_all(&mut warm, 2).await;
    // Streams that the copy does not have.
    for name in ["b-1", "b-2"] {
        let mut line = Line::new(&store, name);
        line.grow(2).await;
        warm.push(line);
    }
    let now = copy.database("orders");
    proxy.lead_to(&now);
    proxy.connections().cut();
    (store, warm, now, (proxy, [server, copy]))
}

#[tokio::test]
async fn after_a_restore_at_the_same_address_nothing_is_built_on_lost_events() {
    let (store, mut lines, now, _servers) = restored().await;
    goes_on_without_the_lost(&store, &mut lines, &now).await;
}

#[tokio::test]
async fn a_restore_at_the_same_address_is_noticed() {
    let (store, mut lines, _, _servers) = restored().await;
    append_all(&mut lines).await;
    assert_eq!(store.stats().regressions, 1, "{:?}", store.stats());
}

/// Both were sent before it was known that what the first rests on is lost.
#[tokio::test]
async fn after_a_restore_appends_that_rest_on_each_other_all_fail() {
    let (store, lines, now, _servers) = restored().await;
    let before = stored(&now).await;
    let line = &lines[0];
    let events = [event(6), event(7), event(8)];
    let ids = events.each_ref().map(|event| event.event_id);
    let entries = [line.known.last().copied(), Some(ids[0]), Some(ids[1])];
    let appends = events.into_iter().zip(entries).zip(line.version()..);
    let appends = appends
        .map(|((event, entry), version)| store.append(after(&line.name, version, entry, event)));
    let answers = within("the appends", SOON, join_all(appends)).await;
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
    }
    assert_eq!(stored(&now).await, before);
}

/// The old server has stored the append, the new one has not, and the store heard of neither.
#[tokio::test]
async fn an_append_under_way_when_the_address_changes_is_stored_where_the_store_goes_on() {
    let (server, database) = own_server().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let mut line = Line::new(&store, "a-1");
    line.grow(3).await;
    let copy = server.restored_copy().await.unwrap();
    let now = copy.database("orders");
    let held = proxy.withhold_answers();
    let append = append_beside(line);
    until("the old server has it", || async {
        entries(&database, "a-1").await.len() == 4
    })
    .await;
    proxy.lead_to(&now);
    held.cut();
    let (mut line, _, answer) = within("the append", SOON, append).await.unwrap();
    assert_eq!(answer.unwrap().first_position.get(), 4);
    line.grow(2).await;
    assert_stored(&[line], &stored(&now).await);
}

/// As before, but what the append rests on is lost, too.
#[tokio::test]
async fn an_append_under_way_on_a_lost_event_fails_where_the_store_goes_on() {
    let (server, database) = own_server().await;
    let proxy = Proxy::before(&database).await;
    let store = proxy.options(&database).connect().await.unwrap();
    let mut line = Line::new(&store, "a-1");
    line.grow(3).await;
    let copy = server.restored_copy().await.unwrap();
    let now = copy.database("orders");
    line.grow(1).await;
    let held = proxy.withhold_answers();
    let append = append_beside(line);
    until("the old server has it", || async {
        entries(&database, "a-1").await.len() == 5
    })
    .await;
    proxy.lead_to(&now);
    held.cut();
    let (line, _, answer) = within("the append", SOON, append).await.unwrap();
    let error = answer.unwrap_err();
    assert!(error.is_conflict(), "{error:?}");
    goes_on_without_the_lost(&store, &mut [line], &now).await;
}

/// Versions and positions are those of the lost events again, and the entries are others.
#[tokio::test]
async fn after_a_restore_and_as_many_events_of_another_process_nothing_is_built_on_lost_events() {
    let (store, mut lines, now, _servers) = restored().await;
    let other = options(&now).connect().await.unwrap();
    for line in lines.iter().rev() {
        let there = other.stream_head(&stream(&line.name)).await.unwrap();
        for number in there.version.get()..line.version() {
            other.append(one(&line.name, 100 + number)).await.unwrap();
        }
    }
    let before = stored(&now).await;
    for answer in append_all(&mut lines).await {
        let error = answer.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
    }
    assert_eq!(stored(&now).await, before);
    let mut again = Line::new(&store, "a-1");
    again.known.clone_from(&before["a-1"]);
    again.grow(2).await;
    assert_stored(&[again], &stored(&now).await);
}

/// A store of a primary and a standby that follows no more, and lines whose last events it does not have.
async fn lagging() -> (PostgresStore, Vec<Line>, Server, Server) {
    let (primary, _) = own_server().await;
    let url = primary.url("orders");
    let place = format!("127.0.0.1:{}", primary.port());
    let standby = primary.standby().await.unwrap();
    let both = format!("{place},127.0.0.1:{}", standby.port());
    let store = PostgresStore::options()
        .url(&url.replace(&place, &both))
        .migrate_on_connect(true)
        .pool_size(4);
    let store = store.connect().await.unwrap();
    let mut warm = lines(&store, 8);
    grow_all(&mut warm, 3).await;
    let end = primary.database("orders");
    let end = end.value("SELECT pg_current_wal_lsn()").await.unwrap();
    let end = end.unwrap();
    let follower = standby.database("orders").connect().await.unwrap();
    let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{end}'");
    until_true(&follower, &caught_up).await;
    follower
        .execute("ALTER SYSTEM SET primary_conninfo = ''")
        .await
        .unwrap();
    follower.execute("SELECT pg_reload_conf()").await.unwrap();
    let alone = "SELECT count(*) = 0 FROM pg_stat_wal_receiver";
    until_true(&follower, alone).await;
    grow_all(&mut warm, 2).await;
    (store, warm, primary, standby)
}

async fn until_true(connection: &Connection, sql: &str) {
    until(sql, || async {
        connection.value(sql).await.unwrap().as_deref() == Some("t")
    })
    .await;
}

#[tokio::test]
async fn after_a_promotion_of_a_standby_that_lagged_nothing_is_built_on_lost_events() {
    let (store, mut lines, primary, standby) = lagging().await;
    primary.kill().await.unwrap();
    standby.promote().await.unwrap();
    let now = standby.database("orders");
    goes_on_without_the_lost(&store, &mut lines, &now).await;
}

#[tokio::test]
async fn a_promotion_of_a_standby_that_lagged_is_noticed() {
    let (store, mut lines, primary, standby) = lagging().await;
    primary.kill().await.unwrap();
    standby.promote().await.unwrap();
    append_all(&mut lines).await;
    assert_eq!(store.stats().regressions, 1, "{:?}", store.stats());
}

/// The appends are under way when there is no primary.
#[tokio::test]
async fn appends_that_wait_for_a_promotion_are_not_built_on_lost_events() {
    let (store, mut lines, primary, standby) = lagging().await;
    primary.kill().await.unwrap();
    let failures = store.stats().failures;
    let appends = tokio::spawn(async move {
        let answers = append_all(&mut lines).await;
        (lines, answers)
    });
    until("the appends are tried", || async {
        store.stats().failures > failures
    })
    .await;
    standby.promote().await.unwrap();
    let (mut lines, answers) = within("the appends", SOON, appends).await.unwrap();
    for answer in answers {
        let error = answer.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
    }
    let now = standby.database("orders");
    goes_on_without_the_lost(&store, &mut lines, &now).await;
}

#[tokio::test]
async fn after_a_crash_without_synchronous_commit_there_is_no_hole_and_nothing_on_lost_events() {
    let options = ServerOptions::new()
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "10s")
        .setting("wal_writer_flush_after", "1GB");
    let server = Server::start(options).await.unwrap();
    let database = server.create_database("orders").await.unwrap();
    let store = wire::options(&database).allow_synchronous_commit_off(true);
    let store = store.connect().await.unwrap();
    let mut lines = lines(&store, 8);
    grow_all(&mut lines, 3).await;
    // Waits for the disk, with all before it.
    let sync = "SET synchronous_commit = on; CREATE TABLE public.mark ()";
    database.execute(sync).await.unwrap();
    grow_all(&mut lines, 20).await;
    server.stop(Stop::Immediate).await.unwrap();
    server.start_again().await.unwrap();
    let before = stored(&database).await;
    let mut lost = 0;
    for (line, answer) in (0..8).zip(append_all(&mut lines).await) {
        let line = &mut lines[line];
        match answer {
            Ok(_) => {}
            Err(StoreError::Conflict { .. }) => {
                let gone = line.forget_lost(&before);
                assert!(gone > 0, "{}", line.name);
                lost += gone;
            }
            Err(error) => panic!("{error:?}"),
        }
        assert!(line.version() >= 3);
    }
    assert!(lost > 0, "nothing was lost, so nothing was tried");
    grow_all(&mut lines, 3).await;
    assert_stored(&lines, &stored(&database).await);
}

/// Lines that append until they are told to end.
struct Load {
    ends: Arc<AtomicBool>,
    confirmed: Arc<AtomicU64>,
    tasks: Vec<JoinHandle<(Line, Vec<EventId>)>>,
}

impl Load {
    fn begin(lines: Vec<Line>) -> Self {
        let (ends, confirmed) = <(Arc<AtomicBool>, Arc<AtomicU64>)>::default();
        let tasks = lines.into_iter().map(|mut line| {
            let (ends, confirmed) = (Arc::clone(&ends), Arc::clone(&confirmed));
            tokio::spawn(async move {
                let mut never = Vec::new();
                while !ends.load(Ordering::SeqCst) {
                    line.append_in_trouble(&mut never).await;
                    confirmed.fetch_add(1, Ordering::SeqCst);
                }
                (line, never)
            })
        });
        let tasks = tasks.collect();
        Self {
            ends,
            confirmed,
            tasks,
        }
    }

    async fn until_more(&self, count: u64) {
        let wanted = self.confirmed.load(Ordering::SeqCst) + count;
        until("the load goes on", || async {
            self.confirmed.load(Ordering::SeqCst) >= wanted
                || self.tasks.iter().any(JoinHandle::is_finished)
        })
        .await;
    }

    /// Ends it; what was confirmed is stored once, and nothing of what was denied.
    async fn check(self, database: &Database) -> (Vec<Line>, usize) {
        self.ends.store(true, Ordering::SeqCst);
        let ended = within("the load's end", SOON, join_all(self.tasks)).await;
        let (lines, never): (Vec<_>, Vec<_>) = ended.into_iter().map(Result::unwrap).unzip();
        let stored = stored(database).await;
        assert_stored(&lines, &stored);
        let all: Vec<_> = stored.values().flatten().collect();
        let never: Vec<_> = never.into_iter().flatten().collect();
        for id in &never {
            assert!(!all.contains(&id), "{id} was denied, and is stored");
        }
        (lines, never.len())
    }
}

/// Returns how many appends were denied.
async fn killed_under_load(options: impl FnOnce(PostgresOptions) -> PostgresOptions) -> usize {
    let (server, database) = own_server().await;
    let store = options(wire::options(&database)).connect().await.unwrap();
    let load = Load::begin(lines(&store, 64));
    for _ in 0..3 {
        load.until_more(500).await;
        let failures = store.stats().failures;
        server.kill().await.unwrap();
        until("the loss is noticed", || async {
            store.stats().failures > failures
        })
        .await;
        server.start_again().await.unwrap();
    }
    load.until_more(500).await;
    let (mut lines, denied) = load.check(&database).await;
    assert_eq!(store.stats().regressions, 0);
    grow_all(&mut lines, 1).await;
    denied
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_confirmed_under_load_outlives_kills_of_the_server() {
    assert_eq!(killed_under_load(|options| options).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_denied_under_load_is_not_there_after_kills_of_the_server() {
    let denied = killed_under_load(|options| {
        options
            .outage_timeout(Duration::from_millis(50))
            .acquire_timeout(Duration::from_millis(500))
    })
    .await;
    assert!(denied > 0, "none was denied, so nothing was tried");
}

/// A primary whose commits wait for its standby.
async fn synchronous() -> (Server, Server, Database) {
    let (primary, database) = own_server().await;
    let standby = primary.standby().await.unwrap();
    let connection = database.connect().await.unwrap();
    connection
        .execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        .await
        .unwrap();
    connection.execute("SELECT pg_reload_conf()").await.unwrap();
    let sql = "SELECT count(*) = 1 FROM pg_stat_replication WHERE sync_state = 'sync'";
    until_true(&connection, sql).await;
    (primary, standby, database)
}

const WAITING: &str = "FROM pg_stat_activity WHERE wait_event = 'SyncRep'";

async fn until_waiting_for_the_standby(database: &Database, backends: u32) {
    let connection = database.connect().await.unwrap();
    let sql = format!("SELECT count(*) = {backends} {WAITING}");
    until_true(&connection, &sql).await;
}

fn append_beside(mut line: Line) -> JoinHandle<(Line, EventId, Answer)> {
    tokio::spawn(async move {
        let id = EventId::new();
        let answer = line.append_as(id).await;
        (line, id, answer)
    })
}

#[tokio::test]
async fn an_append_is_not_confirmed_before_the_synchronous_standby_has_it() {
    let (_primary, standby, database) = synchronous().await;
    let store = options(&database).connect().await.unwrap();
    let mut line = Line::new(&store, "a-1");
    line.grow(2).await;
    standby.freeze().await.unwrap();
    let mut append = append_beside(line);
    until_waiting_for_the_standby(&database, 1).await;
    let early = tokio::time::timeout(A_WHILE, &mut append).await;
    assert!(early.is_err(), "{:?}", early.unwrap().unwrap().2);
    standby.thaw().await.unwrap();
    let (line, _, answer) = within("the append", SOON, append).await.unwrap();
    answer.unwrap();
    assert_stored(&[line], &stored(&database).await);
}

#[tokio::test]
async fn an_append_whose_session_ends_while_it_waits_for_the_standby_is_confirmed_once_that_goes_on()
 {
    let (_primary, standby, database) = synchronous().await;
    let store = options(&database).connect().await.unwrap();
    let mut line = Line::new(&store, "a-1");
    line.grow(2).await;
    standby.freeze().await.unwrap();
    let mut append = append_beside(line);
    until_waiting_for_the_standby(&database, 1).await;
    let end = format!("SELECT pg_terminate_backend(pid) {WAITING}");
    database.query(&end).await.unwrap();
    until("the event is there", || async {
        entries(&database, "a-1").await.len() == 3
    })
    .await;
    // Now the fence waits.
    until_waiting_for_the_standby(&database, 1).await;
    let early = tokio::time::timeout(A_WHILE, &mut append).await;
    assert!(early.is_err(), "{:?}", early.unwrap().unwrap().2);
    standby.thaw().await.unwrap();
    let (mut line, _, answer) = within("the append", SOON, append).await.unwrap();
    answer.unwrap();
    line.grow(1).await;
    assert_stored(&[line], &stored(&database).await);
}

#[tokio::test]
async fn an_append_whose_session_ends_while_it_waits_for_a_silent_standby_is_not_denied() {
    let (_primary, standby, database) = synchronous().await;
    let store = hasty(options(&database)).connect().await.unwrap();
    let mut line = Line::new(&store, "a-1");
    line.grow(2).await;
    standby.freeze().await.unwrap();
    let append = append_beside(line);
    until_waiting_for_the_standby(&database, 1).await;
    let end = format!("SELECT pg_terminate_backend(pid) {WAITING}");
    database.query(&end).await.unwrap();
    let (mut line, id, answer) = within("the append", SOON, append).await.unwrap();
    assert_eq!(entries(&database, "a-1").await.len(), 3);
    assert!(
        matches!(answer, Err(StoreError::OutcomeUnknown { .. })),
        "the event is there, and the answer is {answer:?}"
    );
    standby.thaw().await.unwrap();
    line.known.push(id);
    line.append_in_trouble(&mut Vec::new()).await;
    assert_stored(&[line], &stored(&database).await);
}

/// Short times.
fn hasty(options: PostgresOptions) -> PostgresOptions {
    options
        .statement_timeout(Duration::from_secs(1))
        .order_lock_timeout(Duration::from_millis(500))
        .acquire_timeout(Duration::from_secs(1))
        .outage_timeout(Duration::from_secs(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_a_frozen_server_are_answered_in_time_and_nothing_is_doubled() {
    let (server, database) = own_server().await;
    let store = hasty(options(&database)).connect().await.unwrap();
    let mut warm = lines(&store, 8);
    grow_all(&mut warm, 3).await;
    server.freeze().await.unwrap();
    let mut sent: Vec<_> = warm.iter().map(|_| (EventId::new(), false)).collect();
    for _ in 0..2 {
        let started = Instant::now();
        let appends = warm.iter_mut().zip(&sent);
        let appends = appends.map(|(line, (id, _))| line.append_as(*id));
        let answers = within("the answers", SOON, join_all(appends)).await;
        // A statement, its grace, a connection and the outage have their times, one after the other.
        assert!(
            started.elapsed() < Duration::from_secs(7),
            "{:?}",
            started.elapsed()
        );
        for ((_, in_doubt), answer) in sent.iter_mut().zip(answers) {
            let error = answer.unwrap_err();
            assert!(
                error.is_unavailable() || error.is_outcome_unknown(),
                "{error:?}"
            );
            *in_doubt |= error.is_outcome_unknown();
        }
    }
    server.thaw().await.unwrap();
    until("the server answers", || async {
        store.head().await.is_ok()
    })
    .await;
    let before = stored(&database).await;
    for (line, (id, in_doubt)) in warm.iter_mut().zip(sent) {
        let came_true = before[&line.name].contains(&id);
        assert!(in_doubt || !came_true, "{id} was denied, and is stored");
        let mut never = Vec::new();
        if in_doubt {
            match line.append_as(id).await {
                Ok(_) => {}
                Err(error) if error.is_conflict() || error.is_duplicate() => line.known.push(id),
                Err(error) => panic!("{error:?}"),
            }
        }
        line.append_in_trouble(&mut never).await;
    }
    assert_stored(&warm, &stored(&database).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_frozen_under_load_goes_on_and_nothing_is_doubled() {
    let (server, database) = own_server().await;
    let store = hasty(options(&database)).connect().await.unwrap();
    let load = Load::begin(lines(&store, 64));
    for _ in 0..2 {
        load.until_more(500).await;
        let failures = store.stats().failures;
        server.freeze().await.unwrap();
        until("the silence is noticed", || async {
            store.stats().failures > failures + 1
        })
        .await;
        server.thaw().await.unwrap();
    }
    load.until_more(500).await;
    let (mut lines, _) = load.check(&database).await;
    assert_eq!(store.stats().regressions, 0);
    grow_all(&mut lines, 1).await;
}

#[tokio::test]
async fn after_a_reset_by_another_process_nothing_is_built_on_what_is_gone() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let mut lines = lines(&store, 8);
    grow_all(&mut lines, 3).await;
    let admin = options(&database).admin().unwrap();
    admin.reset("ordain").await.unwrap();
    goes_on_without_the_lost(&store, &mut lines, &database).await;
}

#[tokio::test]
async fn a_reset_by_another_process_is_noticed() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let mut lines = lines(&store, 8);
    grow_all(&mut lines, 3).await;
    let admin = options(&database).admin().unwrap();
    admin.reset("ordain").await.unwrap();
    append_all(&mut lines).await;
    assert_eq!(store.stats().regressions, 1, "{:?}", store.stats());
}

/// Keys, versions and positions are those of before, and the entries are others.
#[tokio::test]
async fn after_a_reset_and_as_many_events_of_another_process_nothing_is_built_on_what_is_gone() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let mut lines = lines(&store, 8);
    for line in &mut lines {
        line.grow(3).await;
    }
    let admin = options(&database).admin().unwrap();
    admin.reset("ordain").await.unwrap();
    let other = options(&database).connect().await.unwrap();
    for line in &lines {
        Line::new(&other, &*line.name).grow(3).await;
    }
    let before = stored(&database).await;
    for answer in append_all(&mut lines).await {
        let error = answer.unwrap_err();
        assert!(error.is_conflict(), "{error:?}");
    }
    assert_eq!(stored(&database).await, before);
    assert_eq!(
        number(&database, "SELECT count(*) FROM ordain.events").await,
        24
    );
}

#[tokio::test]
async fn an_app_whose_server_stops_is_degraded_until_it_is_back() {
    let server = Server::start(ServerOptions::new()).await.unwrap();
    let database = server.create_database("orders").await.unwrap();
    let times = options(&database)
        .acquire_timeout(Duration::from_millis(500))
        .outage_timeout(Duration::from_millis(500));
    let store = times.connect().await.unwrap();
    let app = nodes::start(&store).await;
    app.dispatch(nodes::deposit(1, 5)).await.unwrap();
    server.stop(Stop::Immediate).await.unwrap();
    within("a refusal", SOON, app.dispatch(nodes::deposit(1, 5)))
        .await
        .unwrap_err();
    assert!(app.health().degraded.is_some() && app.health().is_live());
    server.start_again().await.unwrap();
    until("commands are carried out", || async {
        app.dispatch(nodes::deposit(2, 5)).await.is_ok()
    })
    .await;
    assert!(app.health().is_ready());
    nodes::close((store, app)).await;
}
