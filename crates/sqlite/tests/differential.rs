//! The store in memory and this one answer any sequence of requests alike.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;

use std::time::Instant;

use files::Files;
use ordain_testkit::differential::answers_as_memory_does;

#[tokio::test]
async fn memory_and_sqlite_answer_alike() {
    let seeds: u64 = std::env::var("ORDAIN_SEEDS").map_or(12, |text| text.parse().unwrap());
    let start = Instant::now();
    for seed in 1..=seeds {
        answers_as_memory_does(&Files::new(), seed, 150).await;
    }
    println!("{seeds} seeds in {:?}", start.elapsed());
}
