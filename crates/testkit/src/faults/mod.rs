//! A store that fails when told.

mod subscriptions;

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Arrivals, CommandKey, Deletion, LogPage, NewLinks, NewOutcome, ReadAll,
    ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
};
use ordain::{
    BoxError, Codec, EventStore, ExpectedVersion, GlobalPosition, Snapshot, StoreError, StreamId,
    StreamVersion,
};
use time::OffsetDateTime;
use tokio::sync::watch;

/// How long a test waits for a call to reach a gate.
const DEADLINE: Duration = Duration::from_secs(30);

/// A store around another one, whose next calls fail or halt as the test says.
///
/// The test keeps the [`Faults`] and gives the store away. Without faults, calls go straight
/// through; counters count them all.
///
/// ```
/// use ordain::store::Append;
/// use ordain::{EventStore, ExpectedVersion, MemoryStore, NewEvent};
/// use ordain_testkit::{Call, Fault, FaultyStore};
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// let store = FaultyStore::new(MemoryStore::new());
/// let faults = store.faults();
/// faults.fail_next(Call::Append, Fault::AfterCommit);
///
/// let stream = "account-1".parse().unwrap();
/// let append = Append::new(stream, ExpectedVersion::Any, vec![NewEvent::new("Opened", "{}")]);
/// let error = store.append(append).await.unwrap_err();
/// assert!(error.is_outcome_unknown());
/// assert_eq!(store.head().await.unwrap(), 1);
/// assert_eq!(faults.calls(Call::Append), 1);
/// # });
/// ```
#[derive(Debug, Clone)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Faults,
    /// What is told in place of what the store tells.
    arrivals: Option<Arrivals>,
}

/// What is to go wrong with a [`FaultyStore`], and what was called. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    under_way: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct State {
    calls: HashMap<Call, u64>,
    armed: HashMap<Call, VecDeque<Armed>>,
    is_cut_off: bool,
}

#[derive(Debug)]
enum Armed {
    Pass,
    Fail(Fault),
    Halt(Halt, GateEnd),
}

/// A method of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each is the method of that name")]
pub enum Call {
    Append,
    RecordOutcome,
    FindRepeat,
    ForgetOutcomes,
    Link,
    DeleteStream,
    UndeleteStream,
    ReadStream,
    ReadAll,
    StreamHead,
    StreamInfo,
    ListStreams,
    Head,
    PositionAt,
    RecordSnapshot,
    ReadSnapshot,
    DeleteSnapshot,
    Subscriptions,
    ChangeSubscriptions,
    RemoveSubscription,
    KeepAlive,
    Claim,
    Release,
    Leave,
    Commit,
    Blocks,
    RequestBlocks,
    Instances,
    ListInstances,
    Outgoing,
    TimersDue,
    Timers,
    SetTimer,
    CancelTimer,
    Prune,
    BeginWork,
    CommitWork,
    CommitChange,
    CommitAppend,
}

/// How a call fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fault {
    /// Nothing reaches the store: [`StoreError::Unavailable`].
    BeforeCommit,
    /// It is carried out, and then the connection is lost: [`StoreError::OutcomeUnknown`]. What the
    /// store refuses is answered as usual.
    AfterCommit,
    /// Whatever the store answers, a refusal too, is lost: [`StoreError::OutcomeUnknown`].
    ReplyLost,
    /// A conflict, though nobody wrote: for [`Call::Append`], [`Call::RecordOutcome`] and
    /// [`Call::Link`]. On other calls as [`BeforeCommit`](Self::BeforeCommit).
    Conflict,
    /// The store panics before anything reaches it.
    Panic,
}

/// Where a call halts until its [`Gate`] is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Halt {
    /// Before anything reaches the store. Cut off, it answers [`StoreError::Unavailable`].
    BeforeCommit,
    /// When the store has carried it out, before anybody knows. Cut off, it answers
    /// [`StoreError::OutcomeUnknown`].
    AfterCommit,
    /// With the store's answer, also a refusal, at hand. Cut off, it answers
    /// [`StoreError::OutcomeUnknown`].
    AtReply,
}

/// The test's end of a halt: waits for the call, and lets it go on.
///
/// Dropped, it cuts the call off.
#[derive(Debug)]
pub struct Gate {
    reached: watch::Receiver<bool>,
    open: watch::Sender<bool>,
}

/// The call's end of a halt.
#[derive(Debug)]
struct GateEnd {
    reached: watch::Sender<bool>,
    open: watch::Receiver<bool>,
}

impl Faults {
    /// The next call of this method that has no fault or halt yet fails.
    pub fn fail_next(&self, call: Call, fault: Fault) {
        self.arm(call, Armed::Fail(fault));
    }

    /// The next `count` calls fail.
    pub fn fail_next_n(&self, count: usize, call: Call, fault: Fault) {
        (0..count).for_each(|_| self.fail_next(call, fault));
    }

