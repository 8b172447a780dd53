//! What a role needs that did not make the store, and what nobody may do to it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use futures::StreamExt;
use ordain::store::{
    Append, BlockRequest, Change, CommandKey, Committed, Deletion, LoadStream, NewLinks,
    NewOutcome, OwnerId, Progress, ReadAll, ReadStream, StreamQuery, SubscriptionStore,
};
use ordain::{CommandId, EventId, EventStore, ExpectedVersion, Snapshot, StoreError};
use ordain_postgres::{PostgresOptions, PostgresStore};
use ordain_testkit::postgres::{Connection, Database, PgBouncer, PoolMode};
use wire::read_side::{beat, dead_letter, instance, leased, outgoing, timer};
use wire::{event, number, one, options, stream, until};

/// The grants that the documentation names.
const GRANTS: &str = "\
GRANT USAGE ON SCHEMA ordain TO app;
GRANT SELECT ON ALL TABLES IN SCHEMA ordain TO app;
GRANT INSERT ON ordain.streams, ordain.events, ordain.links, ordain.command_outcomes, ordain.snapshots TO app;
GRANT UPDATE (deleted) ON ordain.streams TO app;
GRANT UPDATE (generation, floor) ON ordain.log_head TO app;
GRANT UPDATE (stream_version, entry, schema_version, taken_at, data) ON ordain.snapshots TO app;
GRANT DELETE ON ordain.command_outcomes, ordain.snapshots TO app;
GRANT INSERT, UPDATE, DELETE ON ordain.subscriptions, ordain.subscription_partitions, ordain.subscription_members TO app;
GRANT INSERT, UPDATE, DELETE ON ordain.blocks, ordain.process_instances, ordain.outgoing_commands, ordain.timers TO app;
";

/// Those for hard deletes besides.
const GRANTS_OF_ERASING: &str = "\
GRANT DELETE ON ordain.events, ordain.links, ordain.erasures TO app;
GRANT INSERT ON ordain.erased, ordain.erasures TO app;
GRANT UPDATE (stream_key) ON ordain.erasures TO app;
";

/// What the README has of them.
fn documented() -> String {
    let readme = include_str!("../README.md");
    let (_, rest) = readme.split_once("```sql\n").unwrap();
    rest.split_once("```").unwrap().0.into()
}

/// The grants, one privilege on one table each.
fn single(grants: &str) -> Vec<String> {
    let mut all = Vec::new();
    for statement in grants.split(';').map(str::trim).filter(|it| !it.is_empty()) {
        let rest = statement.strip_prefix("GRANT ").unwrap();
        let (what, rest) = rest.split_once(" ON ").unwrap();
        let (places, role) = rest.split_once(" TO ").unwrap();
        let tables: Vec<_> = match places {
            "ALL TABLES IN SCHEMA ordain" => {
                TABLES.iter().map(|it| format!("ordain.{it}")).collect()
            }
            _ => places.split(", ").map(str::to_owned).collect(),
        };
        let columns: Vec<_> = match what.split_once(" (") {
            Some((kind, columns)) => columns
                .trim_end_matches(')')
                .split(", ")
                .map(|it| format!("{kind} ({it})"))
                .collect(),
            None => what.split(", ").map(str::to_owned).collect(),
        };
        for table in &tables {
            for column in &columns {
                all.push(format!("GRANT {column} ON {table} TO {role}"));
            }
        }
    }
    all
}

const TABLES: [&str; 17] = [
    "log_head",
    "streams",
    "events",
    "links",
    "erased",
    "erasures",
    "command_outcomes",
    "snapshots",
    "ordain_migrations",
    "subscriptions",
    "subscription_partitions",
    "subscription_members",
    "blocks",
    "process_instances",
    "outgoing_commands",
    "timers",
    "subscription_records",
];

/// A role with these grants on a store that another has made.
struct Granted {
    database: Database,
    role: String,
}

impl Granted {
    async fn new(grants: &str) -> Self {
        let database = Database::create().await;
        options(&database).admin().unwrap().init().await.unwrap();
        let role = format!("app_{}", database.name());
        let create = format!(
            "CREATE ROLE \"{role}\" LOGIN PASSWORD 'p'; REVOKE ALL ON SCHEMA public FROM PUBLIC"
        );
        database.execute(&create).await.unwrap();
        let grants = grants.replace(" TO app", &format!(" TO \"{role}\""));
        database.execute(&grants).await.unwrap();
        Self { database, role }
    }

    fn options(&self) -> PostgresOptions {
        PostgresStore::options()
            .url(&self.database.url_as(&self.role, "p"))
            .pool_size(2)
            .outage_timeout(std::time::Duration::from_secs(1))
            .hard_deletes(true)
    }

    async fn session(&self) -> Connection {
        Connection::open(&self.database.url_as(&self.role, "p"))
            .await
            .unwrap()
    }

