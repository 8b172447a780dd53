//! Payloads in a format of the user's.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod wire;

use ordain::store::{Append, Deletion, Filter, NewLinks, ReadAll, ReadStream};
use ordain::{
    BoxError, Codec, EventStore, ExpectedVersion, Format, NewEvent, ReadValue, StoreError,
};
use ordain_postgres::{Payload, PostgresOptions};
use ordain_testkit::postgres::Database;
use wire::{options, stream};

/// JSON of which every bit is turned round: neither text nor without NUL.
struct Turned(&'static str);

impl Format for Turned {
    fn name(&self) -> &str {
        self.0
    }

    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, BoxError> {
        Ok(turn(&serde_json::to_vec(value)?))
    }

    fn decode(&self, bytes: &[u8], read: &mut ReadValue<'_>) -> Result<(), BoxError> {
        let text = turn(bytes);
        let mut deserializer = serde_json::Deserializer::from_slice(&text);
        Ok(read(&mut <dyn erased_serde::Deserializer<'_>>::erase(
            &mut deserializer,
        ))?)
    }
}

fn turn(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| !byte).collect()
}

fn turned(database: &Database, name: &'static str) -> PostgresOptions {
    let options = options(database).payload(Payload::Bytea);
    options.codec(Codec::custom(Turned(name)))
}

#[tokio::test]
async fn what_a_format_writes_is_read_again_from_streams_log_and_links() {
    let database = Database::create().await;
    let store = turned(&database, "turned").connect().await.unwrap();
    let values = ["\u{e9}\u{0}\u{1f980}", "", "\u{ff}"].map(str::to_owned);
    let events = values.iter().map(|value| {
        let data = store.codec().encode(value).unwrap();
        NewEvent::new("said", data)
    });
    let events: Vec<_> = events.collect();
    let targets = events.iter().map(|event| event.event_id).collect();
    let append = Append::new(stream("a-1"), ExpectedVersion::NoStream, events);
    store.append(append).await.unwrap();
    let links = NewLinks {
        stream: stream("list-1"),
        expected: ExpectedVersion::NoStream,
        targets,
    };
    store.link(links).await.unwrap();

    let own = store.read_stream(ReadStream::forward(stream("a-1"))).await;
    let linked = store
        .read_stream(ReadStream::forward(stream("list-1")))
        .await;
    let log = store
        .read_all(ReadAll::forward().filter(Filter::all().with_links()))
        .await;
    let log = log.unwrap().events;
    assert_eq!(log.len(), 6);
    for events in [
        &own.unwrap().events,
        &linked.unwrap().events,
        &log[..3].to_vec(),
        &log[3..].to_vec(),
    ] {
        let read: Vec<String> = events
            .iter()
            .map(|event| store.codec().decode(&event.data).unwrap())
            .collect();
        assert_eq!(read, values);
    }
    let deleted = store
        .delete_stream(&stream("a-1"), ExpectedVersion::Any, Deletion::Soft)
        .await;
    assert!(deleted.unwrap().deleted);
}

#[tokio::test]
async fn the_name_of_a_format_is_recorded_and_no_other_opens_the_store() {
    let database = Database::create().await;
    let store = turned(&database, "turned").connect().await.unwrap();
    store.close().await;
    let recorded = database.value("SELECT codec FROM ordain.log_head").await;
    assert_eq!(recorded.unwrap().as_deref(), Some("turned"));
    for other in [
        turned(&database, "turned again"),
        options(&database).payload(Payload::Bytea),
    ] {
        let refused = other.connect().await;
        assert!(
            matches!(refused, Err(StoreError::Incompatible { .. })),
            "{refused:?}"
        );
    }
    turned(&database, "turned").connect().await.unwrap();
}

#[tokio::test]
async fn columns_of_json_take_no_other_format() {
    let database = Database::create().await;
    for payload in [Payload::Json, Payload::Jsonb] {
        let refused = turned(&database, "turned").payload(payload).connect().await;
        assert!(
            matches!(refused, Err(StoreError::Incompatible { .. })),
            "{refused:?}"
        );
    }
}
