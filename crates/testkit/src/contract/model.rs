//! A model of pipelined writers and a foreign one.
//!
//! Each writer keeps several appends to one stream in flight, each resting on the one before; when one
//! fails, those behind it are given up and the writer begins anew on the stream as it is. A foreign
//! writer appends in between, calls fail before and after the commit, futures are dropped. At the end
//! every event must follow the very entry it was decided on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use ordain::store::{Append, Appended, StreamHead};
use ordain::{EventId, EventStore, NewEvent, RecordedEvent, StoreError, StreamId};
use serde_json::json;
use tokio::task::JoinHandle;

use super::StoreFixture;
use super::support::*;
use crate::{Call, Fault, FaultyStore};

/// How many appends a writer has in flight at the most.
const DEPTH_MAX: usize = 8;

/// How many streams there are.
const STREAMS: usize = 2;

/// What happens, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A writer sends its next append of so many events (at least one).
    Send {
        /// Which writer; taken modulo the number of writers.
        writer: u8,
        /// How many events.
        events: u8,
        /// What goes wrong with it.
        fault: Option<Fault>,
    },
    /// A writer waits for its oldest append.
    Settle {
        /// Which writer.
        writer: u8,
    },
    /// A writer drops all its futures.
    Abandon {
        /// Which writer.
        writer: u8,
    },
    /// Somebody else appends to a stream, whatever its version.
    Foreign {
        /// Which stream; taken modulo the number of streams.
        stream: u8,
        /// How many events.
        events: u8,
    },
}

impl Script {
    /// A random script of so many steps; the same for the same seed.
    pub fn seeded(seed: u64, len: usize) -> Self {
        let mut random = Random::new(seed);
        let steps = (0..len).map(|_| Step::random(&mut random)).collect();
        Self { steps }
    }
}

impl Step {
    fn random(random: &mut Random) -> Self {
        let writer = random.below(4) as u8;
        let events = 1 + random.below(3) as u8;
        match random.below(12) {
            0..=6 => Self::Send {
                writer,
                events,
                fault: match random.below(12) {
                    0 => Some(Fault::BeforeCommit),
                    1 => Some(Fault::AfterCommit),
                    2 => Some(Fault::ReplyLost),
                    3 => Some(Fault::Conflict),
                    _ => None,
                },
            },
            7..=9 => Self::Settle { writer },
            10 => Self::Foreign {
                stream: random.below(STREAMS as u64) as u8,
                events,
            },
            _ => Self::Abandon { writer },
        }
    }
}

/// Random scripts, one task; writers and the foreign one take turns as the script says.
pub async fn pipelined_and_foreign_writers_leave_no_hole<F: StoreFixture>(fixture: &F) {
    for seed in 0..8 {
        keeps_the_model(fixture, &Script::seeded(seed, 120)).await;
    }
}

/// The same at once: every writer is a task of its own, and so is the foreign one.
pub async fn concurrent_pipelined_writers_leave_no_hole<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(FaultyStore::new(fixture.open().await));
    let logs = at_once(5, |task| {
        let store = Arc::clone(&store);
        async move {
            let script = Script::seeded(100 + task as u64, 80);
            let mut writer = Writer::new(Arc::clone(&store), task);
            for step in script.steps {
                tokio::task::yield_now().await;
                match step {
                    // Faults are armed for the next call of anybody, so they need a single task.
                    Step::Send { events, .. } if task < 4 => writer.send(events, None).await,
                    Step::Settle { .. } => writer.settle().await,
                    Step::Abandon { .. } => writer.abandon(),
                    Step::Foreign { stream, events }
                    | Step::Send {
                        writer: stream,
                        events,
                        ..
                    } => {
                        foreign(&*store, usize::from(stream), events).await;
                    }
                }
            }
            writer.settle_all().await;
            writer.log
        }
    });
    let logs = logs.await;
    assert_model(store.inner(), &logs).await;
}

