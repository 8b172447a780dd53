//! Whether a store answers any sequence of requests as the store in memory does.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::join_all;
use ordain::store::{
    Append, Chain, CommandKey, Deletion, Direction, Filter, MemoryOptions, NewLinks, NewOutcome,
    ReadAll, ReadStream, StreamQuery, StreamSort, StreamWrite,
};
use ordain::{
    CausationId, Clock, CommandId, CorrelationId, EventId, EventStore, ExpectedVersion,
    GlobalPosition, MemoryStore, Metadata, NewEvent, Snapshot, StreamId, StreamVersion,
};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::ManualClock;
use crate::contract::StoreFixture;

const STREAMS: [&str; 9] = [
    "account-1",
    "account-2",
    "account-%",
    "account-_\u{e9}'\"",
    "order-1",
    "order-\u{1f980} two",
    "\u{fc}ber-1",
    "list-1",
    "list-2",
];

const TYPES: [&str; 4] = ["opened", "closed", "Ge\u{e4}ndert", "we'ird %"];

/// Asks the store in memory and one of this fixture the same, as the seed wills, and compares the answers.
///
/// Requests come one by one and in bursts, the latter all at once; they contain chains, stale and foreign
/// versions, repeated commands, and what stores refuse. A store without a
/// [clock](StoreFixture::open_with_clock) is asked through two handles in turn, if there is
/// [such a thing](StoreFixture::open_another_handle), and its times are not compared.
///
/// # Panics
/// If an answer differs, with both of them and the requests before.
pub async fn answers_as_memory_does<F: StoreFixture>(fixture: &F, seed: u64, steps: usize) {
    let mut pair = Pair::open(fixture, seed).await;
    pair.run(steps).await;
    for store in &pair.stores {
        store.close().await;
    }
}

/// One request.
#[derive(Debug, Clone)]
enum Call {
    /// And whether it rests on those before it in the burst.
    Append(Append, bool),
    Outcome(NewOutcome),
    FindRepeat(CommandKey),
    Forget(OffsetDateTime),
    Link(NewLinks),
    Delete(StreamId, ExpectedVersion, Deletion),
    Undelete(StreamId),
    ReadStream(ReadStream),
    ReadAll(ReadAll),
    Head(StreamId),
    Info(StreamId),
    List(StreamQuery),
    LogHead,
    PositionAt(OffsetDateTime),
    RecordSnapshot(Snapshot),
    ReadSnapshot(StreamId),
    DeleteSnapshot(StreamId),
}

async fn answer(store: &dyn EventStore, call: Call) -> String {
    match call {
        Call::Append(append, _) => format!("{:?}", store.append(append).await),
        Call::Outcome(outcome) => format!("{:?}", store.record_outcome(outcome).await),
        Call::FindRepeat(command) => format!("{:?}", store.find_repeat(&command).await),
        Call::Forget(before) => format!("{:?}", store.forget_outcomes(before).await),
        Call::Link(links) => format!("{:?}", store.link(links).await),
        Call::Delete(stream, expected, deletion) => {
            format!(
                "{:?}",
                store.delete_stream(&stream, expected, deletion).await
            )
        }
        Call::Undelete(stream) => format!("{:?}", store.undelete_stream(&stream).await),
        Call::ReadStream(read) => format!("{:?}", store.read_stream(read).await),
        Call::ReadAll(read) => format!("{:?}", store.read_all(read).await),
        Call::Head(stream) => format!("{:?}", store.stream_head(&stream).await),
        Call::Info(stream) => format!("{:?}", store.stream_info(&stream).await),
        Call::List(query) => format!("{:?}", store.list_streams(query).await),
        Call::LogHead => format!("{:?}", store.head().await),
        Call::PositionAt(time) => format!("{:?}", store.position_at(time).await),
        Call::RecordSnapshot(snapshot) => format!("{:?}", store.record_snapshot(snapshot).await),
        Call::ReadSnapshot(stream) => format!("{:?}", store.read_snapshot(&stream).await),
        Call::DeleteSnapshot(stream) => format!("{:?}", store.delete_snapshot(&stream).await),
    }
}