    /// The next call that has no fault or halt yet goes through; what is armed later is for those
    /// after it.
    pub fn pass_next(&self, call: Call) {
        self.arm(call, Armed::Pass);
    }

    /// The next call halts there until its gate is opened.
    #[must_use = "a dropped gate cuts the call off"]
    pub fn halt_next(&self, call: Call, halt: Halt) -> Gate {
        let (reached, has_reached) = watch::channel(false);
        let (open, opened) = watch::channel(false);
        let end = GateEnd {
            reached,
            open: opened,
        };
        self.arm(call, Armed::Halt(halt, end));
        Gate {
            reached: has_reached,
            open,
        }
    }

    /// From now on no call reaches the store, as of a process that has died; see [`until_idle`](Self::until_idle)
    /// for those that are under way.
    pub fn cut_off(&self) {
        self.lock().is_cut_off = true;
    }

    /// Waits until no call is under way. What halts has to be let go, or cut off, before.
    ///
    /// # Panics
    /// If some are still under way after half a minute.
    pub async fn until_idle(&self) {
        let mut under_way = self.under_way.subscribe();
        let idle = under_way.wait_for(|count| *count == 0);
        let ended = tokio::time::timeout(DEADLINE, idle).await;
        assert!(
            ended.is_ok(),
            "calls are still under way after {DEADLINE:?}"
        );
    }

    /// Forgets all faults and halts that no call has met yet, and lets calls reach the store again.
    pub fn disarm(&self) {
        let mut state = self.lock();
        state.armed.clear();
        state.is_cut_off = false;
    }

    /// How often the method was called.
    pub fn calls(&self, call: Call) -> u64 {
        self.lock().calls.get(&call).copied().unwrap_or_default()
    }

    /// How many faults and halts no call has met yet.
    pub fn armed(&self, call: Call) -> usize {
        self.lock().armed.get(&call).map_or(0, VecDeque::len)
    }

    fn begin(&self) -> UnderWay {
        self.under_way.send_modify(|count| *count += 1);
        UnderWay(self.under_way.clone())
    }

    fn arm(&self, call: Call, armed: Armed) {
        self.lock().armed.entry(call).or_default().push_back(armed);
    }

