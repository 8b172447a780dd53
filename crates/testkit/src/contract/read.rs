//! Reads of streams, and what is kept of an event.

use std::sync::Arc;

use ordain::store::{EventStoreExt, ReadAll, ReadStream};
use ordain::{CausationId, CorrelationId, EventId, EventStore, Metadata, StoreError, to_micros};
use serde_json::json;
use time::{Duration, OffsetDateTime, UtcOffset};

use super::StoreFixture;
use super::support::*;

/// A missing stream is an error, also when it is read as a stream of pages.
pub async fn c010_a_missing_stream_is_not_found<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let reads = [
        ReadStream::forward(stream.clone()),
        ReadStream::forward(stream.clone()).from(7),
        ReadStream::backward(stream.clone()),
    ];
    for read in reads {
        let error = store.read_stream(read.clone()).await;
        assert_fails!(&error, StoreError::StreamNotFound { .. });
        let items: Vec<_> = futures::StreamExt::collect(store.stream(read)).await;
        assert_eq!(items.len(), 1);
        assert!(
            items[0]
                .as_ref()
                .is_err_and(StoreError::is_stream_not_found)
        );
    }
}

/// All events in order, with data and metadata as they went in.
pub async fn c011_events_are_read_in_order_and_unchanged<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let mut events = deposits(1..5);
    events[2].data = json!({ "amount": 3, "nested": { "list": [1, -2, 0.5, null, true, "x"] } })
        .to_string()
        .into();
    events[3].metadata = Arc::new(rich_metadata());
    events[3].schema_version = 4;
    append(&store, &stream, NO_STREAM, events.clone())
        .await
        .expect("appended");
    for read in [read(&store, &stream).await, log(&store).await] {
        assert_eq!(versions(&read), [1, 2, 3, 4]);
        for (read, event) in read.iter().zip(&events) {
            assert_eq!(json_of(&read.data), json_of(&event.data));
            assert_eq!(read.metadata, event.metadata);
            assert_eq!(read.event_type, event.event_type);
            assert_eq!(read.schema_version, event.schema_version);
        }
    }
}

/// Ids, stream and time of each event.
pub async fn c012_events_carry_their_ids_and_their_time<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let mut events = deposits(1..5);
    for event in &mut events[..2] {
        event.correlation_id = Some(CorrelationId::new());
        event.causation_id = Some(CausationId::from(EventId::new()));
    }
    let before = OffsetDateTime::now_utc() - Duration::hours(1);
    append(&store, &stream, NO_STREAM, events.clone())
        .await
        .expect("appended");
    for (read, event) in read(&store, &stream).await.iter().zip(&events) {
        assert_eq!((read.event_id, &read.stream), (event.event_id, &stream));
        assert_eq!(read.correlation_id, event.correlation_id);
        assert_eq!(read.causation_id, event.causation_id);
        assert_eq!(read.recorded_at.offset(), UtcOffset::UTC);
        assert_eq!(read.recorded_at, to_micros(read.recorded_at));
        assert!(read.recorded_at > before && read.recorded_at < before + Duration::hours(2));
        assert_eq!(read.link, None);
    }
}

/// From a version on, itself included.
pub async fn c013_a_stream_is_read_from_a_version<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..5).await;
    let events = read_by(&store, ReadStream::forward(stream).from(3)).await;
    assert_eq!(versions(&events), [3, 4]);
    assert_eq!(amounts(&events), [3, 4]);
}

/// From 0 means from the beginning, and a stream has its own events only.
pub async fn c014_streams_are_read_from_zero_and_apart<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..3 {
        given(&store, &account("a"), [round]).await;
        given(&store, &account("b"), [round + 10]).await;
    }
    for (id, expected) in [("a", [0, 1, 2]), ("b", [10, 11, 12])] {
        let events = read_by(&store, ReadStream::forward(account(id)).from(0)).await;
        assert_eq!(amounts(&events), expected);
        assert_eq!(versions(&events), [1, 2, 3]);
    }
}