/// Both stores, and what the requests are made from.
struct Pair<S> {
    seed: u64,
    random: Random,
    memory: MemoryStore,
    /// Handles of the store under test.
    stores: Vec<S>,
    clock: ManualClock,
    now: i64,
    /// Whether the store under test has the same clock.
    same_clock: bool,
    /// Ids that the stores made themselves, for links and tombstones: those in memory, and their like.
    own_ids: HashMap<EventId, EventId>,
    used_ids: Vec<EventId>,
    commands: Vec<CommandKey>,
    calls: Vec<String>,
}

impl<S: EventStore> Pair<S> {
    async fn open<F: StoreFixture<Store = S>>(fixture: &F, seed: u64) -> Self {
        let now = 1_700_000_000_000_000;
        let clock = ManualClock::starting_at(at(now));
        let options = MemoryOptions::new().hard_deletes(true);
        let shared: Arc<dyn Clock> = Arc::new(clock.clone());
        let (stores, same_clock) = match fixture.open_with_clock(Arc::clone(&shared)).await {
            Some(store) => (vec![store], true),
            None => {
                let store = fixture.open().await;
                let other = fixture.open_another_handle(&store).await;
                (std::iter::once(store).chain(other).collect(), false)
            }
        };
        Self {
            seed,
            random: Random::new(seed),
            memory: MemoryStore::with_options(options.clock(shared)),
            stores,
            clock,
            now,
            same_clock,
            own_ids: HashMap::new(),
            used_ids: Vec::new(),
            commands: Vec::new(),
            calls: Vec::new(),
        }
    }

    fn move_clock(&mut self) {
        self.now += match self.random.below(10) {
            0 => -(self.random.below(5_000) as i64),
            1..4 => 0,
            _ => self.random.below(1_000) as i64,
        };
        self.clock.set(at(self.now));
    }

    fn stream(&mut self) -> StreamId {
        stream(self.random.pick::<&str>(&STREAMS))
    }

    fn uuid(&mut self) -> Uuid {
        let (high, low) = (self.random.number(), self.random.number());
        Uuid::from_u64_pair(high << 16 | low >> 32, low << 20 | high)
    }

    fn event_id(&mut self) -> EventId {
        if !self.used_ids.is_empty() && self.random.chance(4) {
            return self.random.pick(&self.used_ids);
        }
        let id = EventId::from_uuid(self.uuid());
        self.used_ids.push(id);
        id
    }

    fn event(&mut self) -> NewEvent {
        let event_type = self.random.pick(&TYPES);
        let data = match self.random.below(40) {
            0 => "{\"broken\":".to_owned(),
            1 => "{\"nul\":\"\\u0000\"}".to_owned(),
            2 => format!("{{\"text\":\"{}\"}}", "x".repeat(9_000)),
            number => format!("{{\"n\": {number}, \"\u{e4}\":\"\u{1f980}\"}}"),
        };
        let mut event = NewEvent::new(event_type, data);
        event.event_id = self.event_id();
        if self.random.chance(2) {
            event.event_type = "$mine".into();
        }
        event.schema_version = match self.random.below(30) {
            0 => 0,
            1 => i32::MAX as u32,
            2 => u32::MAX,
            _ => 1,
        };
        if self.random.chance(30) {
            event.metadata = Arc::new(self.metadata());
        }
        if self.random.chance(50) {
            event.correlation_id = Some(CorrelationId::from_uuid(self.uuid()));
        }
        if self.random.chance(50) {
            event.causation_id = Some(CausationId::from_uuid(self.uuid()));
        }
        event
    }

    fn metadata(&mut self) -> Metadata {
        let mut metadata = Metadata::new();
        metadata.actor = self.random.chance(50).then(|| "J\u{f6}rg".to_owned());
        metadata.tenant = self.random.chance(50).then(|| "t".to_owned());
        let occurred = self.random.chance(30);
        metadata.occurred_at = occurred.then(|| at(self.now - 1_000_000));
        if self.random.chance(30) {
            let value = serde_json::json!({"deep": [1, 2.5, null, "\u{e9}"]});
            metadata.custom.insert("more".into(), value);
        }
        metadata
    }