    fn meet(&self, call: Call) -> Armed {
        let mut state = self.lock();
        *state.calls.entry(call).or_default() += 1;
        if state.is_cut_off {
            return Armed::Fail(Fault::BeforeCommit);
        }
        let armed = state.armed.get_mut(&call).and_then(VecDeque::pop_front);
        armed.unwrap_or(Armed::Pass)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A call, until it has ended or is dropped.
struct UnderWay(watch::Sender<usize>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Gate {
    /// Waits until the call has come to the gate.
    ///
    /// # Panics
    /// If it does not within half a minute, or if the fault was disarmed.
    pub async fn reached(&mut self) {
        assert!(
            self.reached_unless_dropped().await,
            "no call can come to the gate: it was disarmed, or the call dropped"
        );
    }

    /// Waits until the call has come to the gate; `false` if it was dropped on the way, or the fault disarmed.
    ///
    /// # Panics
    /// If neither comes about within half a minute.
    pub async fn reached_unless_dropped(&mut self) -> bool {
        let reached = self.reached.wait_for(|reached| *reached);
        match tokio::time::timeout(DEADLINE, reached).await {
            Ok(reached) => reached.is_ok(),
            Err(_) => panic!("no call came to the gate within {DEADLINE:?}"),
        }
    }

    /// Whether the call has come to the gate.
    pub fn is_reached(&self) -> bool {
        *self.reached.borrow()
    }

    /// Lets the call go on.
    pub fn release(self) {
        self.open.send_replace(true);
    }

    /// Cuts the call off; the same as dropping the gate.
    pub fn cut(self) {}
}

impl GateEnd {
    /// Whether the call may go on.
    async fn pass(mut self) -> bool {
        self.reached.send_replace(true);
        self.open.wait_for(|open| *open).await.is_ok()
    }
}

impl<S> FaultyStore<S> {
    /// A store without faults, so far.
    pub fn new(inner: S) -> Self {
        Self {
            inner,
            faults: Faults::default(),
            arrivals: None,
        }
    }

    /// Tells of new events what the test says, in place of what the store says.
    #[must_use]
    pub fn with_arrivals(mut self, arrivals: Arrivals) -> Self {
        self.arrivals = Some(arrivals);
        self
    }

    /// What is to go wrong with it.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }

    /// The store inside, which does not fail.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    async fn around<T>(
        &self,
        call: Call,
        conflict: impl Fn() -> Option<(StreamId, ExpectedVersion, StreamVersion)> + Send,
        inner: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let _under_way = self.faults.begin();
        match self.faults.meet(call) {
            Armed::Pass => inner.await,
            Armed::Fail(Fault::BeforeCommit) => Err(unavailable(call)),
            Armed::Fail(Fault::Conflict) => Err(conflict().map_or_else(
                || unavailable(call),
                |(stream, expected, actual)| StoreError::Conflict {
                    stream,
                    expected,
                    actual,
                },
            )),
            Armed::Fail(Fault::Panic) => panic!("a fault of the test at {call:?}"),
            Armed::Fail(Fault::AfterCommit) => inner.await.and_then(|_| Err(unknown(call))),
            Armed::Fail(Fault::ReplyLost) => {
                drop(inner.await);
                Err(unknown(call))
            }
            Armed::Halt(halt, end) => halted(call, halt, end, inner).await,
        }
    }
}

async fn halted<T>(
    call: Call,
    halt: Halt,
    end: GateEnd,
    inner: impl Future<Output = Result<T, StoreError>> + Send,
) -> Result<T, StoreError> {
    if halt == Halt::BeforeCommit {
        return if end.pass().await {
            inner.await
        } else {
            Err(unavailable(call))
        };
    }
    let result = inner.await;
    if result.is_err() && halt == Halt::AfterCommit {
        return result;
    }
    if end.pass().await {
        result
    } else {
        Err(unknown(call))
    }
}

fn unavailable(call: Call) -> StoreError {
    StoreError::unavailable(format!("a fault of the test before {call:?}"))
}

fn unknown(call: Call) -> StoreError {
    StoreError::OutcomeUnknown {
        source: BoxError::from(format!("a fault of the test after {call:?}")),
    }
}

fn no_conflict() -> Option<(StreamId, ExpectedVersion, StreamVersion)> {
    None
}

/// The version of a conflict that nobody caused: one more than was expected.
fn beyond(expected: ExpectedVersion) -> StreamVersion {
    match expected {
        ExpectedVersion::Exact(version) => version.next(),
        _ => StreamVersion::FIRST,
    }
}

#[async_trait]
impl<S: EventStore> EventStore for FaultyStore<S> {
    fn codec(&self) -> &Codec {
        self.inner.codec()
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        self.arrivals.as_ref().or_else(|| self.inner.arrivals())
    }

    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        let first = append.writes.first();
        let first = first.map(|write| (write.stream.clone(), write.expected));
        let conflict = move || {
            let (stream, expected) = first.clone()?;
            Some((stream, expected, beyond(expected)))
        };
        let link = append.chain.clone();
        let appended = self
            .around(Call::Append, conflict, self.inner.append(append))
            .await;
        if let (Err(_), Some(link)) = (&appended, link) {
            link.break_off();
        }
        appended
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        let (stream, version) = (outcome.command.stream.clone(), outcome.version);
        let expected = ExpectedVersion::Exact(version);
        let conflict = move || Some((stream.clone(), expected, version.next()));
        let inner = self.inner.record_outcome(outcome);
        self.around(Call::RecordOutcome, conflict, inner).await
    }

    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError> {
        let inner = self.inner.find_repeat(command);
        self.around(Call::FindRepeat, no_conflict, inner).await
    }

    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        let inner = self.inner.forget_outcomes(before);
        self.around(Call::ForgetOutcomes, no_conflict, inner).await
    }

    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        let (stream, expected) = (links.stream.clone(), links.expected);
        let conflict = move || Some((stream.clone(), expected, beyond(expected)));
        self.around(Call::Link, conflict, self.inner.link(links))
            .await
    }

    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        let inner = self.inner.delete_stream(stream, expected, deletion);
        self.around(Call::DeleteStream, no_conflict, inner).await
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        let inner = self.inner.undelete_stream(stream);
        self.around(Call::UndeleteStream, no_conflict, inner).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let inner = self.inner.read_stream(read);
        self.around(Call::ReadStream, no_conflict, inner).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<LogPage, StoreError> {
        let inner = self.inner.read_all(read);
        self.around(Call::ReadAll, no_conflict, inner).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        let inner = self.inner.stream_head(stream);
        self.around(Call::StreamHead, no_conflict, inner).await
    }

    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        let inner = self.inner.stream_info(stream);
        self.around(Call::StreamInfo, no_conflict, inner).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError> {
        let inner = self.inner.list_streams(query);
        self.around(Call::ListStreams, no_conflict, inner).await
    }

    async fn head(&self) -> Result<GlobalPosition, StoreError> {
        self.around(Call::Head, no_conflict, self.inner.head())
            .await
    }

    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError> {
        let inner = self.inner.position_at(time);
        self.around(Call::PositionAt, no_conflict, inner).await
    }

    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        let inner = self.inner.record_snapshot(snapshot);
        self.around(Call::RecordSnapshot, no_conflict, inner).await
    }

    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError> {
        let inner = self.inner.read_snapshot(stream);
        self.around(Call::ReadSnapshot, no_conflict, inner).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        let inner = self.inner.delete_snapshot(stream);
        self.around(Call::DeleteSnapshot, no_conflict, inner).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
