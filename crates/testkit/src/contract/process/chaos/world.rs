//! The apps of a case, and what is done to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ordain::store::{ProjectionStore, SubscriptionState};
use ordain::subscription::SubscriptionStatus;
use ordain::{App, AppBuilder, Projection};

use super::super::super::read_side::Timed;
use super::super::super::support::{Random, log};
use super::super::super::{StoreFixture, SubscriptionFixture};
use super::super::support::{LONG, Probe, begin, find, leased, send_from};
use super::steps::{NAMES, SLOTS, Step};
use super::subjects::{Failing, Trail, Watching, streams};
use crate::{Call, FaultyStore, Gate, Halt};

/// How long to wait before it is looked again whether all is at rest.
const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// How long everything may take to come to rest.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a shutdown may take.
const SHUTDOWN: Duration = Duration::from_secs(20);

pub(super) type StoreOf<F> = <F as StoreFixture>::Store;

/// An app that may fail, halt and die.
struct Mortal<S> {
    app: App,
    store: FaultyStore<S>,
    gates: Vec<Gate>,
}

/// A store, the apps on it, and what has been told to them.
pub(super) struct World<F: SubscriptionFixture> {
    pub(super) fixture: Arc<F>,
    /// What the case is drawn from. It also tells its pages of the read model from those of others.
    pub(super) seed: u64,
    pub(super) timed: Timed<StoreOf<F>>,
    /// Tells the others what to do, and works on nothing itself.
    pub(super) operator: App,
    pub(super) watching: Watching,
    failing: Failing,
    slots: Vec<Option<Mortal<StoreOf<F>>>>,
    newest: u32,
    /// What was sent to each ledger: by signals in order, and by timers.
    pub(super) sent: BTreeMap<u64, (Vec<String>, BTreeSet<String>)>,
    count: u64,
    /// After which positions each version of the projection may have been begun.
    pub(super) begun: BTreeMap<u32, BTreeSet<u64>>,
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn open(fixture: &Arc<F>, seed: u64) -> Self {
        let timed = Timed::open(&**fixture).await;
        fixture.make_read_model(&timed.store).await;
        let operator = on(&timed, &timed.store, LONG).start().await;
        let failing = Failing::default();
        Self {
            fixture: Arc::clone(fixture),
            seed,
            operator: operator.expect("the app starts"),
            timed,
            watching: Watching {
                failing: failing.clone(),
                ..Watching::default()
            },
            failing,
            slots: (0..SLOTS).map(|_| None).collect(),
            newest: 1,
            sent: BTreeMap::new(),
            count: 0,
            begun: BTreeMap::from([(1, BTreeSet::from([0])), (2, BTreeSet::from([0]))]),
        }
    }

    pub(super) async fn take(&mut self, step: Step, random: &mut Random) {
        match step {
            Step::Send {
                signal,
                instance,
                timer,
            } => self.send(signal, instance, timer).await,
            Step::Start { slot, version } => self.start(slot, version).await,
            Step::ShutDown { slot } => self.shut_down(slot).await,
            Step::Kill { slot } => self.kill(slot).await,
            Step::Freeze { slot, call, halt } => self.freeze(slot, call, halt),
            Step::Thaw { slot } => self.thaw(slot, random.below(4) == 0),
            Step::Break {
                slot,
                call,
                fault,
                times,
            } => {
                if let Some(mortal) = &self.slots[slot] {
                    mortal.store.faults().fail_next_n(times, call, fault);
                }
            }
            Step::EndLeases => self.timed.end_leases(),
            // What an operator asks for may be out of place.
            Step::Pause(name) => drop(self.operator.subscriptions().pause(name).await),
            Step::Resume(name) => drop(self.operator.subscriptions().resume(name).await),
            Step::Reset { name, hundredths } => self.reset(name, hundredths).await,
            Step::Repartition { name, partitions } => {
                let subscriptions = self.operator.subscriptions();
                drop(subscriptions.repartition(name, partitions).await);
            }
            Step::CancelRebuild => self.cancel_rebuild().await,
            Step::Fail { stream } => {
                let streams = streams();
                self.failing.fail(streams[stream as usize].clone());
            }
            Step::Heal => self.failing.heal(),
            Step::Retry(name) => drop(self.operator.subscriptions().retry_all(name).await),
            Step::Wait(time) => tokio::time::sleep(time).await,
        }
    }

