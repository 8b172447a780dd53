//! What requests read of a large store: no more than they ask for, whatever the server's statistics say.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::time::Duration;

use futures::future::{join_all, try_join_all};
use ordain::store::{
    Appended, BlockRequest, Change, Committed, InstanceQuery, LeaseKey, LoadStream, OutgoingQuery,
    Progress, ReadAll, ReadStream, Share, SubscriptionStore, TimerQuery,
};
use ordain::{EventStore, StoreError};
use ordain_postgres::PostgresStore;
use ordain_testkit::postgres::Database;
use time::macros::datetime;
use wire::read_side::{beat, claim, dead_letter, instance, leased, outgoing, timer};
use wire::{number, one, options, stream, until};

const STREAMS: u32 = 20_000;
const EVENTS: u32 = 100_000;

/// A store whose statistics are taken when a test says so.
async fn store(database: &Database) -> PostgresStore {
    let store = options(database).connect().await.unwrap();
    for table in ["events", "streams", "links", "erased", "command_outcomes"] {
        let sql = format!("ALTER TABLE ordain.{table} SET (autovacuum_enabled = false)");
        database.execute(&sql).await.unwrap();
    }
    store
}

/// Has sessions keep the first plan of a statement, as they do sooner or later by themselves.
async fn keep_plans(database: &Database) {
    let generic = format!(
        "ALTER DATABASE \"{}\" SET plan_cache_mode = force_generic_plan",
        database.name()
    );
    database.execute(&generic).await.unwrap();
}

/// Events in many streams, `large-1` and so on, behind what there is.
async fn grow(database: &Database) {
    let streams = format!(
        "INSERT INTO ordain.streams (key, name, category, created_at) \
         SELECT 1000000 + n, 'large-' || n, 'large', now() FROM generate_series(1, {STREAMS}) AS n"
    );
    let events = format!(
        "INSERT INTO ordain.events (global_position, stream_key, stream_version, recorded_at, event_id, \
         schema_version, event_type, data) \
         SELECT head + n, 1000001 + (n - 1) % {STREAMS}, 1 + (n - 1) / {STREAMS}, now(), gen_random_uuid(), \
         1, 'counted', '{{}}' FROM generate_series(1, {EVENTS}) AS n, \
         (SELECT coalesce(max(global_position), 0) AS head FROM ordain.events) AS log"
    );
    database.execute(&streams).await.unwrap();
    database.execute(&events).await.unwrap();
}

async fn store_one(store: &PostgresStore, name: String) -> Result<Appended, StoreError> {
    store.append(one(&name, 1)).await
}

/// How many rows of these tables were read by sessions that have ended.
async fn rows_read(database: &Database, tables: &str) -> i64 {
    let sql = format!(
        "SELECT sum(seq_tup_read + coalesce(idx_tup_fetch, 0))::bigint FROM pg_stat_user_tables \
         WHERE schemaname = 'ordain' AND relname IN ({tables})"
    );
    number(database, &sql).await
}

/// Closes a store, and waits until its sessions have told what they read.
async fn end(store: PostgresStore, database: &Database) {
    store.close().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
        AND backend_type = 'client backend' AND pid <> pg_backend_pid()";
    until("the sessions have ended", || async {
        number(database, sql).await == 0
    })
    .await;
}

#[tokio::test]
async fn a_page_of_an_analyzed_log_reads_its_own_events_and_their_streams() {
    let database = Database::create().await;
    let store = store(&database).await;
    grow(&database).await;
    database.execute("ANALYZE").await.unwrap();
    let before = rows_read(&database, "'events', 'streams'").await;
    let pages = 10_u64;
    for page in 0..pages {
        let read = ReadAll::forward().after(page * 100).limit(100);
        assert_eq!(store.read_all(read).await.unwrap().events.len(), 100);
    }
    end(store, &database).await;
    let read = rows_read(&database, "'events', 'streams'").await - before;
    assert!(
        read <= 5_000,
        "{read} rows were read for {pages} pages of 100"
    );
}

