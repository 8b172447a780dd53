//! Input that no store takes.

use std::sync::Arc;

use ordain::store::{Append, Limits, ReadStream, Refusal};
use ordain::{
    EventStore, InvalidStreamId, Metadata, NewEvent, StoreError, StreamId, check_category,
};
use serde_json::json;

use super::StoreFixture;
use super::support::*;

/// Names that begin with `$` are refused, so there is no writing to or deleting of `$all`.
pub async fn c057_reserved_names_name_no_stream<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    assert_eq!("$all".parse::<StreamId>(), Err(InvalidStreamId::Reserved));
    assert_eq!(StreamId::new("$all", "a"), Err(InvalidStreamId::Reserved));
    check_category("$all").expect_err("it is reserved");
    let result = append(
        &store,
        &account("a"),
        ANY,
        vec![event("$tombstone", &json!({}))],
    )
    .await;
    assert_fails!(result, StoreError::Refused(Refusal::EventType { .. }));
    assert_eq!(store.head().await.expect("head"), 0);
}

/// A name as long as it may be is written, read, linked, listed, deleted; a longer one is no name.
pub async fn d5_the_longest_stream_name_works_everywhere<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let longest = account(&"ä".repeat((StreamId::LEN_MAX - "account-".len()) / 2));
    assert_eq!(longest.as_str().len(), StreamId::LEN_MAX);
    let ids = given(&store, &longest, [1, 2]).await;
    assert_eq!(amounts(&read(&store, &longest).await), [1, 2]);
    let other = account(&"b".repeat(StreamId::LEN_MAX - "account-".len()));
    link(&store, &other, ANY, &ids).await.expect("linked");
    assert_eq!(read(&store, &other).await.len(), 2);
    store
        .delete_stream(&longest, exactly(2), ordain::store::Deletion::Soft)
        .await
        .expect("deleted");
    store.undelete_stream(&longest).await.expect("undeleted");
    given(&store, &longest, [3]).await;
    assert_eq!(store.stream_info(&longest).await.expect("info").version, 4);
    let too_long = StreamId::new(
        "account",
        &"b".repeat(StreamId::LEN_MAX - "account-".len() + 1),
    );
    assert_fails!(too_long, InvalidStreamId::TooLong { .. });
}

/// Blank ids, NUL in ids, categories with separators.
pub async fn unusable_stream_names_are_refused<F: StoreFixture>(fixture: &F) {
    let _ = fixture;
    for (category, id) in [
        ("account", ""),
        ("account", " \t\n"),
        ("account", "a\0b"),
        ("", "a"),
        ("a-b", "c"),
        ("a b", "c"),
        ("a\0", "c"),
    ] {
        StreamId::new(category, id).expect_err("it names no stream");
    }
}

/// An append without events, without streams, or with a stream twice.
pub async fn an_append_of_nothing_or_to_a_stream_twice_is_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let none = append(&store, &account("a"), ANY, vec![]).await;
    assert_fails!(none, StoreError::Refused(Refusal::NoEvents { .. }));
    let one_of_two = Append::several(vec![
        write(&account("a"), ANY, deposits([1])),
        write(&account("b"), ANY, vec![]),
    ]);
    let result = store.append(one_of_two).await;
    assert_fails!(result, StoreError::Refused(Refusal::NoEvents { .. }));
    let no_streams = store.append(Append::several(vec![])).await;
    assert_fails!(no_streams, StoreError::Refused(Refusal::NoStreams));
    let twice = Append::several(vec![
        write(&account("a"), ANY, deposits([1])),
        write(&account("b"), ANY, deposits([1])),
        write(&account("a"), ANY, deposits([2])),
    ]);
    let result = store.append(twice).await;
    assert_fails!(
        result,
        StoreError::Refused(Refusal::StreamTwice { stream }) if stream == account("a")
    );
    assert_nothing_stored(&store).await;
}

/// More events than an append may have.
pub async fn too_many_events_are_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let max = Limits::default().events_max;
    let empty = NewEvent::new("Noted", "1");
    let events = vec![empty; max + 1];
    let result = append(&store, &account("a"), ANY, events).await;
    assert_fails!(
        result,
        StoreError::Refused(Refusal::TooManyEvents { count, .. }) if count == max + 1
    );
    assert_nothing_stored(&store).await;
}

/// Blank, reserved, over-long names of types, and such with a NUL.
pub async fn unusable_event_types_are_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let longest = "ä".repeat(Limits::EVENT_TYPE_LEN_MAX / 2);
    let too_long = format!("{longest}x");
    for event_type in ["", " ", "\t\n", "$Deposited", "a\0b", &too_long] {
        let event = NewEvent::new(event_type.to_owned(), "{}");
        let result = append(&store, &account("a"), ANY, vec![deposited(1), event]).await;
        assert_fails!(result, StoreError::Refused(Refusal::EventType { .. }));
    }
    assert_nothing_stored(&store).await;
    let event = NewEvent::new(longest.clone(), "{}");
    append(&store, &account("a"), ANY, vec![event])
        .await
        .expect("appended");
    assert_eq!(read(&store, &account("a")).await[0].event_type, longest);
}