    async fn send(&mut self, signal: u64, instance: u64, timer: bool) {
        self.count += 1;
        let (text, id) = (self.count.to_string(), format!("i{instance}"));
        let mut note = begin(&id).writes(&id, &text);
        let (texts, late) = self.sent.entry(instance).or_default();
        texts.push(text.clone());
        if timer {
            let late_text = format!("late {text}");
            note = note.timer(&text, Duration::ZERO, &late_text);
            late.insert(late_text);
        }
        send_from(&self.operator, &format!("s{signal}"), note).await;
    }

    async fn start(&mut self, slot: usize, version: u32) {
        if self.slots[slot].is_some() {
            return;
        }
        let store = FaultyStore::new(self.timed.store.clone());
        let lease = self.timed.lease();
        let app = self.builder(&store, version, lease).start().await;
        // A version that was replaced cannot start.
        let Ok(app) = app else { return };
        self.newest = self.newest.max(version);
        let gates = Vec::new();
        self.slots[slot] = Some(Mortal { app, store, gates });
    }

    fn builder(
        &self,
        store: &FaultyStore<StoreOf<F>>,
        version: u32,
        lease: Duration,
    ) -> AppBuilder<FaultyStore<StoreOf<F>>> {
        let builder = on(&self.timed, store, lease)
            .event_handler(self.watching.clone())
            .process_manager::<Probe>();
        match version {
            1 => builder.projection(self.trail::<1>()),
            _ => builder.projection(self.trail::<2>()),
        }
    }

    fn trail<const VERSION: u32>(&self) -> Trail<F, VERSION> {
        Trail {
            fixture: Arc::clone(&self.fixture),
            book: self.seed,
            failing: self.failing.clone(),
        }
    }

    async fn shut_down(&mut self, slot: usize) {
        let Some(mortal) = self.slots[slot].take() else {
            return;
        };
        // What has halted would hold up the shutdown.
        drop(mortal.gates);
        mortal.store.faults().disarm();
        let ended = tokio::time::timeout(SHUTDOWN, mortal.app.shutdown()).await;
        let ended = ended.unwrap_or_else(|_| panic!("no shutdown within {SHUTDOWN:?}"));
        ended.expect("the app shuts down");
    }

    async fn kill(&mut self, slot: usize) {
        let Some(mortal) = self.slots[slot].take() else {
            return;
        };
        mortal.store.faults().cut_off();
        drop(mortal.gates);
        // What is under way might renew a lease when the clock has moved.
        mortal.store.faults().until_idle().await;
        drop(mortal.app);
        self.timed.end_leases();
    }

    fn freeze(&mut self, slot: usize, call: Call, halt: Halt) {
        // A transaction that halts open would hold up all others of its process.
        let halt = match call {
            Call::CommitWork | Call::CommitChange => Halt::AtReply,
            _ => halt,
        };
        if let Some(mortal) = &mut self.slots[slot] {
            let gate = mortal.store.faults().halt_next(call, halt);
            mortal.gates.push(gate);
        }
    }

    fn thaw(&mut self, slot: usize, cut: bool) {
        let gates = self.slots[slot].as_mut();
        for gate in gates
            .map(|it| std::mem::take(&mut it.gates))
            .into_iter()
            .flatten()
        {
            if !cut {
                gate.release();
            }
        }
    }

    /// Back to a place that all partitions have passed: what lies before it has been handled.
    async fn reset(&mut self, name: &str, hundredths: u64) {
        let Ok(status) = self.operator.subscriptions().status(name).await else {
            return;
        };
        // What a projection has put aside before the place it is reset to would be in its tables afterwards.
        let has_letters = name == "trail" && status.dead_letters > 0;
        if status.state == SubscriptionState::Resetting || has_letters {
            return;
        }
        // From the middle on, its instances would be others.
        let to = match name {
            Probe::NAME => 0,
            _ => status.position.get() * hundredths / 100,
        };
        let reset = self.operator.subscriptions().reset(name, to).await;
        if reset.is_ok() && name == "trail" {
            // Another version may have taken its place in between.
            for (_, begun) in self.begun.range_mut(status.version..) {
                begun.insert(to);
            }
        }
    }