#[tokio::test]
async fn appends_planned_when_the_analyzed_log_was_small_do_not_scan_it_when_it_is_large() {
    let database = Database::create().await;
    let store = store(&database).await;
    let small = (1..=60).map(|number| store_one(&store, format!("small-{number}")));
    try_join_all(small).await.unwrap();
    database.execute("ANALYZE").await.unwrap();
    store_one(&store, "small-61".into()).await.unwrap();
    grow(&database).await;
    let before = rows_read(&database, "'events', 'streams'").await;
    let large = (1..=20).map(|number| store_one(&store, format!("large-{number}")));
    let appended = join_all(large).await;
    assert!(appended.iter().all(Result::is_ok), "{appended:?}");
    end(store, &database).await;
    let read = rows_read(&database, "'events', 'streams'").await - before;
    assert!(read <= 5_000, "{read} rows were read for 20 appends");
}

#[tokio::test]
async fn a_position_by_time_does_not_read_all_erased_entries() {
    let database = Database::create().await;
    keep_plans(&database).await;
    let store = store(&database).await;
    store.append(one("a-1", 1)).await.unwrap();
    let erased = "INSERT INTO ordain.erased SELECT 1000000 + n, now() + n * interval '1 s' \
        FROM generate_series(1, 10000) AS n";
    database.execute(erased).await.unwrap();
    database.execute("ANALYZE").await.unwrap();
    let past = datetime!(2000-01-01 00:00 UTC);
    assert_eq!(store.position_at(past).await.unwrap().get(), 0);
    end(store, &database).await;
    let read = rows_read(&database, "'erased'").await;
    assert!(read <= 200, "{read} rows were read");
}

#[tokio::test]
async fn reads_planned_when_the_analyzed_log_was_small_do_not_scan_it_when_it_is_large() {
    let database = Database::create().await;
    keep_plans(&database).await;
    let store = store(&database).await;
    let small = (1..=60).map(|number| store_one(&store, format!("small-{number}")));
    try_join_all(small).await.unwrap();
    database.execute("ANALYZE").await.unwrap();
    // On every connection there is.
    let small = (0..8).map(|_| read_one(&store, "small-1", 1));
    join_all(small).await;
    grow(&database).await;
    let before = rows_read(&database, "'events', 'streams'").await;
    read_one(&store, "large-19999", 5).await;
    end(store, &database).await;
    let read = rows_read(&database, "'events', 'streams'").await - before;
    assert!(read <= 15_000, "{read} rows were read for one stream");
}

/// Reads a stream, which has no snapshot, in all ways.
async fn read_one(store: &PostgresStore, name: &str, len: usize) {
    let name = stream(name);
    let page = store.read_stream(ReadStream::forward(name.clone())).await;
    assert_eq!(page.unwrap().events.len(), len);
    let loaded = store.load_stream(LoadStream::new(name.clone(), 1)).await;
    assert_eq!(loaded.unwrap().page.events.len(), len);
    let head = store.stream_head(&name).await.unwrap();
    assert_eq!(head.version.get(), len as u64);
    store.stream_info(&name).await.unwrap();
    assert!(store.read_snapshot(&name).await.is_err());
}

const READ_SIDE: &str = "'subscriptions', 'subscription_partitions', 'subscription_members', 'blocks', \
    'process_instances', 'outgoing_commands', 'timers'";

/// Much of everything, in one subscription and in many others.
async fn grow_read_side(database: &Database) {
    for sql in [
        "INSERT INTO ordain.subscriptions (name, version, generation, state, fingerprint, replayed) \
         SELECT 'other-' || n, 1, 1, 'active', '', '{}' FROM generate_series(1, 5000) AS n",
        "INSERT INTO ordain.subscription_partitions (name, version, partition, position, epoch, moved_at) \
         SELECT 'other-' || n, 1, p, 0, 1, now() FROM generate_series(1, 5000) AS n, generate_series(0, 3) AS p",
        "INSERT INTO ordain.subscription_members \
         SELECT 'other-' || n, 1, gen_random_uuid(), now() FROM generate_series(1, 5000) AS n",
        "INSERT INTO ordain.blocks (name, version, key, kind, position, error, attempts, since) \
         SELECT 'other-' || n % 5000, 1, n, 'dead_letter', n, '', 1, now() FROM generate_series(1, 20000) AS n",
        "INSERT INTO ordain.process_instances (name, version, id, bucket, position, changed_at, finished_at, data) \
         SELECT 'transfers', 1, 'x-' || n, n, n, now(), CASE WHEN n % 1000 > 0 THEN now() END, '' \
         FROM generate_series(1, 50000) AS n",
        "INSERT INTO ordain.outgoing_commands \
         SELECT gen_random_uuid(), 'transfers', 1, 'x-' || n, n, 1, 0, '' FROM generate_series(1, 50000) AS n",
        "INSERT INTO ordain.timers \
         SELECT 'transfers', 1, 'x-' || n, 'due', n, 1, now() + (n - 25000) * interval '1 hour', '' \
         FROM generate_series(1, 50000) AS n",
    ] {
        database.execute(sql).await.unwrap();
    }
}

