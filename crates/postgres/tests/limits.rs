//! What is large, and what comes near the end of numbers.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod wire;

use std::time::{Duration, Instant};

use ordain::store::{Append, ReadAll, ReadStream, StreamWrite};
use ordain::{EventStore, ExpectedVersion, NewEvent, StreamId};
use ordain_postgres::{Payload, PostgresStore};
use ordain_testkit::postgres::Database;
use wire::{event, head, number, one, options, stream, within};

const SOON: Duration = Duration::from_secs(120);

#[tokio::test]
async fn an_append_takes_65536_events() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let events: Vec<_> = (0..65_536).map(event).collect();
    let append = Append::new(stream("a-1"), ExpectedVersion::NoStream, events);
    let began = Instant::now();
    let appended = within("the append", SOON, store.append(append))
        .await
        .unwrap();
    println!("65536 events: {:?}", began.elapsed());
    assert_eq!(
        (appended.last_position.get(), appended.versions[0].get()),
        (65_536, 65_536)
    );
    let many = (0..65_537).map(event).collect();
    let refused = store
        .append(Append::new(stream("a-1"), ExpectedVersion::Any, many))
        .await;
    assert!(refused.unwrap_err().is_refused());
    assert_eq!(head(&store).await, 65_536);
}

/// As somebody does who was told that the outcome is unknown. Another process appends meanwhile.
#[tokio::test]
async fn an_append_of_65536_events_sent_again_is_refused_in_time_and_does_not_hurt_others() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let other = options(&database).connect().await.unwrap();
    let events: Vec<_> = (0..65_536).map(event).collect();
    let to = |name: &str| Append::new(stream(name), ExpectedVersion::NoStream, events.clone());
    store.append(to("a-1")).await.unwrap();
    let began = Instant::now();
    for (name, duplicate) in [("a-1", false), ("b-1", true)] {
        let again = store.append(to(name));
        let both = futures::future::join(again, other.append(one("c-1", 1)));
        let (refused, small) = within("the refusal", SOON, both).await;
        println!("65536 events again, to {name}: {:?}", began.elapsed());
        small.unwrap();
        let error = refused.unwrap_err();
        assert!(
            error.is_duplicate() == duplicate && error.is_conflict() != duplicate,
            "{error:?}"
        );
    }
    assert!(began.elapsed() < Duration::from_secs(10));
    assert_eq!(head(&store).await, 65_538);
}

#[tokio::test]
async fn an_append_takes_2000_streams() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    for round in 1..=2 {
        let write = |n: u64| {
            StreamWrite::new(
                stream(&format!("a-{n}")),
                ExpectedVersion::exact(round - 1),
                vec![event(n)],
            )
        };
        let append = Append::several((0..2_000).map(write).collect());
        let began = Instant::now();
        let appended = within("the append", SOON, store.append(append))
            .await
            .unwrap();
        println!("2000 streams, round {round}: {:?}", began.elapsed());
        assert_eq!(appended.last_position.get(), 2_000 * round);
        assert!(appended.versions.iter().all(|version| *version == round));
    }
    // One stream is not as expected, and none is written.
    let write = |n: u64| {
        let expected = if n == 1_999 { 1 } else { 2 };
        StreamWrite::new(
            stream(&format!("a-{n}")),
            ExpectedVersion::exact(expected),
            vec![event(n)],
        )
    };
    let refused = store
        .append(Append::several((0..2_000).map(write).collect()))
        .await;
    assert!(refused.unwrap_err().is_conflict());
    assert_eq!(head(&store).await, 4_000);
}

fn payload(bytes: usize) -> String {
    format!("{{\"text\":\"{}\"}}", "x".repeat(bytes - 11))
}

/// Many payloads in one append.
fn large(name: &str, count: usize, bytes: usize) -> Append {
    let data = bytes::Bytes::from(payload(bytes));
    let events = (0..count).map(|_| NewEvent::new("large", data.clone()));
    Append::new(stream(name), ExpectedVersion::NoStream, events.collect())
}

/// A large append, and small ones of this process and of another one meanwhile.
async fn hurts_nobody(payload: Payload, count: usize, bytes: usize) {
    let database = Database::create().await;
    let open = || options(&database).payload(payload).connect();
    let store: PostgresStore = open().await.unwrap();
    let other = open().await.unwrap();
    let bulk = large("large-1", count, bytes);
    let began = Instant::now();
    let appending = tokio::spawn({
        let store = store.clone();
        async move { (store.append(bulk).await, Instant::now()) }
    });
    // The large one is handed over first.
    tokio::task::yield_now().await;
    let small = futures::future::join(
        async { (store.append(one("own-1", 1)).await, Instant::now()) },
        async { (other.append(one("other-1", 1)).await, Instant::now()) },
    );
    let (own, others) = within("the small appends", SOON, small).await;
    let (appended, ended) = within("the large append", SOON, appending).await.unwrap();
    println!(
        "{payload:?}, {} MiB: {:?}; small ones: {:?} here, {:?} elsewhere",
        (count * bytes) >> 20,
        ended - began,
        own.1 - began,
        others.1 - began
    );
    own.0.unwrap();
    others.0.unwrap();
    assert_eq!(appended.unwrap().versions[0].get(), count as u64);
    let sql = "SELECT sum(octet_length(data::text)) FROM ordain.events WHERE event_type = 'large'";
    if payload == Payload::Json {
        assert_eq!(number(&database, sql).await, (count * bytes) as i64);
    }
    store.append(one("own-1", 2)).await.unwrap();
}