/// Plays a script on a fresh store, and checks what is stored at the end.
///
/// # Panics
/// If a stream or the log has a hole, an event does not follow the entry it was decided on, or an
/// append's answer was not true.
pub async fn keeps_the_model<F: StoreFixture>(fixture: &F, script: &Script) {
    let store = Arc::new(FaultyStore::new(fixture.open().await));
    let mut writers: Vec<_> = (0..4)
        .map(|index| Writer::new(Arc::clone(&store), index))
        .collect();
    let count = writers.len();
    for step in &script.steps {
        match *step {
            Step::Send {
                writer,
                events,
                fault,
            } => {
                writers[usize::from(writer) % count]
                    .send(events, fault)
                    .await;
            }
            Step::Settle { writer } => writers[usize::from(writer) % count].settle().await,
            Step::Abandon { writer } => writers[usize::from(writer) % count].abandon(),
            Step::Foreign { stream, events } => foreign(&store, usize::from(stream), events).await,
        }
    }
    let mut logs = Vec::new();
    for mut writer in writers {
        writer.settle_all().await;
        logs.push(writer.log);
    }
    assert_model(store.inner(), &logs).await;
    store.close().await;
}

/// What a writer knows of its appends.
#[derive(Debug, Default)]
struct Answers {
    stored: Vec<(Vec<EventId>, Appended)>,
    refused: Vec<EventId>,
}

/// An append under way, driven by a task of its own once it was polled first.
struct InFlight {
    append: Append,
    ids: Vec<EventId>,
    reply: Reply,
}

enum Reply {
    Ready(Result<Appended, StoreError>),
    Pending(JoinHandle<Result<Appended, StoreError>>),
}

impl Reply {
    async fn answer(self) -> Result<Appended, StoreError> {
        match self {
            Self::Ready(answer) => answer,
            Self::Pending(task) => task.await.expect("an append panicked"),
        }
    }

    fn abandon(self) {
        if let Self::Pending(task) = self {
            task.abort();
        }
    }
}

struct Writer<S> {
    store: Arc<FaultyStore<S>>,
    stream: StreamId,
    /// Version and entry that the next append rests on; unknown at first and after a failure.
    tip: Option<(u64, Option<EventId>)>,
    in_flight: VecDeque<InFlight>,
    log: Answers,
}

impl<S: EventStore> Writer<S> {
    fn new(store: Arc<FaultyStore<S>>, index: usize) -> Self {
        Self {
            store,
            stream: nth_stream(index),
            tip: None,
            in_flight: VecDeque::new(),
            log: Answers::default(),
        }
    }

    /// Sends the next append, on the state that those in flight will leave.
    async fn send(&mut self, events: u8, fault: Option<Fault>) {
        while self.in_flight.len() >= DEPTH_MAX {
            self.settle().await;
        }
        let (version, entry) = match self.tip {
            Some(tip) => tip,
            None => {
                let head = head(&self.store, &self.stream).await;
                (head.version.get(), head.entry)
            }
        };
        let events = decided_on(entry, events);
        let ids = ids(&events);
        let write = write(&self.stream, exactly(version), events).building_on(entry);
        if let Some(fault) = fault {
            self.store.faults().fail_next(Call::Append, fault);
        }
        let append = Append::several(vec![write]);
        let reply = start(Arc::clone(&self.store), append.clone()).await;
        self.tip = Some((version + ids.len() as u64, ids.last().copied()));
        self.in_flight.push_back(InFlight { append, ids, reply });
    }

    /// Waits for the oldest append; if it failed, nothing that rests on it may have been stored.
    async fn settle(&mut self) {
        let Some(InFlight { append, ids, reply }) = self.in_flight.pop_front() else {
            return;
        };
        match reply.answer().await {
            Ok(appended) => self.log.stored.push((ids, appended)),
            Err(StoreError::OutcomeUnknown { .. }) => {
                self.tip = None;
                self.send_again(append, ids).await;
            }
            Err(_) => {
                self.log.refused.extend(ids);
                self.give_up_the_rest().await;
            }
        }
        if self.tip.is_none() {
            Box::pin(self.settle_all()).await;
        }
    }

