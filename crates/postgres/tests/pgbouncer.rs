//! Stores behind PgBouncer in transaction mode, which gives a connection to somebody else after each
//! transaction.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod common;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::{Place, Schemas};
use futures::future::try_join_all;
use ordain::store::{Append, ReadAll, ReadStream, StreamWrite};
use ordain::{EventStore, ExpectedVersion};
use ordain_postgres::PostgresStore;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions, Connection, Row};
use wire::{event, one, stream, within};

const SOON: Duration = Duration::from_secs(60);

mod contract {
    use super::*;
    ordain_testkit::store_contract!(Schemas::pooled());
    ordain_testkit::subscription_contract!(Schemas::pooled());
}

/// Runs unnamed prepared statements of its own on the pool that the stores use, until told to stop.
async fn disturb(url: String, number: i64, stop: Arc<AtomicBool>) -> u64 {
    let options: PgConnectOptions = url.parse().unwrap();
    let options = options.statement_cache_capacity(0);
    let mut connection: PgConnection = options.connect().await.unwrap();
    let mut statements = 0;
    while !stop.load(Ordering::Relaxed) {
        let mut transaction = connection.begin().await.unwrap();
        let row = sqlx::query("SELECT $1::bigint AS n, $2::text AS text")
            .persistent(false)
            .bind(number)
            .bind("other")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(row.get::<i64, _>("n"), number);
        let row = sqlx::query("SELECT $1::text || $2::text")
            .persistent(false)
            .bind(format!("{number}"))
            .bind("!")
            .fetch_one(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(row.get::<String, _>(0), format!("{number}!"));
        transaction.rollback().await.unwrap();
        statements += 2;
    }
    connection.close().await.unwrap();
    statements
}

/// Appends and reads what it appended; `number` is in all that it writes.
async fn work(store: PostgresStore, number: u64, rounds: u64) {
    let own = format!("own-{number}");
    for round in 0..rounds {
        let told = number * 1_000 + round;
        let appended = match round % 3 {
            0 => store.append(one(&own, told)).await,
            1 => {
                let write = StreamWrite::new(
                    stream(&own),
                    ExpectedVersion::exact(round),
                    vec![event(told)],
                );
                store
                    .append(Append::several(vec![write.trusted(true)]))
                    .await
            }
            _ => {
                let all = ["all-1", &own].map(|name| {
                    StreamWrite::new(stream(name), ExpectedVersion::Any, vec![event(told)])
                });
                store.append(Append::several(all.into())).await
            }
        };
        let appended = appended.unwrap();
        assert_eq!(appended.versions.last().unwrap().get(), round + 1);
        let read = ReadStream::forward(stream(&own)).from(round + 1);
        let page = store.read_stream(read).await.unwrap();
        assert_eq!(page.events.len(), 1);
        assert_eq!(page.events[0].data, format!("{{\"n\":{told}}}"));
        assert_eq!(page.events[0].position, appended.last_position);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_requests_of_several_stores_and_the_statements_of_others_are_not_mixed_up() {
    const ROUNDS: u64 = 12;
    const WORKERS: u64 = 24;
    let place = Place::current(true).await;
    let schemas = [place.new_schema(), place.new_schema()];
    let mut stores = Vec::new();
    for index in 0..4 {
        let options = place.options(&schemas[index % 2]);
        stores.push(options.connect().await.unwrap());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let others = (0..3).map(|number| {
        let (url, stop) = (place.url(), Arc::clone(&stop));
        tokio::spawn(disturb(url, number, stop))
    });
    let others: Vec<_> = others.collect();
    let reads = Arc::new(AtomicU64::new(0));
    let readers = stores.iter().map(|store| {
        let (store, stop, reads) = (store.clone(), Arc::clone(&stop), Arc::clone(&reads));
        tokio::spawn(async move {
            let mut read = ReadAll::forward().limit(7);
            while !stop.load(Ordering::Relaxed) {
                let page = store.read_all(read.clone()).await.unwrap();
                for event in page.events {
                    assert_eq!(event.position.get(), read.after.get() + 1);
                    read.after = event.position;
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            }
        })
    });
    let readers: Vec<_> = readers.collect();
    let workers = (0..WORKERS).map(|number| {
        let store = stores[number as usize % stores.len()].clone();
        tokio::spawn(work(store, number, ROUNDS))
    });
    within("the work", SOON, try_join_all(workers))
        .await
        .unwrap();
    stop.store(true, Ordering::Relaxed);
    let statements = within("the others", SOON, try_join_all(others))
        .await
        .unwrap();
    within("the readers", SOON, try_join_all(readers))
        .await
        .unwrap();
    for store in &stores {
        // Each of two schemas has half of the workers, and every third round has an event more.
        assert_eq!(store.head().await.unwrap(), WORKERS / 2 * ROUNDS * 4 / 3);
    }
    println!(
        "{} rounds, {} events read by followers, {} statements of others",
        WORKERS * ROUNDS,
        reads.load(Ordering::Relaxed),
        statements.iter().sum::<u64>()
    );
}
