//! Stores in schemas of one database, and in databases of one server, never wait for each other.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use std::time::Duration;

use ordain::store::{CommandKey, Deletion, LoadStream, NewLinks, NewOutcome, ReadAll, StreamQuery};
use ordain::{CommandId, EventId, EventStore, ExpectedVersion, Snapshot, StoreError};
use ordain_postgres::PostgresStore;
use ordain_testkit::postgres::Database;
use wire::{OrderLock, event, one, options, stream, until_waiting, within};

const SOON: Duration = Duration::from_secs(20);

/// Does what takes the order lock, and what takes locks on rows; names and ids are those of every store.
async fn use_all(store: &PostgresStore, event_id: EventId, command: &CommandKey) {
    let mut first = one("a-1", 1);
    first.writes[0].events[0].event_id = event_id;
    store.append(first).await.unwrap();
    let links = NewLinks {
        stream: stream("list-1"),
        expected: ExpectedVersion::NoStream,
        targets: vec![event_id],
    };
    store.link(links).await.unwrap();
    let outcome = NewOutcome {
        command: command.clone(),
        version: 1.into(),
        entry: Some(event_id),
        data: "no".into(),
    };
    store.record_outcome(outcome).await.unwrap();
    let snapshot = Snapshot {
        stream: stream("a-1"),
        version: 1.into(),
        entry: event_id,
        schema_version: 1,
        data: "{}".into(),
        taken_at: std::time::SystemTime::UNIX_EPOCH.into(),
    };
    store.record_snapshot(snapshot).await.unwrap();
    let mut transaction = store.begin().await.unwrap();
    transaction.append(one("b-1", 2)).unwrap();
    transaction.append_now(one("b-1", 3)).await.unwrap();
    transaction.commit().await.unwrap();
    let name = stream("c-1");
    store.append(one("c-1", 4)).await.unwrap();
    store
        .delete_stream(&name, ExpectedVersion::Any, Deletion::Soft)
        .await
        .unwrap();
    store.undelete_stream(&name).await.unwrap();
    store
        .delete_stream(&name, ExpectedVersion::Any, Deletion::Hard)
        .await
        .unwrap();
}

/// Under the lock of the one, nothing of the other waits, and nothing is seen of it.
async fn never_meet(stores: [PostgresStore; 2], lock: OrderLock, database: &Database) {
    let [locked, free] = &stores;
    let event_id = EventId::new();
    let command = CommandKey::new(CommandId::new(), stream("a-1"));
    let waiting = tokio::spawn({
        let (store, command) = (locked.clone(), command.clone());
        async move { use_all(&store, event_id, &command).await }
    });
    until_waiting(database, 1).await;
    within(
        "what another store is asked",
        SOON,
        use_all(free, event_id, &command),
    )
    .await;

    assert!(!waiting.is_finished());
    assert_eq!(locked.head().await.unwrap(), 0);
    assert_eq!(locked.find_repeat(&command).await.unwrap(), None);
    let streams = locked.list_streams(StreamQuery::all()).await.unwrap();
    assert_eq!(streams.total, 0);
    assert!(matches!(
        locked.read_snapshot(&stream("a-1")).await,
        Err(StoreError::SnapshotNotFound { .. })
    ));

    lock.release().await;
    within("what waited", SOON, waiting).await.unwrap();
    for store in &stores {
        assert_eq!(store.head().await.unwrap(), 7);
        let page = store.read_all(ReadAll::forward()).await.unwrap();
        assert_eq!(page.events.len(), 3);
        let loaded = store.load_stream(LoadStream::new(stream("a-1"), 1)).await;
        assert!(loaded.unwrap().snapshot.is_some());
        assert!(store.find_repeat(&command).await.unwrap().is_some());
        store.close().await;
    }
}

#[tokio::test]
async fn under_the_order_lock_of_one_schema_another_goes_on() {
    let database = Database::create().await;
    let open = |schema: &'static str| {
        options(&database)
            .schema(schema)
            .hard_deletes(true)
            .connect()
    };
    let stores = [open("One").await.unwrap(), open("Two").await.unwrap()];
    let lock = OrderLock::take_in(&database, "One").await;
    never_meet(stores, lock, &database).await;
}

#[tokio::test]
async fn under_the_order_lock_of_one_database_another_goes_on() {
    let databases = [Database::create().await, Database::create().await];
    let open = |database| options(database).hard_deletes(true).connect();
    let stores = [
        open(&databases[0]).await.unwrap(),
        open(&databases[1]).await.unwrap(),
    ];
    let lock = OrderLock::take(&databases[0]).await;
    never_meet(stores, lock, &databases[0]).await;
}

/// One connection may write to both, each under its own lock, and neither transaction holds up the other.
#[tokio::test]
async fn open_transactions_of_two_schemas_do_not_wait_for_each_other() {
    let database = Database::create().await;
    let open = |schema: &'static str| options(&database).schema(schema).connect();
    let stores = [open("one").await.unwrap(), open("two").await.unwrap()];
    let mut transactions = Vec::new();
    for store in &stores {
        let mut transaction = store.begin().await.unwrap();
        let append = transaction.append_now(one("a-1", 1));
        let appended = within("the append", SOON, append).await.unwrap();
        assert_eq!(appended.first_position, 1);
        transactions.push(transaction);
    }
    let mut last = transactions.pop().unwrap();
    last.append(ordain::store::Append::new(
        stream("a-1"),
        ExpectedVersion::exact(1),
        vec![event(2)],
    ))
    .unwrap();
    last.commit().await.unwrap();
    transactions.pop().unwrap().rollback().await.unwrap();
    assert_eq!(stores[0].head().await.unwrap(), 0);
    assert_eq!(stores[1].head().await.unwrap(), 2);
}
