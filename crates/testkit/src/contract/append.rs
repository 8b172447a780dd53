//! Appends to one stream.

use std::sync::Arc;
use std::time::Instant;

use ordain::store::{Append, Refusal};
use ordain::{Codec, EventStore, StoreError};
use serde_json::json;

use super::StoreFixture;
use super::support::*;

/// The store is an `EventStore`, held as `dyn`, and keeps JSON.
pub async fn c001_is_a_store<F: StoreFixture>(fixture: &F) {
    let store: Box<dyn EventStore> = Box::new(fixture.open().await);
    assert!(matches!(store.codec(), Codec::Json));
    assert_eq!(store.head().await.expect("head"), 0);
}

/// 1 event at 0, 2 at 1, 3 at 3.
pub async fn c002_appends_at_the_expected_version<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    for (at, count) in [(0, 1), (1, 2), (3, 3)] {
        let events = deposits(at..at + count);
        let appended = append(&store, &stream, exactly(at), events).await;
        assert_eq!(appended.expect("appended").versions, [at + count]);
    }
    assert_eq!(versions(&read(&store, &stream).await), [1, 2, 3, 4, 5, 6]);
}

/// 3, 2 and 1 events, whatever the version.
pub async fn c003_appends_at_any_version<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    for count in [3, 2, 1] {
        let appended = append(&store, &stream, ANY, deposits(0..count)).await;
        appended.expect("any version fits");
    }
    assert_eq!(amounts(&read(&store, &stream).await), [0, 1, 2, 0, 1, 0]);
}

/// A stream begins where none is expected.
pub async fn c004_a_new_stream_where_none_is_expected<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let appended = append(&store, &stream, NO_STREAM, deposits(1..3)).await;
    assert_eq!(appended.expect("appended").versions, [2]);
}

/// "No stream" is not met by a stream.
pub async fn c005_no_stream_is_refused_where_one_exists<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    append(&store, &stream, NO_STREAM, deposits(1..3))
        .await
        .expect("appended");
    let error = append(&store, &stream, NO_STREAM, deposits([3])).await;
    let error = error.expect_err("the stream exists");
    assert!(error.is_stream_exists(), "{error:?}");
    assert_eq!(read(&store, &stream).await.len(), 2);
}

/// "Stream exists" is met by a stream.
pub async fn c006_stream_exists_is_accepted_where_one_exists<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, [1]).await;
    let appended = append(&store, &stream, STREAM_EXISTS, deposits([2])).await;
    assert_eq!(appended.expect("appended").versions, [2]);
}

/// "Stream exists" is not met by nothing.
pub async fn c007_stream_exists_is_refused_where_none_exists<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let error = append(&store, &stream, STREAM_EXISTS, deposits([1])).await;
    let error = error.expect_err("there is no stream");
    assert!(
        error.is_stream_not_found() && error.is_conflict(),
        "{error:?}"
    );
    assert_eq!(version(&store, &stream).await, 0);
}

/// A version is not met by nothing.
pub async fn c008_a_version_is_refused_where_no_stream_exists<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let result = append(&store, &stream, exactly(1), deposits([1])).await;
    assert_conflict(result, exactly(1), 0);
    assert!(log(&store).await.is_empty());
}

/// Of the versions of a stream of 3 events only 3 is accepted.
pub async fn c009_a_wrong_version_is_refused_and_nothing_is_stored<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..4).await;
    for wrong in [0, 1, 2, 4] {
        let result = append(&store, &stream, exactly(wrong), deposits([9])).await;
        assert_conflict(result, exactly(wrong), 3);
        assert_eq!(amounts(&read(&store, &stream).await), [1, 2, 3]);
        assert_eq!(store.head().await.expect("head"), 3);
    }
    let appended = append(&store, &stream, exactly(3), deposits([4])).await;
    assert_eq!(appended.expect("appended").first_position, 4);
}

