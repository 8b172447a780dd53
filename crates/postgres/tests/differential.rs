//! The store in memory and this one answer any sequence of requests alike.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod common;

use std::time::Instant;

use common::Schemas;
use ordain::store::{Append, StreamQuery, StreamSort};
use ordain::{EventStore, ExpectedVersion, NewEvent};
use ordain_postgres::Payload;
use ordain_testkit::contract::{MemoryFixture, StoreFixture};
use ordain_testkit::differential::answers_as_memory_does;

/// Goes through seeds from this one on.
async fn alike(fixture: Schemas, first: u64) {
    let seeds: u64 = std::env::var("ORDAIN_SEEDS").map_or(1, |text| text.parse().unwrap());
    let start = Instant::now();
    for seed in first..first + seeds {
        answers_as_memory_does(&fixture, seed, 150).await;
    }
    println!("{seeds} seeds from {first} in {:?}", start.elapsed());
}

#[tokio::test]
async fn memory_and_two_handles_in_turn_answer_alike() {
    alike(Schemas::new(Payload::Json), 1).await;
}

#[tokio::test]
async fn memory_and_two_handles_in_turn_answer_alike_with_bytea() {
    alike(Schemas::new(Payload::Bytea), 10_001).await;
}

#[tokio::test]
async fn memory_and_two_handles_behind_a_pooler_answer_alike() {
    alike(Schemas::pooled(), 20_001).await;
}

async fn equal_streams_from_the_largest<F: StoreFixture>(fixture: F) -> Vec<String> {
    let store = fixture.open().await;
    for name in ["a-1", "b-1"] {
        let event = NewEvent::new("counted", "{}");
        let append = Append::new(name.parse().unwrap(), ExpectedVersion::Any, vec![event]);
        store.append(append).await.unwrap();
    }
    let query = StreamQuery::all().sort(StreamSort::Version).descending();
    let listed = store.list_streams(query).await.unwrap();
    let names = listed.streams.iter().map(|info| info.stream.to_string());
    names.collect()
}

#[tokio::test]
async fn streams_of_equal_versions_are_listed_in_the_same_order_as_in_memory() {
    assert_eq!(
        equal_streams_from_the_largest(Schemas::new(Payload::Json)).await,
        equal_streams_from_the_largest(MemoryFixture).await
    );
}