    /// Gives up the version that is being built, and removes what it has made.
    async fn cancel_rebuild(&self) {
        let cancelled = self.operator.subscriptions().cancel_rebuild("trail").await;
        if cancelled.is_ok() {
            let store = &self.timed.store;
            let mut work = store.begin_work().await.expect("a transaction");
            let trail = self.trail::<2>();
            let emptied = trail.reset(StoreOf::<F>::connection(&mut work)).await;
            emptied.expect("it can be emptied");
            let committed = store.commit_change(work, Vec::new()).await;
            assert!(committed.expect("committed"));
        }
    }

    /// Mends everything, and waits until an app without faults has come to the end.
    pub(super) async fn come_to_rest(&mut self) {
        self.failing.heal();
        for slot in 0..self.slots.len() {
            self.thaw(slot, false);
            if slot % 2 == 0 {
                self.shut_down(slot).await;
            }
            self.kill(slot).await;
        }
        self.timed.end_leases();
        let store = FaultyStore::new(self.timed.store.clone());
        // It is to lose no lease, however slow the machine is.
        let app = self.builder(&store, self.newest, LONG).start().await;
        let app = app.expect("the app starts");
        for name in NAMES {
            let resumed = app.subscriptions().resume(name).await;
            resumed.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        self.until_at_rest().await;
        let gates = Vec::new();
        self.slots[0] = Some(Mortal { app, store, gates });
        self.shut_down(0).await;
    }

    async fn until_at_rest(&self) {
        let begun = Instant::now();
        while !self.is_at_rest().await {
            if begun.elapsed() > PATIENCE {
                panic!("not at rest within {PATIENCE:?}:{}", self.describe().await);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    async fn is_at_rest(&self) -> bool {
        let head = self.operator.store().head().await.expect("head");
        for name in NAMES {
            let asked = self.operator.subscriptions().retry_all(name).await;
            asked.unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        let statuses = self.statuses().await;
        let are_done = statuses.iter().all(|status| {
            status.state == SubscriptionState::Retired
                || status.state == SubscriptionState::Active
                    && status.lag == 0
                    && status.dead_letters == 0
                    && status.parked == 0
        });
        // In this order: each may lead to the next.
        are_done
            && self.have_timers_fired().await
            && self.unsettled().await.is_empty()
            && self.operator.store().head().await.expect("head") == head
    }

    async fn have_timers_fired(&self) -> bool {
        for instance in self.sent.keys() {
            let instance = find(&self.operator, &format!("i{instance}")).await;
            if instance.is_none_or(|instance| !instance.timers.is_empty()) {
                return false;
            }
        }
        true
    }

    async fn unsettled(&self) -> Vec<String> {
        let unsettled = self.operator.processes(Probe::NAME).unsettled(1_000).await;
        unsettled.expect("commands can be read")
    }

    async fn statuses(&self) -> Vec<SubscriptionStatus> {
        let list = self.operator.subscriptions().list().await;
        list.expect("subscriptions can be listed")
    }

    async fn describe(&self) -> String {
        let mut text = String::new();
        for status in self.statuses().await {
            let _ = write!(text, "\n{status:?}");
            let letters = self
                .operator
                .subscriptions()
                .dead_letters(&status.name)
                .await;
            let _ = write!(text, "\n  {letters:?}");
        }
        let unsettled = self.unsettled().await;
        let _ = write!(text, "\nunsettled: {unsettled:?}\nsent: {:?}", self.sent);
        for instance in self.sent.keys() {
            let id = format!("i{instance}");
            let found = find(&self.operator, &id).await;
            let _ = write!(text, "\n{id}: {found:?}");
        }
        text + &self.log().await
    }

    /// The log, as lines.
    pub(super) async fn log(&self) -> String {
        let events = log(&self.timed.store).await;
        let lines = events.iter().map(|event| {
            let data = String::from_utf8_lossy(&event.data);
            format!("\n{}: {} {data}", event.position, event.stream)
        });
        lines.collect()
    }
}

/// An app that takes its time from the store's clock, where the case moves that.
fn on<S, T>(timed: &Timed<S>, store: &T, lease: Duration) -> AppBuilder<T>
where
    S: ordain::store::SubscriptionStore,
    T: ordain::store::SubscriptionStore + Clone,
{
    let builder = leased(store, lease);
    match timed.clock() {
        Some(clock) => builder.clock(Arc::new(clock)),
        None => builder,
    }
}
