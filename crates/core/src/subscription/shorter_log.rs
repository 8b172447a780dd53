//! Following a log that has become shorter, as after a restore or a fail-over.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::feed::{Chunk, Feed};
use super::tail::{TailHandle, TailOptions};
use crate::store::{
    Append, Appended, Arrivals, CommandKey, Deletion, Filter, LogPage, NewLinks, NewOutcome,
    ReadAll, ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
};
use crate::{
    Codec, EventStore, ExpectedVersion, GlobalPosition, MemoryStore, NewEvent, Snapshot,
    StoreError, StreamId,
};

const PATIENCE: Duration = Duration::from_secs(10);

/// A store whose log can be put in the place of another one.
struct Restored {
    codec: Codec,
    arrivals: Option<Arrivals>,
    now: RwLock<MemoryStore>,
}

impl Restored {
    fn now(&self) -> MemoryStore {
        self.now.read().unwrap().clone()
    }

    async fn restore(&self, events: usize) {
        let store = log_of(events).await;
        *self.now.write().unwrap() = store;
    }

    async fn appended(&self) {
        append(&self.now(), 1).await;
    }
}

/// Has each method carried out by the log of now.
macro_rules! forwarded {
    ($($name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl EventStore for Restored {
            fn codec(&self) -> &Codec {
                &self.codec
            }

            fn arrivals(&self) -> Option<&Arrivals> {
                self.arrivals.as_ref()
            }

            $(async fn $name(&self, $($arg: $type),*) -> Result<$answer, StoreError> {
                self.now().$name($($arg),*).await
            })*

            async fn close(&self) {}
        }
    };
}

forwarded! {
    append(append: Append) -> Appended;
    record_outcome(outcome: NewOutcome) -> ();
    find_repeat(command: &CommandKey) -> Option<Repeat>;
    forget_outcomes(before: OffsetDateTime) -> u64;
    link(links: NewLinks) -> Appended;
    delete_stream(stream: &StreamId, expected: ExpectedVersion, deletion: Deletion) -> StreamHead;
    undelete_stream(stream: &StreamId) -> StreamHead;
    read_stream(read: ReadStream) -> StreamPage;
    read_all(read: ReadAll) -> LogPage;
    stream_head(stream: &StreamId) -> StreamHead;
    stream_info(stream: &StreamId) -> StreamInfo;
    list_streams(query: StreamQuery) -> StreamList;
    head() -> GlobalPosition;
    position_at(time: OffsetDateTime) -> GlobalPosition;
    record_snapshot(snapshot: Snapshot) -> ();
    read_snapshot(stream: &StreamId) -> Snapshot;
    delete_snapshot(stream: &StreamId) -> ();
}

async fn append(store: &MemoryStore, count: usize) {
    let events = (0..count).map(|_| NewEvent::new("Seen", "{}")).collect();
    let stream = "seen-1".parse().unwrap();
    let append = Append::new(stream, ExpectedVersion::Any, events);
    store.append(append).await.unwrap();
}

async fn log_of(events: usize) -> MemoryStore {
    let store = MemoryStore::new();
    append(&store, events).await;
    store
}

async fn store_of(events: usize, arrivals: Option<Arrivals>) -> Arc<Restored> {
    let log = log_of(events).await;
    Arc::new(Restored {
        codec: log.codec().clone(),
        arrivals,
        now: RwLock::new(log),
    })
}

fn followed(store: &Arc<Restored>, poll: Duration) -> TailHandle {
    let options = TailOptions { poll, page: 100 };
    let store = Arc::clone(store) as Arc<dyn EventStore>;
    let (tail, run) = TailHandle::new(store, options, CancellationToken::new());
    tokio::spawn(run);
    tail
}

fn feed(store: &Arc<Restored>, tail: &TailHandle, after: u64) -> Feed {
    let store = Arc::clone(store) as Arc<dyn EventStore>;
    Feed::new(store, tail.clone(), Filter::all(), 100, after.into())
}

async fn next(feed: &mut Feed) -> Result<Option<Chunk>, StoreError> {
    let next = tokio::time::timeout(PATIENCE, feed.next()).await;
    next.expect("nothing comes")
}

async fn read_to(feed: &mut Feed, position: u64) {
    let chunk = next(feed).await.unwrap().unwrap();
    assert_eq!(chunk.to, position);
}

/// Has it become live, which is seen by what comes without a page.
async fn live(feed: &mut Feed) {
    let waits = tokio::time::timeout(PATIENCE, async {
        while !feed.is_live() {
            assert!(feed.ready().is_none());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    waits.await.expect("it does not become live");
}

#[tokio::test]
async fn who_begins_after_a_restore_hears_of_what_comes() {
    let poll = Duration::from_millis(10);
    let store = store_of(5, None).await;
    let tail = followed(&store, poll);
    let mut before = feed(&store, &tail, 0);
    read_to(&mut before, 5).await;
    live(&mut before).await;
    store.restore(3).await;
    let mut after = feed(&store, &tail, 3);
    live(&mut after).await;
    store.appended().await;
    read_to(&mut after, 4).await;
}

#[tokio::test]
async fn who_has_come_further_than_the_log_is_told_and_ends() {
    let poll = Duration::from_millis(10);
    let store = store_of(5, None).await;
    let tail = followed(&store, poll);
    let mut feed = feed(&store, &tail, 0);
    read_to(&mut feed, 5).await;
    live(&mut feed).await;
    store.restore(3).await;
    let error = next(&mut feed).await.unwrap_err().to_string();
    assert!(error.contains("the log ends at 3"), "{error}");
    assert!(next(&mut feed).await.unwrap().is_none());
}

#[tokio::test]
async fn a_restore_is_noticed_however_much_is_told() {
    let poll = Duration::from_millis(200);
    let arrivals = Arrivals::new();
    let store = store_of(5, Some(arrivals.clone())).await;
    let tail = followed(&store, poll);
    let mut feed = feed(&store, &tail, 0);
    read_to(&mut feed, 5).await;
    live(&mut feed).await;
    store.restore(3).await;
    let told = async {
        loop {
            arrivals.announce();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        heard = next(&mut feed) => assert!(heard.is_err()),
        () = told => {}
    }
}
