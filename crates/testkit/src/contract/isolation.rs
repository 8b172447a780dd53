//! Stores apart from each other.

use ordain::store::{CommandKey, NewOutcome, StreamQuery};
use ordain::{CommandId, EventId, EventStore, Snapshot, StoreError};
use time::OffsetDateTime;

use super::StoreFixture;
use super::support::*;

/// A stream of one store is not found in another.
pub async fn c016_two_stores_do_not_see_each_others_streams<F: StoreFixture>(fixture: &F) {
    let (one, other) = (fixture.open().await, fixture.open().await);
    given(&one, &account("a"), [1]).await;
    let error = other
        .read_stream(ordain::store::ReadStream::forward(account("a")))
        .await;
    assert_fails!(error, StoreError::StreamNotFound { .. });
    append(&other, &account("a"), NO_STREAM, deposits([2]))
        .await
        .expect("the name is free there");
    assert_eq!(amounts(&read(&one, &account("a")).await), [1]);
    assert_eq!(amounts(&log(&other).await), [2]);
}

/// Nor its positions, event ids, remembered answers, snapshots.
pub async fn c069_two_stores_share_nothing<F: StoreFixture>(fixture: &F) {
    let (one, other) = (fixture.open().await, fixture.open().await);
    let event = deposited(1);
    let command = CommandKey::new(CommandId::new(), account("b"));
    append(&one, &account("a"), ANY, vec![event.clone()])
        .await
        .expect("appended");
    let outcome = NewOutcome {
        command: command.clone(),
        version: 0.into(),
        entry: None,
        data: "no".into(),
    };
    one.record_outcome(outcome).await.expect("recorded");
    let snapshot = Snapshot {
        stream: account("a"),
        version: 1.into(),
        entry: EventId::new(),
        schema_version: 1,
        data: "{}".into(),
        taken_at: OffsetDateTime::UNIX_EPOCH,
    };
    one.record_snapshot(snapshot).await.expect("recorded");

    assert_eq!(other.head().await.expect("head"), 0);
    assert_eq!(other.find_repeat(&command).await.expect("find"), None);
    assert_fails!(
        other.read_snapshot(&account("a")).await,
        StoreError::SnapshotNotFound { .. }
    );
    let streams = other.list_streams(StreamQuery::all()).await.expect("list");
    assert_eq!(streams.total, 0);
    append(&other, &account("a"), NO_STREAM, vec![event])
        .await
        .expect("the id is free there");
    one.close().await;
    assert_eq!(amounts(&log(&other).await), [1]);
}