/// Four tasks append to a new stream, then to the same again; all succeed.
pub async fn c052_appends_of_four_tasks_at_any_version_all_succeed<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    for round in 1..=2 {
        let results = at_once(4, |task| {
            let store = Arc::clone(&store);
            async move {
                let amounts = (task as u64 * 5)..(task as u64 * 5 + 5);
                append(&*store, &account("a"), ANY, deposits(amounts)).await
            }
        });
        for result in results.await {
            result.expect("any version fits");
        }
        let events = read(&*store, &account("a")).await;
        assert_eq!(versions(&events), (1..=round * 20).collect::<Vec<_>>());
        let mut amounts = amounts(&events);
        amounts.sort_unstable();
        amounts.dedup();
        assert_eq!(amounts, (0..20).collect::<Vec<_>>());
    }
}

/// Four tasks append at the same version, of a new stream and of an existing one.
pub async fn c053_four_appends_at_one_version_have_one_winner<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    for at in 0..10 {
        let results = at_once(4, |task| {
            let store = Arc::clone(&store);
            async move { append(&*store, &account("a"), exactly(at), deposits([task as u64])).await }
        });
        let results = results.await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 3));
        for result in lost {
            assert_conflict(result, exactly(at), at + 1);
        }
    }
    assert_eq!(version(&*store, &account("a")).await, 10);
    assert_eq!(positions(&log(&*store).await), (1..=10).collect::<Vec<_>>());
}

/// Many events in one append, without holes in versions and positions.
pub async fn c054_one_append_of_8001_events<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let appended = append(&store, &stream, NO_STREAM, deposits(0..8_001)).await;
    let appended = appended.expect("appended");
    assert_eq!(
        (appended.first_position.get(), appended.last_position.get()),
        (1, 8_001)
    );
    let events = read(&store, &stream).await;
    assert_eq!(versions(&events), (1..=8_001).collect::<Vec<_>>());
    assert_eq!(positions(&events), (1..=8_001).collect::<Vec<_>>());
    assert_eq!(amounts(&events), (0..8_001).collect::<Vec<_>>());
}

/// In the same stream, in another, and twice in one append.
pub async fn c055_a_used_event_id_is_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let first = deposited(1);
    let used = first.event_id;
    append(&store, &account("a"), ANY, vec![first.clone()])
        .await
        .expect("appended");
    for stream in [account("a"), account("b")] {
        let result = append(&store, &stream, ANY, vec![deposited(2), first.clone()]).await;
        assert_fails!(result, StoreError::DuplicateEvent { event_id } if event_id == used);
    }
    let twice = deposited(3);
    let result = append(&store, &account("b"), ANY, vec![twice.clone(), twice]).await;
    assert_fails!(result, StoreError::DuplicateEvent { .. });
    assert_eq!(amounts(&log(&store).await), [1]);
    assert_eq!(version(&store, &account("b")).await, 0);
}

/// Tasks that append an event of one id to different streams: one wins.
pub async fn c055_of_concurrent_appends_with_one_event_id_one_wins<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    for round in 0..5 {
        let event = deposited(round);
        let results = at_once(4, |task| {
            let (store, event) = (Arc::clone(&store), event.clone());
            async move { append(&*store, &account(&task.to_string()), ANY, vec![event]).await }
        });
        let results = results.await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 3));
        for result in lost {
            assert_fails!(result, StoreError::DuplicateEvent { .. });
        }
    }
    assert_eq!(amounts(&log(&*store).await), [0, 1, 2, 3, 4]);
}

/// The id that the writer gave is the id that is read.
pub async fn c056_a_given_event_id_is_kept<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let given = given(&store, &stream, 1..4).await;
    assert_eq!(event_ids(&read(&store, &stream).await), given);
    assert_eq!(event_ids(&log(&store).await), given);
}

/// Expecting version 0 is expecting no stream.
pub async fn an_expected_version_of_zero_means_no_stream<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    append(&store, &stream, exactly(0), deposits([1]))
        .await
        .expect("there is no stream");
    let error = append(&store, &stream, exactly(0), deposits([2])).await;
    assert!(error.expect_err("the stream exists").is_stream_exists());
}

