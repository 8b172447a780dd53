//! What is known about streams.

use ordain::EventStore;
use ordain::store::{Deletion, StreamInfo, StreamQuery, StreamSort};

use super::StoreFixture;
use super::support::*;

/// Version and times of a stream, also of a deleted one.
pub async fn c068_stream_info_tells_version_and_times<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let missing = store.stream_info(&stream).await;
    assert!(missing.is_err_and(|error| error.is_stream_not_found()));
    given(&store, &stream, [1]).await;
    given(&store, &stream, [2, 3]).await;
    let events = read(&store, &stream).await;
    let info = store.stream_info(&stream).await.expect("info");
    assert_eq!((&info.stream, info.category()), (&stream, "account"));
    assert_eq!((info.version, info.deleted), (3.into(), None));
    assert_eq!(info.created_at, events[0].recorded_at);
    assert_eq!(info.changed_at, events[2].recorded_at);
    store
        .delete_stream(&stream, ANY, Deletion::Soft)
        .await
        .expect("deleted");
    let info = store.stream_info(&stream).await.expect("info");
    assert_eq!(
        (info.version, info.deleted),
        (4.into(), Some(Deletion::Soft))
    );
    assert_eq!(info.created_at, events[0].recorded_at);
    assert!(info.changed_at >= events[2].recorded_at);
}

/// By name in the order of bytes, in pages, with the number of all.
pub async fn c068_streams_are_listed_by_name_in_pages<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let mut names = ["b", "Z", "a", "ä", "a b", "10", "9", "~", "a%", "a_"].map(account);
    for name in &names {
        given(&store, name, [1]).await;
    }
    names.sort();
    let list = store.list_streams(StreamQuery::all()).await.expect("list");
    assert_eq!((names_of(&list.streams), list.total), (names.to_vec(), 10));
    let list = store
        .list_streams(StreamQuery::all().descending())
        .await
        .expect("list");
    assert_eq!(reversed(names_of(&list.streams)), names);
    for page_size in [1, 3, 10, 11] {
        let mut paged = Vec::new();
        for page in 1..=10_u32.div_ceil(page_size) {
            let query = StreamQuery::all().page(page, page_size);
            let list = store.list_streams(query).await.expect("list");
            assert_eq!(list.total, 10);
            paged.extend(names_of(&list.streams));
        }
        assert_eq!(paged, names, "page size {page_size}");
    }
    let beyond = store.list_streams(StreamQuery::all().page(5, 10)).await;
    let beyond = beyond.expect("list");
    assert_eq!((beyond.streams.len(), beyond.total), (0, 10));
    let zero = store.list_streams(StreamQuery::all().page(0, 0)).await;
    assert_eq!(names_of(&zero.expect("list").streams), names[..1]);
}

/// The search is for text, not for a pattern, and letter case counts.
pub async fn c068_streams_are_searched_literally<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for id in ["50%", "50", "a_b", "aXb", "a\\b", "Ann", "ann", "it's"] {
        given(&store, &account(id), [1]).await;
    }
    given(&store, &stream("card", "ann"), [1]).await;
    let cases = [
        ("0%", vec![account("50%")]),
        ("%", vec![account("50%")]),
        ("a_b", vec![account("a_b")]),
        ("_", vec![account("a_b")]),
        ("\\", vec![account("a\\b")]),
        ("'", vec![account("it's")]),
        ("ann", vec![account("ann"), stream("card", "ann")]),
        ("Ann", vec![account("Ann")]),
        ("card-", vec![stream("card", "ann")]),
        ("none", vec![]),
    ];
    for (text, expected) in cases {
        let query = StreamQuery::all().search(text);
        let list = store.list_streams(query).await.expect("list");
        assert_eq!(names_of(&list.streams), expected, "search for {text}");
        assert_eq!(list.total, expected.len() as u64);
    }
    let query = StreamQuery::all().search("ann").category("card");
    let list = store.list_streams(query).await.expect("list");
    assert_eq!(names_of(&list.streams), [stream("card", "ann")]);
    let list = store.list_streams(StreamQuery::all().category("car")).await;
    assert_eq!(list.expect("list").total, 0);
}

/// By version, time of the first and time of the last entry.
pub async fn c068_streams_are_sorted<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for (id, count) in [("c", 2), ("a", 5), ("b", 2), ("d", 1)] {
        given(&store, &account(id), 0..count).await;
    }
    given(&store, &account("d"), [9]).await;
    type Key = fn(&StreamInfo) -> i128;
    let keys: [(_, Key); 3] = [
        (StreamSort::Version, |info| info.version.get().into()),
        (StreamSort::Created, |info| {
            info.created_at.unix_timestamp_nanos()
        }),
        (StreamSort::Changed, |info| {
            info.changed_at.unix_timestamp_nanos()
        }),
    ];
    for (sort, key) in keys {
        let query = StreamQuery::all().sort(sort);
        let list = store.list_streams(query.clone()).await.expect("list");
        let mut sorted = list.streams.clone();
        sorted.sort_by_key(|info| (key(info), info.stream.clone()));
        assert_eq!(list.streams, sorted, "{sort:?}");
        assert_eq!(list.streams.len(), 4);
        let list = store.list_streams(query.descending()).await.expect("list");
        let keys: Vec<_> = list.streams.iter().map(key).collect();
        assert!(keys.is_sorted_by(|left, right| left >= right), "{sort:?}");
    }
}

/// Soft-deleted streams are listed and say so; erased ones are not.
pub async fn c068_deleted_streams_are_listed_until_they_are_erased<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for id in ["a", "b", "c"] {
        given(&store, &account(id), [1]).await;
    }
    for (id, deletion) in [("a", Deletion::Soft), ("b", Deletion::Hard)] {
        store
            .delete_stream(&account(id), ANY, deletion)
            .await
            .expect("deleted");
    }
    let list = store.list_streams(StreamQuery::all()).await.expect("list");
    assert_eq!(names_of(&list.streams), [account("a"), account("c")]);
    assert_eq!(list.total, 2);
    let deleted: Vec<_> = list.streams.iter().map(|info| info.deleted).collect();
    assert_eq!(deleted, [Some(Deletion::Soft), None]);
    store
        .undelete_stream(&account("a"))
        .await
        .expect("undeleted");
    let list = store.list_streams(StreamQuery::all()).await.expect("list");
    assert_eq!(list.streams[0].deleted, None);
    assert_eq!(
        list.streams[0],
        store.stream_info(&account("a")).await.expect("info")
    );
}

fn names_of(streams: &[StreamInfo]) -> Vec<ordain::StreamId> {
    streams.iter().map(|info| info.stream.clone()).collect()
}