    fn expected(&mut self, actual: StreamVersion) -> ExpectedVersion {
        match self.random.below(12) {
            0..3 => ExpectedVersion::Any,
            3 => ExpectedVersion::NoStream,
            4 => ExpectedVersion::StreamExists,
            5 => ExpectedVersion::exact(actual.get().wrapping_sub(1)),
            6 => ExpectedVersion::exact(u64::MAX),
            7 => ExpectedVersion::exact(actual.get() + 1),
            _ => ExpectedVersion::Exact(actual),
        }
    }

    async fn write(
        &mut self,
        stream: StreamId,
        later: &mut HashMap<StreamId, (u64, EventId)>,
    ) -> StreamWrite {
        let head = self
            .memory
            .stream_head(&stream)
            .await
            .expect("the head is readable");
        let (version, entry) = match later.get(&stream) {
            Some((version, entry)) => (StreamVersion::new(*version), Some(*entry)),
            None => (head.version, head.entry),
        };
        let expected = self.expected(version);
        let most = if self.random.chance(5) { 70 } else { 4 };
        let count = 1 + self.random.below(most);
        let events: Vec<_> = (0..count).map(|_| self.event()).collect();
        if let Some(last) = events.last() {
            later.insert(stream.clone(), (version.get() + count, last.event_id));
        }
        let builds_on = match self.random.below(10) {
            0..4 => entry,
            4 => Some(EventId::from_uuid(self.uuid())),
            _ => None,
        };
        let events = if self.random.chance(1) {
            Vec::new()
        } else {
            events
        };
        let trusted = self.random.chance(50);
        StreamWrite::new(stream, expected, events)
            .building_on(builds_on)
            .trusted(trusted)
    }

    fn command(&mut self, stream: &StreamId) -> CommandKey {
        if !self.commands.is_empty() && self.random.chance(40) {
            return self.random.pick(&self.commands);
        }
        let id = if self.random.chance(50) {
            CommandId::from_uuid(self.uuid())
        } else {
            CommandId::at_unix_millis(self.now as u64 / 1_000)
        };
        let key = CommandKey::new(id, stream.clone());
        self.commands.push(key.clone());
        key
    }

    async fn append(&mut self, later: &mut HashMap<StreamId, (u64, EventId)>) -> Append {
        let several = if self.random.chance(20) {
            1 + self.random.below(3)
        } else {
            1
        };
        let mut writes = Vec::new();
        for _ in 0..several {
            let stream = self.stream();
            writes.push(self.write(stream, later).await);
        }
        let mut append = Append::several(writes);
        if self.random.chance(25) {
            append = self.with_command(append);
        }
        if self.random.chance(3) {
            let earliest = self.clock.instant().min(Instant::now());
            append.deadline = Some(earliest - Duration::from_secs(1));
        }
        if self.random.chance(1) {
            append.writes.clear();
        }
        append
    }

    fn with_command(&mut self, mut append: Append) -> Append {
        let stream = if self.random.chance(85) {
            append.writes[0].stream.clone()
        } else {
            self.stream()
        };
        let command = self.command(&stream);
        if command.stream == append.writes[0].stream {
            let ids = EventId::of_command(command.id, &command.stream);
            let events = append.writes[0].events.iter_mut();
            for (event, id) in events.zip(ids.iter()) {
                event.event_id = id;
            }
        }
        append.for_command(command)
    }

    async fn outcome(&mut self) -> NewOutcome {
        let stream = self.stream();
        let command = self.command(&stream);
        let head = self
            .memory
            .stream_head(&command.stream)
            .await
            .expect("the head is readable");
        let stale = self.random.chance(20);
        NewOutcome {
            version: if stale {
                head.version.next()
            } else {
                head.version
            },
            entry: head.entry.filter(|_| !self.random.chance(5)),
            data: Bytes::from(vec![0, 159, self.random.below(256) as u8]),
            command,
        }
    }