/// 10 events in pages of 2: all in order, none twice.
pub async fn c015_pages_of_two_hold_ten_events_once<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..11).await;
    let mut read = ReadStream::forward(stream).limit(2);
    for page_number in 0..5 {
        let page = store.read_stream(read.clone()).await.expect("page");
        assert_eq!(
            versions(&page.events),
            [page_number * 2 + 1, page_number * 2 + 2]
        );
        assert_eq!(page.head.version, 10);
        assert_eq!(page.next.is_none(), page_number == 4);
        read.from = page.next.unwrap_or_default();
    }
}

/// When something happened is the writer's to say; when it was recorded is not.
pub async fn c059_the_time_of_occurrence_is_kept_beside_that_of_recording<F: StoreFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    let occurred_at = OffsetDateTime::UNIX_EPOCH + Duration::days(400) + Duration::microseconds(7);
    for (id, expected) in [("a", ANY), ("b", NO_STREAM), ("c", exactly(0))] {
        let mut metadata = Metadata::new();
        metadata.occurred_at = Some(occurred_at);
        let mut event = deposited(1);
        event.metadata = Arc::new(metadata);
        append(&store, &account(id), expected, vec![event])
            .await
            .expect("appended");
        let read = read(&store, &account(id)).await;
        assert_eq!(read[0].metadata.occurred_at, Some(occurred_at));
        assert!(read[0].recorded_at > occurred_at + Duration::days(1));
        let info = store.stream_info(&account(id)).await.expect("info");
        assert_eq!(info.created_at, read[0].recorded_at);
    }
}

/// Names of streams and types, payloads and metadata in all scripts.
pub async fn c060_unicode_survives<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let texts = [
        "Zoë",
        "日本語",
        "🦀👩‍👩‍👧",
        "\u{202e}rtl",
        "e\u{301}",
        "a'b\"c\\d`;--%_",
        "\u{1}\t\n",
    ];
    for text in texts {
        let stream = stream("könto", text);
        let mut event = event("Überwiesen→済", &json!({ text: text }));
        let mut metadata = Metadata::new();
        metadata.actor = Some(text.to_owned());
        metadata.custom.insert(text.to_owned(), json!([text]));
        event.metadata = Arc::new(metadata);
        append(&store, &stream, NO_STREAM, vec![event.clone()])
            .await
            .expect("appended");
        let read = read(&store, &stream).await;
        assert_eq!(read[0].stream, stream);
        assert_eq!(read[0].event_type, event.event_type);
        assert_eq!(json_of(&read[0].data), json_of(&event.data));
        assert_eq!(read[0].metadata, event.metadata);
    }
    assert_eq!(log(&store).await.len(), texts.len());
}

/// Names are compared by their bytes: case, composition and trailing spaces count.
pub async fn c060_similar_names_are_different_streams<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let names = [
        "a", "A", "a ", " a", "á", "a\u{301}", "ß", "ss", "a-", "a_", "a%",
    ];
    for (amount, name) in names.iter().enumerate() {
        append(&store, &account(name), NO_STREAM, deposits([amount as u64]))
            .await
            .expect("no stream has this name");
    }
    for (amount, name) in names.iter().enumerate() {
        assert_eq!(
            amounts(&read(&store, &account(name)).await),
            [amount as u64]
        );
    }
}

/// Backward is forward, mirrored: from the end, and from a version.
pub async fn c062_backward_reads_mirror_forward_ones<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..8).await;
    let forward = read(&store, &stream).await;
    let backward = read_by(&store, ReadStream::backward(stream.clone())).await;
    assert_eq!(reversed(backward), forward);
    let from_five = read_by(&store, ReadStream::backward(stream.clone()).from(5)).await;
    assert_eq!(versions(&from_five), [5, 4, 3, 2, 1]);

    let forward = log(&store).await;
    let backward = log_by(&store, ReadAll::backward()).await;
    assert_eq!(reversed(backward), forward);
    let before_five = log_by(&store, ReadAll::backward().after(5)).await;
    assert_eq!(positions(&before_five), [4, 3, 2, 1]);
    let after_five = log_by(&store, ReadAll::forward().after(5)).await;
    assert_eq!(positions(&after_five), [6, 7]);
}