/// What an append answers is where its events are read.
pub async fn an_append_says_where_its_events_stand<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    given(&store, &account("a"), 0..3).await;
    given(&store, &account("b"), 0..2).await;
    let appended = append(&store, &account("a"), exactly(3), deposits(3..6)).await;
    let appended = appended.expect("appended");
    let events = read(&store, &account("a")).await;
    assert_eq!(appended.versions, [events[5].version]);
    assert_eq!(appended.first_position, events[3].position);
    assert_eq!(appended.last_position, events[5].position);
    assert_eq!(positions(&events), [1, 2, 3, 6, 7, 8]);
    for event in &events[3..] {
        assert_eq!(event.recorded_at, appended.recorded_at);
    }
    let head = store.stream_head(&account("a")).await.expect("head");
    assert_eq!((head.version, head.position), (6.into(), 8.into()));
    assert_eq!(
        (head.entry, head.deleted),
        (Some(events[5].event_id), false)
    );
}

/// Tasks append to streams of their own.
pub async fn appenders_of_many_streams_do_not_disturb_each_other<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    let results = at_once(8, |task| {
        let store = Arc::clone(&store);
        async move {
            for at in 0..10 {
                let stream = account(&task.to_string());
                append(&*store, &stream, exactly(at), deposits([at])).await?;
            }
            Ok::<_, StoreError>(())
        }
    });
    for result in results.await {
        result.expect("nobody else writes to the stream");
    }
    for task in 0..8 {
        let events = read(&*store, &account(&task.to_string())).await;
        assert_eq!(amounts(&events), (0..10).collect::<Vec<_>>());
        assert!(positions(&events).is_sorted());
    }
    assert_eq!(positions(&log(&*store).await), (1..=80).collect::<Vec<_>>());
}

/// The 10,000th event has a used id: none of the others is stored.
pub async fn an_append_of_10_000_events_is_all_or_nothing<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let used = given(&store, &stream, [0]).await[0];
    let mut events = deposits(1..=10_000);
    events[9_999].event_id = used;
    let result = append(&store, &stream, exactly(1), events.clone()).await;
    assert_fails!(result, StoreError::DuplicateEvent { event_id } if event_id == used);
    assert_eq!(amounts(&log(&store).await), [0]);
    assert_eq!(version(&store, &stream).await, 1);

    events[9_999].event_id = ordain::EventId::new();
    let appended = append(&store, &stream, exactly(1), events).await;
    let appended = appended.expect("the ids that were refused with it are free");
    assert_eq!(
        (appended.first_position.get(), appended.last_position.get()),
        (2, 10_001)
    );
}

/// A payload of 1 MiB is kept; one byte over the limit is refused.
pub async fn a_large_payload_is_kept_and_a_too_large_one_refused<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let text = "ä".repeat(1 << 19);
    let large = event("NoteTaken", &json!({ "text": text }));
    append(&store, &stream, ANY, vec![large])
        .await
        .expect("appended");
    let read = read(&store, &stream).await;
    assert!(json_of(&read[0].data)["text"].as_str() == Some(&text));

    let max = ordain::store::Limits::default().payload_bytes_max;
    let quoted = format!("\"{}\"", "x".repeat(max - 1));
    let too_large = ordain::NewEvent::new("NoteTaken", quoted.into_bytes());
    let result = append(&store, &stream, ANY, vec![too_large]).await;
    assert_fails!(
        result,
        StoreError::Refused(Refusal::TooLarge { part: "payload", len, .. }) if len == max + 1
    );
    assert_eq!(version(&store, &stream).await, 1);
}

/// After its deadline an append is not begun.
pub async fn an_append_after_its_deadline_is_not_begun<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let late = Append::new(stream.clone(), ANY, deposits([1])).with_deadline(Some(Instant::now()));
    assert_fails!(store.append(late).await, StoreError::DeadlinePassed);
    assert_eq!(version(&store, &stream).await, 0);
    given(&store, &stream, [2]).await;
    assert_eq!(positions(&log(&store).await), [1]);
}
