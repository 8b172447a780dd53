//! Snapshots.

use ordain::store::{Deletion, LoadStream};
use ordain::{EventId, EventStore, ExpectedVersion, Snapshot, StoreError, StreamId};
use time::{Duration, OffsetDateTime};

use super::StoreFixture;
use super::delete::delete;
use super::support::*;

/// A snapshot is kept.
pub async fn c017_a_snapshot_is_recorded<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..4).await;
    let recorded = store
        .record_snapshot(snapshot(&stream, 3, 1, "\"three\""))
        .await;
    recorded.expect("recorded");
}

/// Of several, each is read by its stream, with all that was recorded.
pub async fn c018_snapshots_are_read_by_their_stream<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let mut recorded = Vec::new();
    for (version, id) in ["a", "b", "c"].into_iter().enumerate() {
        given(&store, &account(id), 0..3).await;
        let snapshot = snapshot(&account(id), version as u64 + 1, 7, "{\"balance\":1}");
        store
            .record_snapshot(snapshot.clone())
            .await
            .expect("recorded");
        recorded.push(snapshot);
    }
    for snapshot in recorded {
        let read = store.read_snapshot(&snapshot.stream).await.expect("read");
        assert_eq!(json_of(&read.data), json_of(&snapshot.data));
        assert_eq!(
            (read.version, read.entry),
            (snapshot.version, snapshot.entry)
        );
        assert_eq!(read.schema_version, snapshot.schema_version);
        assert_eq!(
            (read.stream, read.taken_at),
            (snapshot.stream, snapshot.taken_at)
        );
    }
}

/// Without a snapshot there is none.
pub async fn c019_a_missing_snapshot_is_not_found<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    assert_fails!(
        store.read_snapshot(&stream).await,
        StoreError::SnapshotNotFound { .. }
    );
    given(&store, &stream, [1]).await;
    assert_fails!(
        store.read_snapshot(&stream).await,
        StoreError::SnapshotNotFound { .. }
    );
    assert_fails!(
        store.delete_snapshot(&stream).await,
        StoreError::SnapshotNotFound { .. }
    );
}

/// A deleted snapshot is gone.
pub async fn c020_a_snapshot_is_deleted<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, [1]).await;
    store
        .record_snapshot(snapshot(&stream, 1, 1, "1"))
        .await
        .expect("recorded");
    store.delete_snapshot(&stream).await.expect("deleted");
    assert_fails!(
        store.read_snapshot(&stream).await,
        StoreError::SnapshotNotFound { .. }
    );
    assert_eq!(amounts(&read(&store, &stream).await), [1]);
}

/// A late snapshot of an older version does not replace a newer one.
pub async fn an_older_snapshot_does_not_replace_a_newer_one<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..10).await;
    for (version, expected) in [(5, 5), (3, 5), (5, 5), (6, 6)] {
        let data = format!("\"at {version}\"");
        let recorded = store
            .record_snapshot(snapshot(&stream, version, 1, &data))
            .await;
        recorded.expect("an older one is passed over");
        let read = store.read_snapshot(&stream).await.expect("read");
        assert_eq!(read.version, expected);
        assert_eq!(json_of(&read.data), format!("at {expected}"));
    }
}

/// A snapshot of another shape replaces the one there is, whatever the versions.
pub async fn a_snapshot_of_another_schema_version_replaces<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..10).await;
    for (version, schema_version) in [(5, 1), (5, 2), (4, 3), (7, 2)] {
        let data = format!("{schema_version}");
        let snapshot = snapshot(&stream, version, schema_version, &data);
        store.record_snapshot(snapshot).await.expect("recorded");
        let read = store.read_snapshot(&stream).await.expect("read");
        assert_eq!(
            (read.version, read.schema_version),
            (version.into(), schema_version)
        );
        assert_eq!(json_of(&read.data), schema_version);
    }
}

/// A snapshot of a stream that has no entries, which nothing can follow from, is dropped.
pub async fn a_snapshot_without_a_stream_is_dropped<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    store
        .record_snapshot(snapshot(&stream, 1, 1, "1"))
        .await
        .expect("dropped without a word");
    assert_fails!(
        store.read_snapshot(&stream).await,
        StoreError::SnapshotNotFound { .. }
    );
}

/// A load begins at the snapshot, which has to be of the shape asked for and not beyond the bound.
pub async fn a_stream_is_loaded_from_its_snapshot_on<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let load = |schema| LoadStream::new(stream.clone(), schema);
    assert_fails!(
        store.load_stream(load(7)).await,
        StoreError::StreamNotFound { .. }
    );
    given(&store, &stream, 1..6).await;
    let whole = store.load_stream(load(7)).await.expect("loaded");
    assert!(whole.snapshot.is_none());
    assert_eq!(amounts(&whole.page.events), [1, 2, 3, 4, 5]);
    store
        .record_snapshot(snapshot(&stream, 3, 7, "\"three\""))
        .await
        .expect("recorded");
    let loaded = store.load_stream(load(7)).await.expect("loaded");
    let taken = loaded.snapshot.expect("a snapshot");
    assert_eq!(
        (taken.version, json_of(&taken.data)),
        (3.into(), "three".into())
    );
    assert_eq!(amounts(&loaded.page.events), [3, 4, 5]);
    assert_eq!(
        (loaded.page.head.version, loaded.page.next),
        (5.into(), None)
    );
    for other in [load(8), load(7).until(2)] {
        let loaded = store.load_stream(other).await.expect("loaded");
        assert!(loaded.snapshot.is_none());
        assert_eq!(amounts(&loaded.page.events), [1, 2, 3, 4, 5]);
    }
    let short = store.load_stream(load(7).limit(2)).await.expect("loaded");
    assert_eq!(amounts(&short.page.events), [3, 4]);
    assert_eq!(short.page.next, Some(5.into()));
    delete(&store, &stream, ExpectedVersion::Any, Deletion::Soft)
        .await
        .expect("deleted");
    assert_fails!(
        store.load_stream(load(7)).await,
        StoreError::StreamDeleted { .. }
    );
}

pub(super) fn snapshot(
    stream: &StreamId,
    version: u64,
    schema_version: u32,
    data: &str,
) -> Snapshot {
    Snapshot {
        stream: stream.clone(),
        version: version.into(),
        entry: EventId::new(),
        schema_version,
        data: data.to_owned().into(),
        taken_at: OffsetDateTime::UNIX_EPOCH + Duration::microseconds(1_700_000_000_000_001),
    }
}
