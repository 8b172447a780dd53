//! What the scenarios build and compare.

use std::sync::Arc;

use futures::TryStreamExt;
use futures::future::BoxFuture;
use ordain::store::{
    Append, Appended, CommandKey, EventStoreExt, NewLinks, ReadAll, ReadStream, StreamWrite,
};
use ordain::{
    CommandId, EventId, EventStore, ExpectedVersion, NewEvent, RecordedEvent, StoreError, StreamId,
    StreamVersion,
};
use serde_json::{Value, json};
use tokio::sync::Barrier;

/// That the result is an error like this.
macro_rules! assert_fails {
    ($result:expr, $pattern:pat $(if $guard:expr)? $(,)?) => {
        match $result {
            Err($pattern) $(if $guard)? => {}
            other => panic!("expected `{}`, got {other:?}", stringify!($pattern $(if $guard)?)),
        }
    };
}
pub(super) use assert_fails;

pub(super) const ANY: ExpectedVersion = ExpectedVersion::Any;
pub(super) const NO_STREAM: ExpectedVersion = ExpectedVersion::NoStream;
pub(super) const STREAM_EXISTS: ExpectedVersion = ExpectedVersion::StreamExists;

pub(super) fn exactly(version: u64) -> ExpectedVersion {
    ExpectedVersion::exact(version)
}

/// The stream of an account.
pub(super) fn account(id: &str) -> StreamId {
    stream("account", id)
}

pub(super) fn stream(category: &str, id: &str) -> StreamId {
    StreamId::new(category, id).expect("the suite's stream names are valid")
}

/// An event that can be told by its amount.
pub(super) fn deposited(amount: u64) -> NewEvent {
    event("MoneyDeposited", &json!({ "amount": amount }))
}

pub(super) fn deposits(amounts: impl IntoIterator<Item = u64>) -> Vec<NewEvent> {
    amounts.into_iter().map(deposited).collect()
}

pub(super) fn event(event_type: &'static str, data: &Value) -> NewEvent {
    NewEvent::new(event_type, data.to_string().into_bytes())
}

pub(super) fn ids(events: &[NewEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.event_id).collect()
}

pub(super) fn write(
    stream: &StreamId,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
) -> StreamWrite {
    StreamWrite::new(stream.clone(), expected, events)
}

pub(super) async fn append(
    store: &impl EventStore,
    stream: &StreamId,
    expected: ExpectedVersion,
    events: Vec<NewEvent>,
) -> Result<Appended, StoreError> {
    store
        .append(Append::new(stream.clone(), expected, events))
        .await
}

/// Appends deposits of these amounts; returns their ids.
pub(super) async fn given(
    store: &impl EventStore,
    stream: &StreamId,
    amounts: impl IntoIterator<Item = u64>,
) -> Vec<EventId> {
    let events = deposits(amounts);
    let ids = ids(&events);
    let appended = append(store, stream, ANY, events).await;
    appended.unwrap_or_else(|error| panic!("events could not be appended to {stream}: {error}"));
    ids
}

pub(super) async fn link(
    store: &impl EventStore,
    stream: &StreamId,
    expected: ExpectedVersion,
    targets: &[EventId],
) -> Result<Appended, StoreError> {
    let (stream, targets) = (stream.clone(), targets.to_vec());
    let links = NewLinks {
        stream,
        expected,
        targets,
    };
    store.link(links).await
}

/// A command's key and the events it produces on its stream.
pub(super) fn command(
    stream: &StreamId,
    amounts: impl IntoIterator<Item = u64>,
) -> (CommandKey, Vec<NewEvent>) {
    let id = CommandId::new();
    let mut events = deposits(amounts);
    for (event, event_id) in events
        .iter_mut()
        .zip(EventId::of_command(id, stream).iter())
    {
        event.event_id = event_id;
    }
    (CommandKey::new(id, stream.clone()), events)
}

/// All events of a stream, in pages of the default size.
pub(super) async fn read(store: &impl EventStore, stream: &StreamId) -> Vec<RecordedEvent> {
    read_by(store, ReadStream::forward(stream.clone())).await
}

pub(super) async fn read_by(store: &impl EventStore, read: ReadStream) -> Vec<RecordedEvent> {
    let events = store.stream(read).try_collect().await;
    events.unwrap_or_else(|error| panic!("the stream could not be read: {error}"))
}

/// All events of the log but links.
pub(super) async fn log(store: &impl EventStore) -> Vec<RecordedEvent> {
    log_by(store, ReadAll::forward()).await
}

pub(super) async fn log_by(store: &impl EventStore, read: ReadAll) -> Vec<RecordedEvent> {
    let events = store.stream_all(read).try_collect().await;
    events.unwrap_or_else(|error| panic!("the log could not be read: {error}"))
}

pub(super) async fn version(store: &impl EventStore, stream: &StreamId) -> u64 {
    let head = store.stream_head(stream).await;
    head.expect("the stream's head is readable").version.get()
}

pub(super) fn json_of(data: &[u8]) -> Value {
    serde_json::from_slice(data).unwrap_or_else(|error| panic!("a payload is not JSON: {error}"))
}

pub(super) fn amounts(events: &[RecordedEvent]) -> Vec<u64> {
    let amount = |event: &RecordedEvent| json_of(&event.data)["amount"].as_u64();
    events
        .iter()
        .map(|event| amount(event).expect("the event has an amount"))
        .collect()
}

pub(super) fn versions(events: &[RecordedEvent]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event.read_version().get())
        .collect()
}

pub(super) fn positions(events: &[RecordedEvent]) -> Vec<u64> {
    events
        .iter()
        .map(|event| event.read_position().get())
        .collect()
}

pub(super) fn event_ids(events: &[RecordedEvent]) -> Vec<EventId> {
    events.iter().map(|event| event.event_id).collect()
}

pub(super) fn reversed<T>(mut list: Vec<T>) -> Vec<T> {
    list.reverse();
    list
}

#[track_caller]
pub(super) fn assert_conflict<T: std::fmt::Debug>(
    result: Result<T, StoreError>,
    wanted: ExpectedVersion,
    at: u64,
) {
    assert_fails!(
        result,
        StoreError::Conflict { expected, actual, .. }
            if expected == wanted && actual == StreamVersion::new(at)
    );
}

/// Starts the futures in order, each polled once before the next, and waits for all.
pub(super) async fn in_flight<T>(futures: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut started = Vec::with_capacity(futures.len());
    for mut future in futures {
        started.push(match futures::poll!(&mut future) {
            std::task::Poll::Ready(value) => {
                futures::future::Either::Left(std::future::ready(value))
            }
            std::task::Poll::Pending => futures::future::Either::Right(future),
        });
    }
    futures::future::join_all(started).await
}

/// Runs `count` tasks that begin at the same moment.
pub(super) async fn at_once<T: Send + 'static, Fut>(
    count: usize,
    make: impl Fn(usize) -> Fut,
) -> Vec<T>
where
    Fut: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let tasks = (0..count).map(|index| {
        let (barrier, task) = (Arc::clone(&barrier), make(index));
        tokio::spawn(async move {
            barrier.wait().await;
            task.await
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut results = Vec::with_capacity(count);
    for task in tasks {
        results.push(task.await.expect("a task panicked"));
    }
    results
}

/// Says that the store under test cannot do what the scenario is about.
#[allow(
    clippy::print_stderr,
    reason = "the only way a test can say it was not run"
)]
pub(super) fn not_asserted(why: &str) {
    eprintln!("not asserted: {why}");
}

/// Repeatable random numbers (SplitMix64).
#[derive(Debug)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
