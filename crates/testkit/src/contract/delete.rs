//! Soft and hard deletes.

use std::sync::Arc;

use bytes::Bytes;
use ordain::store::{
    Append, CommandKey, Deletion, NewOutcome, ReadAll, ReadStream, Repeat, StreamQuery,
};
use ordain::{CommandId, EventStore, ExpectedVersion, StoreError, StreamId};

use super::StoreFixture;
use super::snapshots::snapshot;
use super::support::*;

const BOTH: [Deletion; 2] = [Deletion::Soft, Deletion::Hard];

/// At any, at the existing and at the matching version a stream is deleted.
pub async fn c065_c066_a_stream_is_deleted_at_a_fitting_version<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for deletion in BOTH {
        for (index, expected) in [ANY, STREAM_EXISTS, exactly(2)].into_iter().enumerate() {
            let stream = account(&format!("{deletion:?}-{index}"));
            given(&store, &stream, [1, 2]).await;
            let before = store.head().await.expect("head");
            let head = delete(&store, &stream, expected, deletion).await;
            let head = head.expect("deleted");
            assert_eq!((head.version, head.deleted), (3.into(), true));
            assert_eq!(head.position, before.next());
            assert_eq!(store.head().await.expect("head"), head.position);
            assert_eq!(store.stream_head(&stream).await.expect("head"), head);
        }
    }
}

/// Mismatching, missing and deleted streams are not deleted.
pub async fn c065_c066_a_delete_that_does_not_fit_is_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for deletion in BOTH {
        let stream = account(&format!("{deletion:?}"));
        for expected in [ANY, STREAM_EXISTS, NO_STREAM, exactly(0)] {
            let result = delete(&store, &stream, expected, deletion).await;
            assert_fails!(result, StoreError::StreamNotFound { .. });
        }
        given(&store, &stream, [1, 2]).await;
        for expected in [exactly(0), exactly(1), exactly(3), NO_STREAM] {
            let result = delete(&store, &stream, expected, deletion).await;
            assert_conflict(result, expected, 2);
        }
        delete(&store, &stream, ANY, deletion)
            .await
            .expect("deleted");
        let again = delete(&store, &stream, ANY, deletion).await;
        assert!(again.expect_err("it is deleted").is_deleted());
    }
    let erased = account("Hard");
    for deletion in BOTH {
        let result = delete(&store, &erased, ANY, deletion).await;
        assert_fails!(result, StoreError::StreamErased { .. });
    }
}

/// After a soft delete the stream is neither read nor written; it is all still in the log and in
/// streams of links.
pub async fn c065_a_soft_deleted_stream_is_closed_but_stays_in_the_log<F: StoreFixture>(
    fixture: &F,
) {
    let (store, stream) = (fixture.open().await, account("a"));
    let ids = given(&store, &stream, [1, 2]).await;
    let links = self::stream("report", "all");
    link(&store, &links, ANY, &ids).await.expect("linked");
    delete(&store, &stream, ANY, Deletion::Soft)
        .await
        .expect("deleted");
    for expected in [ANY, NO_STREAM, STREAM_EXISTS, exactly(2), exactly(3)] {
        let result = append(&store, &stream, expected, deposits([3])).await;
        assert_fails!(
            result,
            StoreError::StreamDeleted { version, .. } if version == 3
        );
    }
    for read in [
        ReadStream::forward(stream.clone()),
        ReadStream::backward(stream.clone()),
    ] {
        assert_fails!(
            store.read_stream(read).await,
            StoreError::StreamDeleted { .. }
        );
    }
    let result = link(&store, &stream, ANY, &ids).await;
    assert_fails!(result, StoreError::StreamDeleted { .. });
    assert_eq!(amounts(&log(&store).await), [1, 2]);
    assert_eq!(amounts(&read(&store, &links).await), [1, 2]);
    given(&store, &account("b"), [4]).await;
    assert_eq!(positions(&log(&store).await), [1, 2, 6]);
}

/// An undeleted stream has its events again and goes on after the tombstone.
pub async fn an_undeleted_stream_goes_on_after_its_tombstone<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, [1, 2]).await;
    let tombstone = delete(&store, &stream, ANY, Deletion::Soft)
        .await
        .expect("deleted");
    let head = store.undelete_stream(&stream).await.expect("undeleted");
    assert_eq!(
        (head.version, head.entry),
        (tombstone.version, tombstone.entry)
    );
    assert!(!head.deleted);
    assert_eq!(store.stream_head(&stream).await.expect("head"), head);
    assert_eq!(versions(&read(&store, &stream).await), [1, 2]);
    assert_conflict(
        append(&store, &stream, exactly(2), deposits([3])).await,
        exactly(2),
        3,
    );
    let next = write(&stream, exactly(3), deposits([3])).building_on(head.entry);
    store
        .append(Append::several(vec![next]))
        .await
        .expect("appended");
    for limit in [1, 2, 3, 100] {
        let forward = read_by(&store, ReadStream::forward(stream.clone()).limit(limit)).await;
        assert_eq!(versions(&forward), [1, 2, 4], "limit {limit}");
        let backward = read_by(&store, ReadStream::backward(stream.clone()).limit(limit)).await;
        assert_eq!(reversed(backward), forward);
    }
    assert_eq!(positions(&log(&store).await), [1, 2, 4]);
    delete(&store, &stream, exactly(4), Deletion::Soft)
        .await
        .expect("deleted again");
    store
        .undelete_stream(&stream)
        .await
        .expect("undeleted again");
    given(&store, &stream, [4]).await;
    assert_eq!(versions(&read(&store, &stream).await), [1, 2, 4, 6]);
}