    async fn links(&mut self) -> NewLinks {
        let stream = if self.random.chance(90) {
            stream(self.random.pick::<&str>(&STREAMS[7..]))
        } else {
            self.stream()
        };
        let actual = self
            .memory
            .stream_head(&stream)
            .await
            .expect("the head is readable")
            .version;
        let count = self.random.below(4) + u64::from(self.random.chance(95));
        let mut targets = Vec::new();
        for _ in 0..count {
            targets.push(self.target());
        }
        NewLinks {
            expected: self.expected(actual),
            stream,
            targets,
        }
    }

    fn target(&mut self) -> EventId {
        let own: Vec<_> = self.own_ids.keys().copied().collect();
        match self.random.below(20) {
            0 => EventId::from_uuid(self.uuid()),
            1..3 if !own.is_empty() => {
                // The order of a map is not the seed's.
                let least = own.iter().min_by_key(|id| id.as_uuid());
                *least.expect("there is one")
            }
            _ if self.used_ids.is_empty() => EventId::from_uuid(self.uuid()),
            _ => self.random.pick(&self.used_ids),
        }
    }

    async fn delete(&mut self) -> Call {
        let stream = self.stream();
        let actual = self
            .memory
            .stream_head(&stream)
            .await
            .expect("the head is readable")
            .version;
        let deletion = if self.random.chance(25) {
            Deletion::Hard
        } else {
            Deletion::Soft
        };
        Call::Delete(stream, self.expected(actual), deletion)
    }

    fn snapshot(&mut self) -> Call {
        let stream = self.stream();
        Call::RecordSnapshot(Snapshot {
            stream,
            version: self.random.below(5).into(),
            entry: EventId::from_uuid(self.uuid()),
            schema_version: 1 + self.random.below(2) as u32,
            data: Bytes::from(vec![self.random.below(256) as u8; 5]),
            taken_at: at(self.now),
        })
    }

    fn bound(&mut self) -> u64 {
        match self.random.below(8) {
            0 => 0,
            1 => u64::MAX,
            2 => i64::MAX as u64,
            3 => i64::MAX as u64 + 1,
            4 => self.random.below(300),
            _ => self.random.below(20),
        }
    }

    fn limit(&mut self) -> u32 {
        self.random.pick(&[0, 1, 2, 3, 7, 100, 1_000, u32::MAX])
    }

    fn direction(&mut self) -> Direction {
        self.random.pick(&[Direction::Forward, Direction::Backward])
    }

    fn filter(&mut self) -> Filter {
        let mut filter = Filter::all();
        filter.links = self.random.chance(50);
        if self.random.chance(25) {
            filter = filter.types([self.random.pick(&TYPES), "other"]);
        }
        if self.random.chance(25) {
            filter =
                filter.categories([self.random.pick(&["account", "order", "\u{fc}ber", "list"])]);
        }
        if self.random.chance(25) {
            filter = filter.streams([self.stream(), self.stream()]);
        }
        filter
    }

    fn query(&mut self) -> StreamQuery {
        let mut query = StreamQuery::all();
        if self.random.chance(40) {
            query = query.search(
                self.random
                    .pick(&["%", "_", "-1", "", "O", "'", "\u{1f980}"]),
            );
        }
        if self.random.chance(30) {
            query = query.category(self.random.pick(&["account", "order", "none"]));
        }
        let sorts = [
            StreamSort::Name,
            StreamSort::Version,
            StreamSort::Created,
            StreamSort::Changed,
        ];
        let known = if self.same_clock { 4 } else { 2 };
        query = query.sort(self.random.pick(&sorts[..known]));
        query.descending = self.random.chance(50);
        let pages = [0, 1, 2, 3, u32::MAX];
        query.page(self.random.pick(&pages), self.limit())
    }