/// NUL in a payload, as a byte and escaped; an escaped backslash before `u0000` is none.
pub async fn a_nul_in_a_payload_is_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for data in [
        r#"{"a":"\u0000"}"#,
        r#"{"a\u0000":1}"#,
        r#"{"a":"\\\u0000"}"#,
    ] {
        let event = NewEvent::new("Noted", data);
        let result = append(&store, &account("a"), ANY, vec![event]).await;
        assert_fails!(
            result,
            StoreError::Refused(Refusal::Nul {
                part: "payload",
                ..
            })
        );
    }
    for data in ["{\"a\":\"\0\"}", "\0", "{}\0"] {
        let event = NewEvent::new("Noted", data);
        let result = append(&store, &account("a"), ANY, vec![event]).await;
        assert_fails!(result, StoreError::Refused(_));
    }
    assert_nothing_stored(&store).await;
    let harmless = NewEvent::new("Noted", r#"{"a":"\\u0000"}"#);
    append(&store, &account("a"), ANY, vec![harmless])
        .await
        .expect("appended");
    let read = read(&store, &account("a")).await;
    assert_eq!(json_of(&read[0].data), json!({ "a": "\\u0000" }));
}

/// NUL in metadata, wherever it stands, and too much metadata.
pub async fn unusable_metadata_is_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let with = |change: fn(&mut Metadata)| {
        let mut metadata = Metadata::new();
        change(&mut metadata);
        let mut event = deposited(1);
        event.metadata = Arc::new(metadata);
        event
    };
    let with_nul = [
        with(|metadata| metadata.actor = Some("a\0".into())),
        with(|metadata| metadata.tenant = Some("\0".into())),
        with(|metadata| drop(metadata.custom.insert("a\0".into(), json!(1)))),
        with(|metadata| drop(metadata.custom.insert("a".into(), json!([{ "b": "\0" }])))),
        with(|metadata| drop(metadata.custom.insert("a".into(), json!({ "\0": 1 })))),
    ];
    for event in with_nul {
        let result = append(&store, &account("a"), ANY, vec![event]).await;
        assert_fails!(
            result,
            StoreError::Refused(Refusal::Nul {
                part: "metadata",
                ..
            })
        );
    }
    let large = "x".repeat(Limits::default().metadata_bytes_max + 1);
    let mut metadata = Metadata::new();
    metadata.custom.insert("a".into(), json!(large));
    let mut too_large = deposited(1);
    too_large.metadata = Arc::new(metadata);
    let result = append(&store, &account("a"), ANY, vec![too_large]).await;
    assert_fails!(
        result,
        StoreError::Refused(Refusal::TooLarge {
            part: "metadata",
            ..
        })
    );
    assert_nothing_stored(&store).await;
}

/// A payload that is not JSON, and one that is not text.
pub async fn a_payload_that_is_not_json_is_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for data in [
        &b""[..],
        b"{",
        b"{}{}",
        b"nope",
        b"{\"a\":01}",
        b"\"\xff\"",
        b"{'a':1}",
    ] {
        let event = NewEvent::new("Noted", data.to_vec());
        let result = append(&store, &account("a"), ANY, vec![event]).await;
        assert_fails!(result, StoreError::Refused(Refusal::NotJson { .. }));
    }
    assert_nothing_stored(&store).await;
    for data in ["null", "1", "\"text\"", "[]", " {} "] {
        let event = NewEvent::new("Noted", data);
        append(&store, &account("a"), ANY, vec![event])
            .await
            .expect("it is JSON");
    }
    let read = read(&store, &account("a")).await;
    let kept: Vec<_> = read.iter().map(|event| json_of(&event.data)).collect();
    assert_eq!(
        kept,
        [json!(null), json!(1), json!("text"), json!([]), json!({})]
    );
}

/// Schema versions begin at 1 and end where a signed column ends.
pub async fn unusable_schema_versions_are_refused<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for version in [0, i32::MAX as u32 + 1, u32::MAX] {
        let mut event = deposited(1);
        event.schema_version = version;
        let result = append(&store, &account("a"), ANY, vec![event]).await;
        assert_fails!(result, StoreError::Refused(Refusal::SchemaVersion { .. }));
    }
    assert_nothing_stored(&store).await;
    let mut largest = deposited(1);
    largest.schema_version = i32::MAX as u32;
    append(&store, &account("a"), ANY, vec![largest])
        .await
        .expect("appended");
    let read = read(&store, &account("a")).await;
    assert_eq!(read[0].schema_version, i32::MAX as u32);
}

/// Versions at the ends of 64 bits are compared, not wrapped.
pub async fn the_largest_versions_are_only_versions<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    for count in 0..2 {
        for wrong in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
            let result = append(&store, &stream, exactly(wrong), deposits([1])).await;
            assert_conflict(result, exactly(wrong), count);
            if count > 0 {
                let read = ReadStream::forward(stream.clone())
                    .from(wrong)
                    .limit(u32::MAX);
                assert!(read_by(&store, read).await.is_empty());
            }
        }
        given(&store, &stream, [1]).await;
    }
    let read = ReadStream::backward(stream.clone()).from(0);
    assert!(read_by(&store, read).await.is_empty());
}

async fn assert_nothing_stored(store: &impl EventStore) {
    assert_eq!(store.head().await.expect("head"), 0);
    assert!(log(store).await.is_empty());
    assert_eq!(version(store, &account("a")).await, 0);
}