/// Everything that is asked while a process manager works.
async fn work_on_transfers(store: &PostgresStore, lease: &LeaseKey, from: u64) {
    let subscription = &lease.subscription;
    let share = Share {
        partition: 1,
        partitions: 4,
    };
    store.keep_alive(beat(subscription)).await.unwrap();
    store
        .claim(claim("transfers", Duration::from_secs(1)))
        .await
        .unwrap();
    let command = outgoing("new", 1);
    let mut progress = Progress::new(lease.clone(), from.into(), (from + 1).into());
    progress.changes = vec![
        Change::Block(dead_letter("k")),
        Change::PutInstance(instance("i-7")),
        Change::RemoveTimersOf {
            instance: "i-7".into(),
        },
        Change::RemoveOutgoingOf {
            instance: "i-7".into(),
        },
        Change::PutOutgoing(command.clone()),
        Change::PutTimer(timer("i-7", "due")),
    ];
    let done = store.commit(progress).await.unwrap();
    assert_eq!(done, Committed::Done);
    let settled = one("transfer-1", 1).settling(Some(command.command_id));
    store.append(settled).await.unwrap();
    let plain = Progress::new(lease.clone(), (from + 1).into(), (from + 2).into());
    assert_eq!(store.commit(plain).await.unwrap(), Committed::Done);
    for finished in [None, Some(false), Some(true)] {
        let query = InstanceQuery {
            subscription: subscription.clone(),
            after: Some("x-3".into()),
            finished,
            limit: 20,
        };
        store.list_instances(query).await.unwrap();
    }
    let ids = ["i-7".to_owned(), "none".to_owned()];
    store.instances(subscription, &ids).await.unwrap();
    let commands = OutgoingQuery {
        subscription: subscription.clone(),
        share,
        after: Some(("x-3".into(), 1)),
        limit: 20,
    };
    store.outgoing(commands).await.unwrap();
    let due = TimerQuery {
        subscription: subscription.clone(),
        share,
        limit: 20,
    };
    store.timers_due(due).await.unwrap();
    store.timers(subscription, "i-7").await.unwrap();
    store
        .set_timer(subscription, timer("i-7", "other"))
        .await
        .unwrap();
    assert!(
        store
            .cancel_timer(subscription, "i-7", "other")
            .await
            .unwrap()
    );
    store.blocks(subscription, 10).await.unwrap();
    store
        .request_blocks(subscription, Some("k"), BlockRequest::Retry)
        .await
        .unwrap();
    let age = Some(Duration::from_secs(3_600));
    store.prune(subscription, age, age).await.unwrap();
    store.subscriptions(Some("transfers")).await.unwrap();
}

#[tokio::test]
async fn what_the_read_side_asks_is_answered_without_scans() {
    let database = Database::create().await;
    keep_plans(&database).await;
    let store = options(&database).pool_size(1).connect().await.unwrap();
    for table in READ_SIDE.split(", ") {
        let table = table.trim_matches('\'');
        let sql = format!("ALTER TABLE ordain.{table} SET (autovacuum_enabled = false)");
        database.execute(&sql).await.unwrap();
    }
    let lease = leased(&store, "transfers").await.unwrap();
    database.execute("ANALYZE").await.unwrap();
    // With plans for a small store.
    work_on_transfers(&store, &lease, 0).await;
    grow_read_side(&database).await;
    let before = rows_read(&database, READ_SIDE).await;
    let rounds = 5;
    for round in 1..=rounds {
        work_on_transfers(&store, &lease, 2 * round).await;
    }
    end(store, &database).await;
    let read = rows_read(&database, READ_SIDE).await - before;
    assert!(read <= 3_000, "{read} rows were read in {rounds} rounds");
}