    async fn write_call(&mut self, later: &mut HashMap<StreamId, (u64, EventId)>) -> Call {
        match self.random.below(100) {
            0..68 => {
                let append = self.append(later).await;
                Call::Append(append, self.random.chance(40))
            }
            68..78 => Call::Outcome(self.outcome().await),
            78..90 => Call::Link(self.links().await),
            90..95 => self.delete().await,
            _ => Call::Undelete(self.stream()),
        }
    }

    /// What need not keep to the order of the requests that are under way.
    async fn lone_call(&mut self) -> Call {
        match self.random.below(4) {
            0 => Call::Forget(self.time(20_000)),
            1 => Call::DeleteSnapshot(self.stream()),
            _ => self.snapshot(),
        }
    }

    /// A time in the last microseconds; where the clocks differ, one before or after all others.
    fn time(&mut self, micros: u64) -> OffsetDateTime {
        let before = self.random.below(micros) as i64;
        match self.same_clock {
            true => at(self.now - before),
            false if before % 2 == 0 => OffsetDateTime::UNIX_EPOCH,
            false => at(2 * self.now),
        }
    }

    fn read_call(&mut self) -> Call {
        match self.random.below(11) {
            0 => Call::FindRepeat({
                let stream = self.stream();
                self.command(&stream)
            }),
            1..4 => Call::ReadStream({
                let mut read = ReadStream::forward(self.stream());
                read.direction = self.direction();
                read.from(self.bound()).limit(self.limit())
            }),
            4..7 => Call::ReadAll({
                let mut read = ReadAll::forward();
                read.direction = self.direction();
                let limit = self.limit();
                let after = GlobalPosition::new(self.bound());
                read.after(after).limit(limit).filter(self.filter())
            }),
            7 => Call::Info(self.stream()),
            8 => Call::List(self.query()),
            9 => Call::ReadSnapshot(self.stream()),
            _ => Call::PositionAt(self.time(40_000)),
        }
    }

    /// The call as the other store knows it.
    fn for_store(&self, mut call: Call) -> Call {
        let other = |id: &mut EventId| {
            if let Some(own) = self.own_ids.get(id) {
                *id = *own;
            }
        };
        match &mut call {
            Call::Append(append, _) => {
                let writes = append.writes.iter_mut();
                writes
                    .filter_map(|write| write.builds_on.as_mut())
                    .for_each(other);
            }
            Call::Outcome(outcome) => outcome.entry.iter_mut().for_each(other),
            Call::Link(links) => links.targets.iter_mut().for_each(other),
            _ => {}
        }
        call
    }

    /// Learns which ids the stores gave to the last links and tombstones.
    async fn learn_ids(&mut self, handle: usize) {
        let streams = STREAMS.map(stream);
        let store = &self.stores[handle];
        let heads = join_all(streams.iter().map(|stream| store.stream_head(stream))).await;
        for (stream, head) in streams.iter().zip(heads) {
            let memory = self.memory.stream_head(stream).await;
            let memory = memory.expect("the head is readable").entry;
            let own = head.expect("the head is readable").entry;
            if let (Some(memory), Some(own)) = (memory, own)
                && memory != own
            {
                self.own_ids.insert(memory, own);
            }
        }
    }

    /// Carries the calls out, one after the other in memory and all at once in the other store.
    async fn compare(&mut self, calls: Vec<Call>) {
        let handle = self.random.below(self.stores.len() as u64) as usize;
        let makes_ids = |call: &Call| matches!(call, Call::Link(_) | Call::Delete(..));
        let makes_ids = calls.iter().any(makes_ids);
        let others = calls.iter().map(|call| self.for_store(call.clone()));
        let others = chained(others.collect());
        let said = calls.iter().map(|call| format!("{handle}: {call:?}"));
        self.calls.extend(said);
        let mut left = Vec::new();
        for call in chained(calls) {
            left.push(answer(&self.memory, call).await);
        }
        let store = &self.stores[handle];
        let right = join_all(others.into_iter().map(|call| answer(store, call))).await;
        if makes_ids {
            self.learn_ids(handle).await;
        }
        for (left, right) in left.into_iter().zip(right) {
            let (left, right) = (self.comparable(left), self.comparable(right));
            let mut right = right;
            for (memory, own) in &self.own_ids {
                right = right.replace(&own.to_string(), &memory.to_string());
            }
            if left != right && !is_own_head(&left, &right) {
                let tail = self.calls.len().saturating_sub(15);
                panic!(
                    "seed {}, in memory: {left}\nin the store: {right}\nlast calls:\n{}",
                    self.seed,
                    self.calls[tail..].join("\n")
                );
            }
        }
    }