    async fn drop_role(self) {
        let sql = format!("DROP OWNED BY \"{0}\"; DROP ROLE \"{0}\"", self.role);
        self.database.execute(&sql).await.unwrap();
    }
}

/// All that a program does without hard deletes.
async fn works(store: &PostgresStore) -> Result<(), StoreError> {
    let first = event(1);
    let id = first.event_id;
    let opening = Append::new(stream("a-1"), ExpectedVersion::NoStream, vec![first]);
    store.append(opening).await?;
    store
        .append(wire::after("a-1", 1, Some(id), event(2)))
        .await?;
    let key = CommandKey::new(CommandId::new(), stream("b-1"));
    let outcome = NewOutcome {
        command: key.clone(),
        version: 0.into(),
        entry: None,
        data: "no".into(),
    };
    store.record_outcome(outcome).await?;
    assert!(store.find_repeat(&key).await?.is_some());
    let later = time_after_now();
    assert_eq!(store.forget_outcomes(later).await?, 1);
    let links = |name: &str| NewLinks {
        stream: stream(name),
        expected: ExpectedVersion::Any,
        targets: vec![id],
    };
    store.link(links("l-1")).await?;
    snapshots(store, id).await?;
    let name = stream("a-1");
    store
        .delete_stream(&name, ExpectedVersion::Any, Deletion::Soft)
        .await?;
    store.undelete_stream(&name).await?;
    let mut tx = store.begin().await?;
    tx.append(one("a-1", 3))?;
    tx.link(links("l-2"))?;
    tx.commit().await?;
    subscribes(store).await?;
    reads(store).await
}

/// What the read side has to remember, from the making of a subscription to its removal.
async fn subscribes(store: &PostgresStore) -> Result<(), StoreError> {
    let lease = leased(store, "transfers").await?;
    let key = &lease.subscription;
    let command = outgoing("a", 1);
    let settled = command.command_id;
    let mut progress = Progress::new(lease.clone(), 0.into(), 1.into());
    progress.changes = vec![
        Change::Block(dead_letter("a")),
        Change::PutInstance(instance("a")),
        Change::PutOutgoing(command),
        Change::PutTimer(timer("a", "due")),
    ];
    assert_eq!(store.commit(progress).await?, Committed::Done);
    store.request_blocks(key, None, BlockRequest::Retry).await?;
    let standing = store.keep_alive(beat(key)).await?;
    assert_eq!(standing, store.subscriptions(None).await?);
    store
        .append(one("settled-1", 1).settling(Some(settled)))
        .await?;
    store.leave(OwnerId::random()).await?;
    store.release(vec![lease.clone()]).await?;
    assert!(store.remove_subscription(key).await?);
    Ok(())
}

fn time_after_now() -> time::OffsetDateTime {
    time::OffsetDateTime::now_utc() + std::time::Duration::from_secs(60)
}

async fn snapshots(store: &PostgresStore, entry: EventId) -> Result<(), StoreError> {
    let snapshot = |version: u64| Snapshot {
        stream: stream("a-1"),
        version: version.into(),
        entry,
        schema_version: 1,
        data: "{}".into(),
        taken_at: std::time::SystemTime::UNIX_EPOCH.into(),
    };
    store.record_snapshot(snapshot(1)).await?;
    store.record_snapshot(snapshot(2)).await?;
    store.read_snapshot(&stream("a-1")).await?;
    store.delete_snapshot(&stream("a-1")).await?;
    store.record_snapshot(snapshot(2)).await
}

async fn reads(store: &PostgresStore) -> Result<(), StoreError> {
    let name = stream("a-1");
    store.read_stream(ReadStream::forward(name.clone())).await?;
    store.load_stream(LoadStream::new(name.clone(), 1)).await?;
    store.read_all(ReadAll::forward()).await?;
    store.stream_head(&name).await?;
    store.stream_info(&name).await?;
    store.list_streams(StreamQuery::default()).await?;
    store.head().await?;
    store.position_at(time_after_now()).await?;
    Ok(())
}

/// Two streams, one of events and one of links, are erased.
async fn erases(store: &PostgresStore) -> Result<(), StoreError> {
    for name in ["a-1", "l-1"] {
        store
            .delete_stream(&stream(name), ExpectedVersion::Any, Deletion::Hard)
            .await?;
    }
    reads_after_erasing(store).await
}

async fn reads_after_erasing(store: &PostgresStore) -> Result<(), StoreError> {
    store.position_at(time_after_now()).await?;
    store.append(one("a-2", 1)).await.map(drop)
}

