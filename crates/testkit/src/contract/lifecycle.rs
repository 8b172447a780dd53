//! Closing, opening again, and several stores on the same data.

use std::sync::Arc;

use bytes::Bytes;
use ordain::store::{CommandKey, Deletion, NewLinks, NewOutcome, ReadAll, ReadStream, StreamQuery};
use ordain::{CommandId, EventStore, StoreError};
use time::OffsetDateTime;

use super::StoreFixture;
use super::snapshots::snapshot;
use super::support::*;

/// A closed store says so, to every request; closing it again does nothing.
pub async fn a_closed_store_refuses_every_request<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let ids = given(&store, &stream, [1]).await;
    store.close().await;
    store.close().await;
    let key = CommandKey::new(CommandId::new(), stream.clone());
    let outcome = NewOutcome {
        command: key.clone(),
        version: 1.into(),
        entry: Some(ids[0]),
        data: Bytes::new(),
    };
    let links = NewLinks {
        stream: account("b"),
        expected: ANY,
        targets: ids,
    };
    let snapshot = snapshot(&stream, 1, 1, "1");
    let now = OffsetDateTime::now_utc();
    let appended = append(&store, &stream, ANY, deposits([2])).await;
    assert_fails!(appended, StoreError::Closed);
    assert_fails!(store.record_outcome(outcome).await, StoreError::Closed);
    assert_fails!(store.find_repeat(&key).await, StoreError::Closed);
    assert_fails!(store.forget_outcomes(now).await, StoreError::Closed);
    assert_fails!(store.link(links).await, StoreError::Closed);
    let deleted = store.delete_stream(&stream, ANY, Deletion::Soft).await;
    assert_fails!(deleted, StoreError::Closed);
    assert_fails!(store.undelete_stream(&stream).await, StoreError::Closed);
    let page = store.read_stream(ReadStream::forward(stream.clone())).await;
    assert_fails!(page, StoreError::Closed);
    assert_fails!(store.read_all(ReadAll::forward()).await, StoreError::Closed);
    assert_fails!(store.stream_head(&stream).await, StoreError::Closed);
    assert_fails!(store.stream_info(&stream).await, StoreError::Closed);
    assert_fails!(
        store.list_streams(StreamQuery::all()).await,
        StoreError::Closed
    );
    assert_fails!(store.head().await, StoreError::Closed);
    assert_fails!(store.position_at(now).await, StoreError::Closed);
    assert_fails!(store.record_snapshot(snapshot).await, StoreError::Closed);
    assert_fails!(store.read_snapshot(&stream).await, StoreError::Closed);
    assert_fails!(store.delete_snapshot(&stream).await, StoreError::Closed);
}

/// What was stored is there after a restart, and numbers go on.
pub async fn a_reopened_store_goes_on_where_it_was<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let ids = given(&store, &stream, [1, 2]).await;
    let links = self::stream("report", "all");
    link(&store, &links, ANY, &ids[..1]).await.expect("linked");
    store
        .record_snapshot(snapshot(&stream, 2, 1, "2"))
        .await
        .expect("recorded");
    let refused = CommandKey::new(CommandId::new(), stream.clone());
    let outcome = NewOutcome {
        command: refused.clone(),
        version: 2.into(),
        entry: Some(ids[1]),
        data: Bytes::from_static(b"no"),
    };
    store.record_outcome(outcome).await.expect("recorded");
    for (id, deletion) in [("soft", Deletion::Soft), ("hard", Deletion::Hard)] {
        given(&store, &account(id), [3]).await;
        store
            .delete_stream(&account(id), ANY, deletion)
            .await
            .expect("deleted");
    }
    let (before, head) = (log(&store).await, store.head().await.expect("head"));
    store.close().await;
    let Some(store) = fixture.reopen(store).await else {
        return not_asserted("nothing outlives the store");
    };
    assert_eq!(log(&store).await, before);
    assert_eq!(store.head().await.expect("head"), head);
    assert_eq!(amounts(&read(&store, &links).await), [1]);
    assert_eq!(
        store
            .read_snapshot(&stream)
            .await
            .expect("snapshot")
            .version,
        2
    );
    assert!(store.find_repeat(&refused).await.expect("find").is_some());
    let result = append(&store, &account("soft"), ANY, deposits([4])).await;
    assert_fails!(result, StoreError::StreamDeleted { .. });
    let result = append(&store, &account("hard"), ANY, deposits([4])).await;
    assert_fails!(result, StoreError::StreamErased { .. });
    let appended = append(&store, &stream, exactly(2), deposits([5])).await;
    assert_eq!(appended.expect("appended").first_position, head.next());
}

/// Whatever an append answered while the store was being closed is true after a restart.
pub async fn closing_finishes_what_was_begun<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    let tasks = (0..40).map(|task: u64| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            append(&*store, &account(&task.to_string()), ANY, deposits([task])).await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    tokio::task::yield_now().await;
    store.close().await;
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("a task panicked"));
    }
    let store = Arc::into_inner(store).expect("all tasks have ended");
    let Some(store) = fixture.reopen(store).await else {
        return not_asserted("nothing outlives the store");
    };
    let stored = amounts(&log(&store).await);
    for (task, result) in results.into_iter().enumerate() {
        let is_stored = stored.contains(&(task as u64));
        match result {
            Ok(_) => assert!(is_stored, "append {task} answered Ok and is lost"),
            Err(StoreError::OutcomeUnknown { .. }) => {}
            Err(error) => assert!(!is_stored, "append {task} is stored and answered {error}"),
        }
    }
}

/// Two stores on the same data see each other's writes, and keep one order between them.
pub async fn two_handles_share_one_log<F: StoreFixture>(fixture: &F) {
    let one = fixture.open().await;
    let Some(other) = fixture.open_another_handle(&one).await else {
        return not_asserted("the store's data has one handle");
    };
    let ids = given(&one, &account("a"), [1]).await;
    assert_eq!(amounts(&read(&other, &account("a")).await), [1]);
    let next = write(&account("a"), exactly(1), deposits([2])).building_on(Some(ids[0]));
    let next = ordain::store::Append::several(vec![next]);
    other
        .append(next)
        .await
        .expect("it builds on what the first store wrote");
    let stale = write(&account("a"), exactly(1), deposits([3]))
        .building_on(Some(ids[0]))
        .trusted(true);
    let stale = ordain::store::Append::several(vec![stale]);
    assert_fails!(one.append(stale).await, StoreError::Conflict { .. });

    let stores = [Arc::new(one), Arc::new(other)];
    let results = at_once(4, |task| {
        let store = Arc::clone(&stores[task % 2]);
        async move {
            for _ in 0..10 {
                append(&*store, &account("shared"), ANY, deposits([task as u64])).await?;
            }
            Ok::<_, StoreError>(())
        }
    });
    for result in results.await {
        result.expect("any version fits");
    }
    for store in &stores {
        assert_eq!(
            positions(&log(&**store).await),
            (1..=42).collect::<Vec<_>>()
        );
        assert_eq!(version(&**store, &account("shared")).await, 40);
    }
}