/// Only a soft-deleted stream can be undeleted.
pub async fn only_a_soft_deleted_stream_is_undeleted<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let result = store.undelete_stream(&stream).await;
    assert_fails!(result, StoreError::StreamNotFound { .. });
    given(&store, &stream, [1]).await;
    let result = store.undelete_stream(&stream).await;
    assert_fails!(result, StoreError::StreamNotDeleted { .. });
    delete(&store, &stream, ANY, Deletion::Hard)
        .await
        .expect("erased");
    let result = store.undelete_stream(&stream).await;
    assert_fails!(result, StoreError::StreamErased { .. });
}

/// A store that was not opened for it erases nothing.
pub async fn c066_a_hard_delete_has_to_be_enabled<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open_without_hard_deletes().await, account("a"));
    given(&store, &stream, [1]).await;
    let result = delete(&store, &stream, ANY, Deletion::Hard).await;
    assert_fails!(result, StoreError::HardDeletesDisabled);
    assert_eq!(amounts(&read(&store, &stream).await), [1]);
    assert_eq!(store.head().await.expect("head"), 1);
    delete(&store, &stream, ANY, Deletion::Soft)
        .await
        .expect("soft deletes are always enabled");
    let result = delete(&store, &stream, ANY, Deletion::Hard).await;
    assert_fails!(result, StoreError::HardDeletesDisabled);
}

/// An erased stream is gone from everywhere, its name stays closed, and no number is used again.
pub async fn c066_an_erased_stream_is_gone_and_its_name_closed<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &account("b"), [10]).await;
    given(&store, &stream, [1, 2]).await;
    given(&store, &account("b"), [11]).await;
    let head = delete(&store, &stream, exactly(2), Deletion::Hard).await;
    assert_eq!(head.expect("erased").position, 5);
    for expected in [ANY, NO_STREAM, STREAM_EXISTS, exactly(0), exactly(3)] {
        let error = append(&store, &stream, expected, deposits([3])).await;
        let error = error.expect_err("the name is closed");
        assert!(
            matches!(error, StoreError::StreamErased { .. }),
            "{error:?}"
        );
        assert!(error.is_stream_not_found() && error.is_deleted());
    }
    let error = store.read_stream(ReadStream::forward(stream.clone())).await;
    assert_fails!(error, StoreError::StreamErased { .. });
    assert_eq!(positions(&log(&store).await), [1, 4]);
    assert_eq!(amounts(&read(&store, &account("b")).await), [10, 11]);
    let listed = store.list_streams(StreamQuery::all()).await.expect("list");
    assert_eq!(listed.total, 1);
    let info = store.stream_info(&stream).await.expect("a trace stays");
    assert_eq!(
        (info.version, info.deleted),
        (3.into(), Some(Deletion::Hard))
    );
    given(&store, &account("b"), [12]).await;
    assert_eq!(positions(&log(&store).await), [1, 4, 6]);
}

/// Erasing the newest events does not let their positions be issued again.
pub async fn c066_positions_of_erased_events_at_the_end_are_not_reused<F: StoreFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    given(&store, &account("a"), [1, 2, 3]).await;
    delete(&store, &account("a"), ANY, Deletion::Hard)
        .await
        .expect("erased");
    assert_eq!(store.head().await.expect("head"), 4);
    let page = store.read_all(ReadAll::forward()).await.expect("page");
    assert!(page.events.is_empty() && page.at_end);
    assert_eq!(page.examined, 4);
    given(&store, &account("b"), [1]).await;
    assert_eq!(positions(&log(&store).await), [5]);
}

/// What was soft-deleted can still be erased.
pub async fn a_soft_deleted_stream_is_erased<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, [1]).await;
    delete(&store, &stream, ANY, Deletion::Soft)
        .await
        .expect("deleted");
    let result = delete(&store, &stream, exactly(1), Deletion::Hard).await;
    assert_conflict(result, exactly(1), 2);
    let head = delete(&store, &stream, exactly(2), Deletion::Hard).await;
    assert_eq!(head.expect("erased").version, 3);
    assert!(log(&store).await.is_empty());
    let result = append(&store, &stream, ANY, deposits([2])).await;
    assert_fails!(result, StoreError::StreamErased { .. });
}