/// Opens the store and does everything, a lost call included, whose fence raises the generation.
async fn everything(granted: &Granted, erasing: bool) -> Result<(), StoreError> {
    let store = granted.options().connect().await?;
    let done = async {
        works(&store).await?;
        if erasing {
            erases(&store).await?;
        }
        fence(granted).await
    };
    let result = done.await;
    store.close().await;
    result
}

async fn fence(granted: &Granted) -> Result<(), StoreError> {
    let session = granted.session().await;
    let fenced = session.execute("SELECT ordain.fence_1(1000)").await;
    fenced.map_err(|error| match error.sql_state() {
        Some("42501") => StoreError::unavailable("denied"),
        _ => StoreError::unavailable(error.to_string()),
    })
}

#[tokio::test]
async fn the_documented_grants_are_those_tested() {
    let without_comments: String = documented()
        .lines()
        .filter(|line| !line.starts_with("--"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(without_comments, format!("{GRANTS}{GRANTS_OF_ERASING}"));
}

#[tokio::test]
async fn a_role_with_the_documented_grants_does_everything() {
    let granted = Granted::new(&format!("{GRANTS}{GRANTS_OF_ERASING}")).await;
    everything(&granted, true).await.unwrap();
    granted.drop_role().await;
}

#[tokio::test]
async fn a_role_without_the_grants_of_erasing_does_everything_else() {
    let granted = Granted::new(GRANTS).await;
    everything(&granted, false).await.unwrap();
    let store = granted.options().connect().await.unwrap();
    let erased = erases(&store).await;
    assert!(
        matches!(erased, Err(StoreError::Incompatible { .. })),
        "{erased:?}"
    );
    reads(&store).await.unwrap();
    store.close().await;
    granted.drop_role().await;
}

/// Each of them is taken away, and something fails for want of it.
#[tokio::test]
async fn none_of_the_documented_grants_is_dispensable() {
    let all = single(&format!("{GRANTS}{GRANTS_OF_ERASING}"));
    let granted = Granted::new(&all.join(";")).await;
    everything(&granted, true).await.unwrap();
    granted.drop_role().await;
    let without = |left_out: &String| {
        let rest = all.iter().filter(|it| *it != left_out);
        let (rest, left_out) = (rest.cloned().collect::<Vec<_>>(), left_out.clone());
        async move {
            let granted = Granted::new(&rest.join(";")).await;
            let result = everything(&granted, true).await;
            granted.drop_role().await;
            (left_out, result)
        }
    };
    let results: Vec<_> = futures::stream::iter(all.iter().map(without))
        .buffer_unordered(4)
        .collect()
        .await;
    for (left_out, result) in results {
        let said = result.expect_err(&left_out).to_string();
        assert!(said.contains("denied"), "{left_out}: {said}");
    }
}

/// What the store itself tells the trigger that keeps entries, told by hand.
#[tokio::test]
async fn without_the_grants_of_erasing_no_entry_is_deleted_by_any_means() {
    let granted = Granted::new(GRANTS).await;
    let store = granted.options().connect().await.unwrap();
    works(&store).await.unwrap();
    let session = granted.session().await;
    for sql in [
        "SET ordain_erasure.permit = 'ordain'; DELETE FROM ordain.events",
        "INSERT INTO ordain.erasures SELECT key FROM ordain.streams",
        "SELECT ordain.erase_1(10)",
    ] {
        let refused = session.execute(sql).await.expect_err(sql);
        assert_eq!(refused.sql_state(), Some("42501"), "{sql}");
    }
    store.close().await;
    drop(session);
    granted.drop_role().await;
}

const FORBIDDEN: [&str; 20] = [
    "UPDATE ordain.events SET data = '{}'",
    "UPDATE ordain.events SET data = '{}' WHERE false",
    "DELETE FROM ordain.events",
    "DELETE FROM ordain.events WHERE false",
    "TRUNCATE ordain.events",
    "MERGE INTO ordain.events AS e USING (VALUES (1)) AS v ON true WHEN MATCHED THEN UPDATE SET data = '{}'",
    "INSERT INTO ordain.events SELECT * FROM ordain.events ON CONFLICT ON CONSTRAINT events_position DO UPDATE SET data = '{}'",
    "UPDATE ordain.streams SET name = 'z-1'",
    "UPDATE ordain.streams SET key = 77",
    "UPDATE ordain.streams SET holds_links = true",
    "DELETE FROM ordain.streams",
    "TRUNCATE ordain.streams CASCADE",
    "UPDATE ordain.erased SET recorded_at = now()",
    "DELETE FROM ordain.erased",
    "TRUNCATE ordain.erased",
    "UPDATE ordain.log_head SET identity = gen_random_uuid()",
    "UPDATE ordain.log_head SET floor = -1",
    "UPDATE ordain.log_head SET generation = 0",
    "DELETE FROM ordain.log_head",
    "TRUNCATE ordain.log_head",
];

async fn refuses_all(session: &Connection, codes: &[&str]) {
    let version = session.value("SHOW server_version_num").await;
    let merges = version.unwrap().unwrap().parse::<i64>().unwrap() >= 150_000;
    for sql in FORBIDDEN {
        if sql.starts_with("MERGE") && !merges {
            continue;
        }
        let error = session.execute(sql).await.expect_err(sql);
        let code = error.sql_state().unwrap_or_default().to_owned();
        assert!(codes.contains(&code.as_str()), "{sql}: {code}: {error}");
    }
}

/// A store with events, links, a soft-deleted stream and an erased one.
async fn filled(store: &PostgresStore) {
    works(store).await.unwrap();
    erases(store).await.unwrap();
    store.append(one("k-1", 1)).await.unwrap();
}

const ALL: &str = "SELECT count(*) FROM ordain.events";

#[tokio::test]
async fn the_owner_changes_no_entry_by_hand() {
    let database = Database::create().await;
    let store = options(&database)
        .hard_deletes(true)
        .connect()
        .await
        .unwrap();
    filled(&store).await;
    let before = number(&database, ALL).await;
    let session = database.connect().await.unwrap();
    refuses_all(&session, &["OR003"]).await;
    assert_eq!(number(&database, ALL).await, before);
    // An erased stream stays so.
    let reopened = session
        .execute("UPDATE ordain.streams SET deleted = 0 WHERE deleted = 2")
        .await;
    assert_eq!(reopened.unwrap_err().sql_state(), Some("OR003"));
}

#[tokio::test]
async fn a_role_with_the_documented_grants_changes_no_entry_by_hand() {
    let granted = Granted::new(&format!("{GRANTS}{GRANTS_OF_ERASING}")).await;
    let store = granted.options().connect().await.unwrap();
    filled(&store).await;
    let session = granted.session().await;
    refuses_all(&session, &["OR003", "42501"]).await;
    let off = "ALTER TABLE ordain.events DISABLE TRIGGER ALL";
    assert_eq!(
        session.execute(off).await.unwrap_err().sql_state(),
        Some("42501")
    );
    let off = "SET session_replication_role = replica";
    assert_eq!(
        session.execute(off).await.unwrap_err().sql_state(),
        Some("42501")
    );
    store.close().await;
    drop(session);
    granted.drop_role().await;
}

/// The erasure and what follows have one connection to the server.
#[tokio::test]
async fn the_permission_to_erase_ends_with_its_transaction_behind_a_pooler() {
    let database = Database::create().await;
    let settings = [("default_pool_size", "1"), ("server_reset_query", "")];
    let bouncer = PgBouncer::start(&database, PoolMode::Transaction, &settings).await;
    let bouncer = bouncer.unwrap_or_else(|error| panic!("{error}"));
    let url = bouncer.url(&database.name());
    let store = PostgresStore::options()
        .url(&url)
        .pooled(true)
        .hard_deletes(true)
        .migrate_on_connect(true)
        .connect()
        .await
        .unwrap();
    let session = Connection::open(&url).await.unwrap();
    for round in 0..3 {
        store.append(one(&format!("a-{round}"), 1)).await.unwrap();
        store
            .delete_stream(
                &stream(&format!("a-{round}")),
                ExpectedVersion::Any,
                Deletion::Hard,
            )
            .await
            .unwrap();
        let refused = session.execute("DELETE FROM ordain.events").await;
        assert_eq!(refused.unwrap_err().sql_state(), Some("OR003"));
    }
    refuses_all(&session, &["OR003"]).await;
}

/// In the very transaction that erases, and on its connection after it.
#[tokio::test]
async fn the_permission_to_erase_does_not_outlive_the_function() {
    let database = Database::create().await;
    let store = options(&database)
        .hard_deletes(true)
        .connect()
        .await
        .unwrap();
    for n in 0..3 {
        store.append(one("a-1", n)).await.unwrap();
    }
    store.append(one("b-1", 1)).await.unwrap();
    // An erasure that is still to be finished.
    let session = database.connect().await.unwrap();
    session
        .execute("INSERT INTO ordain.erasures SELECT key FROM ordain.streams WHERE name = 'a-1'")
        .await
        .unwrap();
    session
        .execute("BEGIN; SELECT ordain.erase_1(1)")
        .await
        .unwrap();
    let refused = session.execute("DELETE FROM ordain.events").await;
    assert_eq!(refused.unwrap_err().sql_state(), Some("OR003"));
    session.execute("ROLLBACK").await.unwrap();
    session.execute("SELECT ordain.erase_1(1)").await.unwrap();
    let refused = session.execute("DELETE FROM ordain.events").await;
    assert_eq!(refused.unwrap_err().sql_state(), Some("OR003"));
    until("three entries are left", || async {
        number(&database, ALL).await == 3
    })
    .await;
}