#[tokio::test]
async fn an_append_of_64_mib_does_not_hurt_others() {
    hurts_nobody(Payload::Json, 64, 1 << 20).await;
}

/// The whole of what is allowed.
#[tokio::test]
async fn an_append_of_256_mib_does_not_hurt_others() {
    hurts_nobody(Payload::Json, 16, 16 << 20).await;
}

#[tokio::test]
async fn an_append_of_256_mib_in_jsonb_does_not_hurt_others() {
    hurts_nobody(Payload::Jsonb, 16, 16 << 20).await;
}

#[tokio::test]
async fn an_append_beyond_256_mib_is_refused_before_it_is_sent() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    let refused = store.append(large("a-1", 257, 1 << 20)).await;
    assert!(refused.unwrap_err().is_refused());
    assert_eq!(head(&store).await, 0);
}

#[tokio::test]
async fn positions_end_clearly() {
    let database = Database::create().await;
    let outage = Duration::from_secs(3);
    let store = options(&database)
        .outage_timeout(outage)
        .connect()
        .await
        .unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let last = i64::MAX - 2;
    database
        .execute(&format!(
            "UPDATE ordain.log_head SET floor = {last}, generation = generation + 1"
        ))
        .await
        .unwrap();
    for n in 2..=3 {
        let appended = within("an append", SOON, store.append(one("a-1", n))).await;
        assert_eq!(appended.unwrap().first_position.get(), last as u64 + n - 1);
    }
    // None is left, neither for an event alone, nor for several, nor in a transaction.
    let began = Instant::now();
    let alone = within("an append", SOON, store.append(one("a-1", 4))).await;
    println!(
        "without a position left: {alone:?} in {:?}",
        began.elapsed()
    );
    let error = alone.unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
    assert!(!error.is_outcome_unknown(), "{error:?}");
    let several = Append::new(
        stream("b-1"),
        ExpectedVersion::Any,
        vec![event(1), event(2)],
    );
    within("several", SOON, store.append(several))
        .await
        .unwrap_err();
    let mut tx = store.begin().await.unwrap();
    tx.append(one("b-1", 1)).unwrap();
    tx.commit().await.unwrap_err();
    let name = stream("a-1");
    let deleted = store.delete_stream(&name, ExpectedVersion::Any, ordain::store::Deletion::Soft);
    within("a deletion", SOON, deleted).await.unwrap_err();
    // What is there can be read.
    assert_eq!(head(&store).await, i64::MAX as u64);
    let page = store.read_stream(ReadStream::forward(name)).await.unwrap();
    assert_eq!(page.events.len(), 3);
    // A page is so many positions, whether events stand there or not.
    let last_ones = ReadAll::forward().after(last as u64);
    let log = store.read_all(last_ones).await.unwrap();
    assert!(log.events.len() == 2 && log.at_end);
    let beyond = ReadAll::forward().after(i64::MAX as u64);
    assert!(store.read_all(beyond).await.unwrap().at_end);
    assert_eq!(
        number(&database, "SELECT count(*) FROM ordain.events").await,
        3
    );
}

#[tokio::test]
async fn the_event_at_the_last_position_is_read_backward() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let last = i64::MAX - 1;
    let raise = "UPDATE ordain.log_head SET generation = generation + 1, floor";
    let raise = format!("{raise} = {last}");
    database.execute(&raise).await.unwrap();
    store.append(one("a-1", 1)).await.unwrap();
    let log = store.read_all(ReadAll::backward()).await.unwrap();
    assert_eq!(log.events.len(), 1);
}

#[tokio::test]
async fn an_empty_store_whose_numbers_were_raised_takes_appends() {
    let database = Database::create().await;
    let options = options(&database).outage_timeout(Duration::from_secs(2));
    let store = options.connect().await.unwrap();
    let raise = "UPDATE ordain.log_head SET floor = 100, generation = generation + 1";
    database.execute(raise).await.unwrap();
    let appended = store.append(one("a-1", 1)).await.unwrap();
    assert_eq!(appended.first_position.get(), 101);
}

#[tokio::test]
async fn a_name_of_1024_bytes_of_characters_of_several_bytes_is_kept() {
    let database = Database::create().await;
    let store = options(&database).connect().await.unwrap();
    for character in ["ß", "語", "🦀"] {
        let fill = StreamId::LEN_MAX - 2;
        let id = character.repeat(fill / character.len());
        let pad = "x".repeat(StreamId::LEN_MAX - 2 - id.len());
        let name = StreamId::new("a", &format!("{id}{pad}")).unwrap();
        assert_eq!(name.to_string().len(), StreamId::LEN_MAX);
        let write = |n| Append::new(name.clone(), ExpectedVersion::exact(n), vec![event(n)]);
        store.append(write(0)).await.unwrap();
        store.append(write(1)).await.unwrap();
        let page = store.read_stream(ReadStream::forward(name.clone())).await;
        let events = page.unwrap().events;
        assert!(events.len() == 2 && events.iter().all(|event| event.stream == name));
    }
    assert_eq!(
        number(&database, "SELECT count(*) FROM ordain.streams").await,
        3
    );
}