/// Snapshot and remembered answers of an erased stream are erased; those of others are not.
pub async fn erasing_takes_snapshots_and_outcomes_along<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let mut keys = Vec::new();
    for id in ["a", "b"] {
        let stream = account(id);
        let entry = given(&store, &stream, [1]).await[0];
        store
            .record_snapshot(snapshot(&stream, 1, 1, "1"))
            .await
            .expect("recorded");
        let command = CommandKey::new(CommandId::new(), stream);
        let outcome = NewOutcome {
            command: command.clone(),
            version: 1.into(),
            entry: Some(entry),
            data: Bytes::from_static(b"no"),
        };
        store.record_outcome(outcome).await.expect("recorded");
        keys.push(command);
    }
    delete(&store, &account("a"), ANY, Deletion::Hard)
        .await
        .expect("erased");
    let result = store.read_snapshot(&account("a")).await;
    assert_fails!(result, StoreError::SnapshotNotFound { .. });
    assert_eq!(store.find_repeat(&keys[0]).await.expect("find"), None);
    store
        .read_snapshot(&account("b"))
        .await
        .expect("others keep theirs");
    let found = store.find_repeat(&keys[1]).await.expect("find");
    assert_eq!(found, Some(Repeat::Outcome(Bytes::from_static(b"no"))));
}

/// Pages lead across holes, forward and backward, whatever their size.
pub async fn c063_pages_lead_across_erased_events<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..30 {
        let id = if round % 3 == 0 { "kept" } else { "erased" };
        given(&store, &account(id), [round]).await;
    }
    delete(&store, &account("erased"), ANY, Deletion::Hard)
        .await
        .expect("erased");
    given(&store, &account("kept"), [30]).await;
    let expected: Vec<_> = (0..=30).step_by(3).collect();
    for limit in [1, 2, 3, 7, 1_000] {
        let forward = log_by(&store, ReadAll::forward().limit(limit)).await;
        assert_eq!(amounts(&forward), expected, "limit {limit}");
        let backward = log_by(&store, ReadAll::backward().limit(limit)).await;
        assert_eq!(reversed(backward), forward);
        let kept = read_by(&store, ReadStream::forward(account("kept")).limit(limit)).await;
        assert_eq!(amounts(&kept), expected);
    }
}

/// An append that races a delete comes wholly before it or is refused, and nothing follows the
/// tombstone.
pub async fn d8_an_append_racing_a_delete_comes_before_it_or_is_refused<F: StoreFixture>(
    fixture: &F,
) {
    let store = Arc::new(fixture.open().await);
    for round in 0..20 {
        let stream = account(&round.to_string());
        given(&*store, &stream, [1]).await;
        let deletion = BOTH[round % 2];
        let expected = if round % 4 < 2 { ANY } else { exactly(1) };
        let results = at_once(2, |task| {
            let (store, stream) = (Arc::clone(&store), stream.clone());
            async move {
                if task == 0 {
                    let deleted = delete(&*store, &stream, expected, deletion).await;
                    return deleted.map(|head| head.version.get());
                }
                let appended = append(&*store, &stream, expected, deposits([2])).await;
                appended.map(|appended| appended.versions[0].get())
            }
        });
        let mut results = results.await;
        let (appended, deleted) = (results.pop(), results.pop());
        match (appended.expect("a result"), deleted.expect("a result")) {
            (Ok(2), Ok(3)) => assert_eq!(expected, ANY),
            (Ok(2), Err(error)) => assert!(error.is_conflict() && expected != ANY),
            (Err(error), Ok(2)) => assert!(error.is_deleted()),
            other => panic!("neither came first: {other:?}"),
        }
    }
}

/// Of deletes at the same moment one wins.
pub async fn d8_of_concurrent_deletes_one_wins<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    for round in 0..5 {
        let stream = account(&round.to_string());
        given(&*store, &stream, [1]).await;
        let results = at_once(4, |_| {
            let (store, stream) = (Arc::clone(&store), stream.clone());
            async move { delete(&*store, &stream, ANY, Deletion::Soft).await }
        });
        let results = results.await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 1);
        for result in results.into_iter().filter(Result::is_err) {
            assert_fails!(result, StoreError::StreamDeleted { .. });
        }
        assert_eq!(version(&*store, &stream).await, 2);
    }
}

pub(super) async fn delete(
    store: &impl EventStore,
    stream: &StreamId,
    expected: ExpectedVersion,
    deletion: Deletion,
) -> Result<ordain::store::StreamHead, StoreError> {
    store.delete_stream(stream, expected, deletion).await
}
