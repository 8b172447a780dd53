//! Appends to several streams.

use std::sync::Arc;

use ordain::store::{Append, Deletion};
use ordain::{EventStore, StoreError};

use super::StoreFixture;
use super::support::*;

/// Positions follow the order of the writes, without a gap; versions are those of each stream.
pub async fn an_append_to_several_streams_is_contiguous_in_order_of_writes<F: StoreFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    given(&store, &account("b"), [0]).await;
    let append = Append::several(vec![
        write(&account("c"), NO_STREAM, deposits([1, 2])),
        write(&account("a"), ANY, deposits([3])),
        write(&account("b"), exactly(1), deposits([4, 5])),
    ]);
    let appended = store.append(append).await.expect("appended");
    assert_eq!(appended.versions, [2, 1, 3]);
    assert_eq!(
        (appended.first_position.get(), appended.last_position.get()),
        (2, 6)
    );
    let events = log(&store).await;
    assert_eq!(amounts(&events), [0, 1, 2, 3, 4, 5]);
    assert_eq!(versions(&events), [1, 1, 2, 1, 2, 3]);
    assert!(
        events[1..]
            .iter()
            .all(|event| event.recorded_at == appended.recorded_at)
    );
}

/// One write is refused, whichever and for whatever reason: none is stored.
pub async fn if_one_of_several_streams_is_refused_none_is_written<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let used = given(&store, &account("b"), [0]).await[0];
    given(&store, &account("deleted"), [0]).await;
    store
        .delete_stream(&account("deleted"), ANY, Deletion::Soft)
        .await
        .expect("deleted");
    link(&store, &account("links"), ANY, &[used])
        .await
        .expect("linked");
    let head = store.head().await.expect("head");
    let mut duplicate = deposited(9);
    duplicate.event_id = used;
    let refused = [
        write(&account("b"), exactly(7), deposits([9])),
        write(&account("b"), NO_STREAM, deposits([9])),
        write(&account("none"), STREAM_EXISTS, deposits([9])),
        write(&account("deleted"), ANY, deposits([9])),
        write(&account("links"), ANY, deposits([9])),
        write(&account("b"), ANY, vec![duplicate]),
    ];
    for write in refused {
        for at in 0..3 {
            let mut writes = vec![
                self::write(&account("x"), ANY, deposits([1])),
                self::write(&account("y"), ANY, deposits([2])),
            ];
            writes.insert(at, write.clone());
            let result = store.append(Append::several(writes)).await;
            result.expect_err("one of the writes cannot be");
        }
    }
    assert_eq!(store.head().await.expect("head"), head);
    assert_eq!(version(&store, &account("x")).await, 0);
    assert_eq!(version(&store, &account("y")).await, 0);
    assert_fails!(
        store.stream_info(&account("x")).await,
        StoreError::StreamNotFound { .. }
    );
}

/// Appends that name the same streams in opposite order do not wait for each other for ever.
pub async fn appends_to_the_same_streams_in_any_order_do_not_deadlock<F: StoreFixture>(
    fixture: &F,
) {
    let store = Arc::new(fixture.open().await);
    let results = at_once(4, |task| {
        let store = Arc::clone(&store);
        async move {
            for amount in 0..20 {
                let mut writes = vec![
                    write(&account("a"), ANY, deposits([amount])),
                    write(&account("b"), ANY, deposits([amount])),
                ];
                if task % 2 == 0 {
                    writes.reverse();
                }
                store.append(Append::several(writes)).await?;
            }
            Ok::<_, StoreError>(())
        }
    });
    for result in results.await {
        result.expect("any version fits");
    }
    assert_eq!(version(&*store, &account("a")).await, 80);
    assert_eq!(
        positions(&log(&*store).await),
        (1..=160).collect::<Vec<_>>()
    );
}
