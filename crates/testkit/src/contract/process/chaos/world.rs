//! A store, the apps on it, and what has been told to them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use ordain::App;
use ordain::store::SubscriptionStore;
use ordain::subscription::SubscriptionStatus;

use super::super::super::read_side::Timed;
use super::super::super::support::log;
use super::super::super::{StoreFixture, SubscriptionFixture};
use super::super::support::{LONG, Probe, find};
use super::apps::{Mortal, on};
use super::consuming::{Consumer, Taken};
use super::discarding::Discard;
use super::following::Follower;
use super::handling::{Batching, Failing, Notes, streams};
use super::issuing::Told;
use super::scheduling::Scheduled;
use super::steps::{SLOTS, Step};
use super::waiting::Waiter;
use crate::{Call, Fault, FaultyStore};

/// More signs of life than an app gives in a case.
const BEATS_MAX: usize = 10_000;

pub(super) type StoreOf<F> = <F as StoreFixture>::Store;

/// A store, the apps on it, and what has been told to them.
pub(super) struct World<F: SubscriptionFixture> {
    pub(super) fixture: Arc<F>,
    /// What the case is drawn from. It also tells its pages of the read model from those of others.
    pub(super) seed: u64,
    pub(super) timed: Timed<StoreOf<F>>,
    /// Tells the others what to do, and works on nothing itself.
    pub(super) operator: App,
    pub(super) watching: Notes,
    pub(super) batching: Notes,
    pub(super) failing: Failing,
    pub(super) slots: Vec<Option<Mortal<StoreOf<F>>>>,
    pub(super) newest: u32,
    /// Whether anything was ever halted, and may have gone on later than others had taken over.
    pub(super) has_frozen: bool,
    pub(super) count: u64,
    /// What was told to each instance.
    pub(super) told: BTreeMap<u64, Told>,
    pub(super) scheduled: Vec<Scheduled>,
    pub(super) consumers: Vec<Option<Consumer>>,
    pub(super) taken: Taken,
    pub(super) followers: Vec<Follower>,
    pub(super) waiters: Vec<Waiter>,
    pub(super) discards: Vec<Discard>,
    /// Whom an operator has ever paused.
    pub(super) paused: BTreeSet<&'static str>,
    /// How often an operator has reset each.
    pub(super) resets: BTreeMap<&'static str, u64>,
    /// After which positions each version of a projection may have been begun.
    pub(super) begun: BTreeMap<(&'static str, u32), BTreeSet<u64>>,
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn open(fixture: &Arc<F>, seed: u64) -> Self {
        let timed = Timed::open(&**fixture).await;
        fixture.make_read_model(&timed.store).await;
        let failing = Failing::default();
        let batching = Notes::new(&failing);
        let operator = operator(&timed, &batching).await;
        let begun = [("trail", 1), ("trail", 2), ("tally", 1)];
        Self {
            fixture: Arc::clone(fixture),
            seed,
            operator,
            timed,
            watching: Notes::new(&failing),
            batching,
            failing,
            slots: (0..SLOTS).map(|_| None).collect(),
            newest: 1,
            has_frozen: false,
            count: 0,
            told: BTreeMap::new(),
            scheduled: Vec::new(),
            consumers: (0..SLOTS).map(|_| None).collect(),
            taken: Taken::default(),
            followers: Vec::new(),
            waiters: Vec::new(),
            discards: Vec::new(),
            paused: BTreeSet::new(),
            resets: BTreeMap::new(),
            begun: begun.map(|key| (key, BTreeSet::from([0]))).into(),
        }
    }

    pub(super) async fn take(&mut self, step: Step) {
        match step {
            Step::Send {
                signal,
                instance,
                timer,
                refused,
                awaited,
            } => {
                let note = self.tell(instance, timer, refused);
                self.send(signal, instance, note, awaited).await;
            }
            Step::Open { instance, is_open } => self.open_or_close(instance, is_open).await,
            Step::Schedule { slot, hundredths } => self.schedule(slot, hundredths).await,
            Step::TakeBack { slot, which } => self.take_back(slot, which).await,
            Step::Consume { slot, way } => self.consume(slot, way).await,
            Step::Forsake { slot, is_closed } => self.forsake(slot, is_closed),
            Step::Follow { slot, pace } => self.follow(slot, pace).await,
            Step::Await {
                slot,
                name,
                hundredths,
                beyond,
                patience,
            } => {
                let place = (hundredths, beyond);
                self.wait_until(slot, name, place, patience).await;
            }
            Step::Start { slot, version } => self.start(slot, version).await,
            Step::ShutDown { slot } => self.shut_down(slot).await,
            Step::Kill { slot } => self.kill(slot).await,
            Step::Freeze { slot, call, halt } => self.freeze(slot, call, halt),
            Step::Thaw { slot, is_cut } => self.thaw(slot, is_cut),
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
            Step::Fail { stream } => {
                let streams = streams();
                self.failing.fail(streams[stream as usize].clone());
            }
            Step::Heal => self.failing.heal(),
            Step::Pass(time) => tokio::time::sleep(time).await,
            _ => self.operate(step).await,
        }
    }

    /// An app, or the operator's; none if there is no such app.
    pub(super) fn app_of(&self, slot: Option<usize>) -> Option<App> {
        match slot {
            Some(slot) => self.slots[slot].as_ref().map(|mortal| mortal.app.clone()),
            None => Some(self.operator.clone()),
        }
    }

    pub(super) async fn statuses(&self) -> Vec<SubscriptionStatus> {
        let list = self.operator.subscriptions().list().await;
        list.expect("subscriptions can be listed")
    }

    pub(super) async fn check(&self) {
        let log = log(&self.timed.store).await;
        self.check_commands().await;
        self.check_instances().await;
        self.check_handler("watching", &log);
        self.check_handler("batching", &log);
        self.check_projection("trail", &log).await;
        self.check_projection("tally", &log).await;
        self.check_discards();
        self.check_scheduled().await;
        self.check_consumed(&log);
        self.check_followers(&log);
        self.check_waiters(&log);
    }

    pub(super) async fn describe(&self) -> String {
        let mut text = String::new();
        for status in self.statuses().await {
            let _ = write!(text, "\n{status:?}");
            let letters = self.operator.subscriptions();
            let letters = letters.dead_letters(&status.name).await;
            let _ = write!(text, "\n  {letters:?}");
        }
        let unsettled = self.unsettled().await;
        let _ = write!(text, "\nunsettled: {unsettled:?}\ntold: {:?}", self.told);
        for instance in self.told.keys() {
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

/// An app that works on nothing, since it gives no sign of life, and knows what events are ordered by.
async fn operator<S>(timed: &Timed<S>, batching: &Notes) -> App
where
    S: SubscriptionStore + Clone,
{
    let store = FaultyStore::new(timed.store.clone());
    let faults = store.faults();
    faults.fail_next_n(BEATS_MAX, Call::KeepAlive, Fault::BeforeCommit);
    let app = on(timed, &store, LONG)
        .batch_handler(Batching(batching.clone()))
        .process_manager::<Probe>();
    app.start().await.expect("the app starts")
}