    /// Sends an append of unknown outcome again, with the same ids: it is stored once.
    async fn send_again(&mut self, append: Append, ids: Vec<EventId>) {
        if let Ok(appended) = self.store.inner().append(append).await {
            self.log.stored.push((ids, appended));
        }
    }

    async fn give_up_the_rest(&mut self) {
        self.tip = None;
        while let Some(InFlight { ids, reply, .. }) = self.in_flight.pop_front() {
            match reply.answer().await {
                Ok(_) => panic!("an append was stored although what it rests on was refused"),
                Err(StoreError::OutcomeUnknown { .. }) => {}
                Err(_) => self.log.refused.extend(ids),
            }
        }
    }

    async fn settle_all(&mut self) {
        while !self.in_flight.is_empty() {
            self.settle().await;
        }
    }

    fn abandon(&mut self) {
        let dropped = self.in_flight.drain(..);
        dropped.for_each(|append| append.reply.abandon());
        self.tip = None;
    }
}

/// Polls the append once, so that it has its place in the order, and leaves the rest to a task.
async fn start<S: EventStore>(store: Arc<FaultyStore<S>>, append: Append) -> Reply {
    let mut append = Box::pin(async move { store.append(append).await });
    match futures::poll!(&mut append) {
        std::task::Poll::Ready(answer) => Reply::Ready(answer),
        std::task::Poll::Pending => Reply::Pending(tokio::spawn(append)),
    }
}

async fn head<S: EventStore>(store: &FaultyStore<S>, stream: &StreamId) -> StreamHead {
    let head = store.inner().stream_head(stream).await;
    head.expect("the stream's head is readable")
}

async fn foreign<S: EventStore>(store: &FaultyStore<S>, stream: usize, events: u8) {
    let append = Append::new(
        nth_stream(stream),
        ANY,
        deposits(0..u64::from(events.max(1))),
    );
    let appended = store.inner().append(append).await;
    appended.expect("any version fits");
}

fn nth_stream(index: usize) -> StreamId {
    account(&(index % STREAMS).to_string())
}

/// Events that name the entry before them.
fn decided_on(mut entry: Option<EventId>, count: u8) -> Vec<NewEvent> {
    let next = |_| {
        let on = entry.map(|entry| entry.to_string());
        let event = event("Decided", &json!({ "on": on }));
        entry = Some(event.event_id);
        event
    };
    (0..count.max(1)).map(next).collect()
}

async fn assert_model(store: &impl EventStore, logs: &[Answers]) {
    let log = log(store).await;
    let expected: Vec<_> = (1..=log.len() as u64).collect();
    assert_eq!(
        positions(&log),
        expected,
        "the log has a hole or a position twice"
    );
    let mut last: HashMap<&StreamId, &RecordedEvent> = HashMap::new();
    for event in &log {
        let before = last.insert(&event.stream, event);
        let version = before.map_or(0, |before| before.version.get());
        assert_eq!(event.version, version + 1, "{} has a hole", event.stream);
        if event.event_type == "Decided" {
            let entry = before.map(|before| before.event_id.to_string());
            let on = json_of(&event.data)["on"].as_str().map(str::to_owned);
            assert_eq!(
                on, entry,
                "an event follows another entry than it was decided on"
            );
        }
    }
    let places: HashMap<_, _> = log
        .iter()
        .map(|event| (event.event_id, event.position))
        .collect();
    assert_eq!(places.len(), log.len(), "an event stands in the log twice");
    for (ids, appended) in logs.iter().flat_map(|log| &log.stored) {
        let found: HashSet<_> = ids.iter().map(|id| places[id].get()).collect();
        let said = appended.first_position.get()..=appended.last_position.get();
        assert_eq!(
            found,
            said.collect(),
            "an append stands elsewhere than it said"
        );
    }
    for id in logs.iter().flat_map(|log| &log.refused) {
        assert!(!places.contains_key(id), "a refused event is in the log");
    }
}