/// The size of a page does not change what is read.
pub async fn c062_all_page_sizes_read_the_same<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..10 {
        given(&store, &account("a"), [round, round + 100]).await;
        given(&store, &account("b"), [round]).await;
    }
    let (stream, all) = (read(&store, &account("a")).await, log(&store).await);
    assert_eq!((stream.len(), all.len()), (20, 30));
    for limit in [0, 1, 2, 3, 10, 20, 30, 31, u32::MAX] {
        let forward = ReadStream::forward(account("a")).limit(limit);
        assert_eq!(read_by(&store, forward).await, stream, "limit {limit}");
        let backward = ReadStream::backward(account("a")).limit(limit);
        assert_eq!(reversed(read_by(&store, backward).await), stream);
        let forward = ReadAll::forward().limit(limit);
        assert_eq!(log_by(&store, forward).await, all);
        let backward = ReadAll::backward().limit(limit);
        assert_eq!(reversed(log_by(&store, backward).await), all);
    }
}

/// Beyond the end there is nothing, and that is no error.
pub async fn c062_a_start_beyond_the_end_gives_nothing<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, 1..4).await;
    for from in [4, 5, 1_000, i64::MAX as u64, u64::MAX] {
        let read = ReadStream::forward(stream.clone()).from(from);
        let page = store.read_stream(read).await.expect("page");
        assert!(page.events.is_empty() && page.next.is_none(), "from {from}");
        assert_eq!(page.head.version, 3);
        let page = store
            .read_all(ReadAll::forward().after(from))
            .await
            .expect("page");
        assert!(page.events.is_empty() && page.at_end, "after {from}");
        assert!(page.examined <= from.into());
    }
    for from in [4, i64::MAX as u64, u64::MAX] {
        let read = ReadStream::backward(stream.clone()).from(from);
        assert_eq!(versions(&read_by(&store, read).await), [3, 2, 1]);
        let read = ReadAll::backward().after(from);
        assert_eq!(positions(&log_by(&store, read).await), [3, 2, 1]);
    }
    let page = store.read_all(ReadAll::backward().after(0)).await;
    let page = page.expect("page");
    assert!(page.events.is_empty() && page.at_end);
}

/// The head of a page, and of a stream that does not exist.
pub async fn the_head_of_a_stream_is_its_last_entry<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    assert_eq!(
        store.stream_head(&stream).await.expect("head"),
        Default::default()
    );
    given(&store, &account("b"), [0]).await;
    let ids = given(&store, &stream, 1..4).await;
    let head = store.stream_head(&stream).await.expect("head");
    assert_eq!((head.version, head.position), (3.into(), 4.into()));
    assert_eq!((head.entry, head.deleted), (Some(ids[2]), false));
    let read = ReadStream::forward(stream).limit(1);
    assert_eq!(store.read_stream(read).await.expect("page").head, head);
    assert_eq!(store.head().await.expect("head"), 4);
}

fn rich_metadata() -> Metadata {
    let mut metadata = Metadata::new();
    metadata.actor = Some("teller-7".into());
    metadata.tenant = Some("north".into());
    metadata.occurred_at = Some(OffsetDateTime::UNIX_EPOCH + Duration::microseconds(1));
    metadata.command = Some(ordain::CommandMark::new("Deposit", 3, "digest"));
    let custom = json!({ "address": "::1", "tries": 2, "tags": ["a", { "b": null }] });
    if let serde_json::Value::Object(custom) = custom {
        metadata.custom = custom;
    }
    metadata
}
