//! How long it takes to read a long log, whole and with filters.
//!
//! `cargo run --release -p ordain-sqlite --example read_rate [directory] [events]`
#![allow(clippy::print_stdout, reason = "its output is what it is for")]

use std::time::Instant;

use ordain::store::{Append, Filter, ReadAll, ReadStream, StreamQuery, StreamSort};
use ordain::{BoxError, EventStore, ExpectedVersion, NewEvent, StreamId};
use ordain_sqlite::SqliteStore;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut args = std::env::args().skip(1);
    let directory = args.next().map_or_else(std::env::temp_dir, Into::into);
    let count: u64 = args.next().map_or(Ok(1_000_000), |text| text.parse())?;
    let path = directory.join(format!("read-rate-{}.db", std::process::id()));
    let store = SqliteStore::open(&path).await?;
    fill(&store, count).await?;
    read_logs(&store).await?;
    read_streams(&store).await?;
    store.close().await;
    std::fs::remove_file(path)?;
    Ok(())
}

/// Streams of 10 events; one category in a hundred is rare.
async fn fill(store: &SqliteStore, count: u64) -> Result<(), BoxError> {
    let start = Instant::now();
    for thousand in 0..count / 1_000 {
        let writes = (0..100).map(|number| append(thousand * 100 + number));
        let writes = writes.collect::<Result<Vec<_>, _>>()?;
        let appends = writes.into_iter().map(|append| store.append(append));
        futures::future::try_join_all(appends).await?;
    }
    println!("{count} events written in {:.1?}", start.elapsed());
    Ok(())
}

fn append(number: u64) -> Result<Append, BoxError> {
    let category = if number.is_multiple_of(100) {
        "rare"
    } else {
        "account"
    };
    let stream = StreamId::new(category, &number.to_string())?;
    let event = |n| {
        NewEvent::new(
            if n == 0 { "opened" } else { "deposited" },
            format!("{{\"amount\":{n}}}"),
        )
    };
    let events = (0..10).map(event).collect();
    Ok(Append::new(stream, ExpectedVersion::NoStream, events))
}

async fn read_logs(store: &SqliteStore) -> Result<(), BoxError> {
    let stream = StreamId::new("rare", "100")?;
    for (name, filter) in [
        ("the whole log", Filter::all()),
        ("one type in ten", Filter::all().types(["opened"])),
        ("a rare category", Filter::all().categories(["rare"])),
        ("one stream", Filter::all().streams([stream])),
    ] {
        let start = Instant::now();
        let mut read = ReadAll::forward().limit(10_000).filter(filter);
        let mut found = 0;
        loop {
            let page = store.read_all(read.clone()).await?;
            found += page.events.len();
            if page.at_end {
                break;
            }
            read.after = page.examined;
        }
        println!("{name}: {found} events in {:.1?}", start.elapsed());
    }
    Ok(())
}

async fn read_streams(store: &SqliteStore) -> Result<(), BoxError> {
    const READS: u64 = 10_000;
    let start = Instant::now();
    for number in 0..READS {
        let stream = StreamId::new("account", &(number * 7 % 900 * 100 + 1).to_string())?;
        store.read_stream(ReadStream::forward(stream)).await?;
    }
    let each = start.elapsed() / READS as u32;
    println!("a stream of 10 events: {each:.1?}");
    for sort in [StreamSort::Name, StreamSort::Changed] {
        let start = Instant::now();
        let query = StreamQuery::all().category("rare").sort(sort);
        let list = store.list_streams(query).await?;
        println!(
            "{} streams of a category listed by {sort:?} in {:.1?}",
            list.total,
            start.elapsed()
        );
    }
    let start = Instant::now();
    let list = store
        .list_streams(StreamQuery::all().sort(StreamSort::Changed))
        .await?;
    println!(
        "{} streams listed by Changed in {:.1?}",
        list.total,
        start.elapsed()
    );
    let start = Instant::now();
    store.position_at(time::OffsetDateTime::now_utc()).await?;
    println!("a position by its time: {:.1?}", start.elapsed());
    Ok(())
}