    fn comparable(&self, answer: String) -> String {
        if self.same_clock {
            answer
        } else {
            without_times(&answer)
        }
    }

    async fn compare_all(&mut self) {
        let mut calls = vec![Call::LogHead, Call::List(StreamQuery::all())];
        for direction in [Direction::Forward, Direction::Backward] {
            let mut read = ReadAll::forward().filter(Filter::all().with_links());
            read.direction = direction;
            read.limit = u32::MAX;
            read.after = match direction {
                Direction::Forward => GlobalPosition::ORIGIN,
                Direction::Backward => GlobalPosition::END,
            };
            calls.push(Call::ReadAll(read));
        }
        for name in STREAMS {
            calls.push(Call::Head(stream(name)));
            calls.push(Call::Info(stream(name)));
            calls.push(Call::ReadStream(ReadStream::forward(stream(name))));
            calls.push(Call::ReadStream(
                ReadStream::backward(stream(name)).limit(3),
            ));
            calls.push(Call::ReadSnapshot(stream(name)));
        }
        let commands: Vec<_> = self
            .commands
            .iter()
            .cloned()
            .map(Call::FindRepeat)
            .collect();
        calls.extend(commands);
        self.compare(calls).await;
    }

    async fn run(&mut self, steps: usize) {
        for step in 0..steps {
            self.move_clock();
            let mut later = HashMap::new();
            let count = if self.random.chance(30) {
                2 + self.random.below(10)
            } else {
                1
            };
            let mut calls = Vec::new();
            for _ in 0..count {
                calls.push(if count == 1 && self.random.chance(5) {
                    self.lone_call().await
                } else {
                    self.write_call(&mut later).await
                });
            }
            self.compare(calls).await;
            for _ in 0..3 {
                let call = self.read_call();
                self.compare(vec![call]).await;
            }
            if step % 25 == 0 {
                self.compare_all().await;
            }
        }
        self.compare_all().await;
    }
}

/// The answer to a delete in the middle of a burst names an id that no later answer repeats.
fn is_own_head(left: &str, right: &str) -> bool {
    let without_id = |text: &str| {
        let (before, rest) = text.split_once("entry: Some(")?;
        let (_, after) = rest.split_once("))")?;
        Some(format!("{before}{after}"))
    };
    left.starts_with("Ok(StreamHead") && left != right && {
        let (left, right) = (without_id(left), without_id(right));
        left.is_some() && left == right
    }
}

/// Joins the appends that rest on those before them.
fn chained(mut calls: Vec<Call>) -> Vec<Call> {
    let mut chain = Chain::new();
    for call in &mut calls {
        if let Call::Append(append, true) = call {
            append.chain = Some(chain.link());
        }
    }
    calls
}

/// The answer without the times that are the store's own.
fn without_times(answer: &str) -> String {
    let mut kept = String::new();
    let mut rest = answer;
    while let Some((before, time)) = ["recorded_at: ", "created_at: ", "changed_at: "]
        .into_iter()
        .filter_map(|name| rest.split_once(name))
        .min_by_key(|(before, _)| before.len())
    {
        kept.push_str(before);
        rest = time.split_once("+00:00:00").map_or("", |(_, after)| after);
    }
    kept + rest
}

/// The time this many microseconds after 1970.
fn at(micros: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp_nanos(i128::from(micros) * 1_000)
        .expect("a time of our days")
}

fn stream(name: &str) -> StreamId {
    name.parse().expect("the name of a stream")
}

/// Random numbers that a seed repeats.
#[doc(hidden)]
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn number(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    pub fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.below(from.len() as u64) as usize].clone()
    }
}
