//! Kills, faults and take-overs: every command takes effect once.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use ordain::middleware::{Middleware, Next, Outcome, Request};
use ordain::prelude::*;
use ordain::store::SubscriptionStore;
use ordain::{App, EventContext, ProcessContext, ProcessOptions, Reaction, Route, middleware};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::read_side::Timed;
use super::support::*;
use crate::{Call, Fault, FaultyStore, Gate, Halt};

/// A place where one round after the other takes place, each with instances of its own.
struct Arena<S> {
    timed: Timed<S>,
    /// Sends the signals, and looks what has come of them.
    clean: App,
    round: usize,
    /// Where the log ended before the round.
    head: u64,
}

impl<S: SubscriptionStore + Clone> Arena<S> {
    async fn open<F: SubscriptionFixture<Store = S>>(fixture: &F) -> Self {
        let timed = Timed::open(fixture).await;
        let clean = start(on(&timed.store)).await;
        Self {
            timed,
            clean,
            round: 0,
            head: 0,
        }
    }

    fn store(&self) -> &S {
        &self.timed.store
    }

    /// An app that may be killed: others take over when its leases are over.
    async fn mortal(&self, store: &FaultyStore<S>) -> App {
        let app = leased(store, self.timed.lease());
        start(app.process_manager::<Probe>()).await
    }

    async fn begin_round(&mut self) {
        self.round += 1;
        self.head = head(&self.clean).await;
    }

    fn ids(&self) -> [String; 2] {
        ["a", "b"].map(|id| format!("{id}{}", self.round))
    }

    /// Signals for two instances, with commands that succeed, that change nothing, and that are replaced.
    async fn send_all(&self) {
        let (app, [a, b]) = (&self.clean, &self.ids());
        send(app, begin(a).writes(a, "1").writes(a, "empty")).await;
        let note = begin(b).writes(b, "reject 2");
        send(app, note.failing(OnFailure::Replace)).await;
        let note = go_on(a).writes(a, "3");
        send(app, note.timer("t", Duration::ZERO, "4")).await;
        send(app, go_on(b).writes(b, "5")).await;
    }

    async fn is_done(&self) -> bool {
        let [a, b] = &self.ids();
        texts(&self.clean, a).await == A && texts(&self.clean, b).await == B
    }

    /// That every command takes effect once, and nothing comes later.
    async fn check(&self) {
        let app = &self.clean;
        let ids = self.ids();
        let [a, b] = &ids;
        until_texts(app, a, &A).await;
        until_texts(app, b, &B).await;
        settled_of(app, Some(&ids)).await;
        assert!(self.is_done().await);
        assert_eq!(seen(app, a).await, ["Start", "Continue", "4"]);
        assert_eq!(head(app).await, self.head + 9);
    }

    /// Kills an app when its `nth` call of this method is there, and has another take over. Says whether it came
    /// to that call.
    async fn kill_at(&mut self, call: Call, halt: Halt, nth: usize) -> bool {
        self.begin_round().await;
        let store = FaultyStore::new(self.store().clone());
        (0..nth).for_each(|_| store.faults().pass_next(call));
        let gate = store.faults().halt_next(call, halt);
        let app = self.mortal(&store).await;
        self.send_all().await;
        let is_reached = until("it is halted, or done", async || {
            if gate.is_reached() {
                return Some(true);
            }
            self.is_done().await.then_some(false)
        })
        .await;
        kill(&self.timed, &store, app, gate).await;
        let app = self.mortal(&FaultyStore::new(self.store().clone())).await;
        self.check().await;
        shut_down(app).await;
        is_reached
    }
}

const A: [&str; 3] = ["1", "3", "4"];
const B: [&str; 2] = ["instead of \"reject 2\"", "5"];

async fn kill_at_every<F: SubscriptionFixture>(fixture: &Arc<F>, call: Call, at_least: usize) {
    let halts = [Halt::BeforeCommit, Halt::AfterCommit];
    for (first, halt) in halts.into_iter().enumerate() {
        let mut arena = Arena::open(&**fixture).await;
        let mut nth = first % arena.timed.stride();
        while arena.kill_at(call, halt, nth).await {
            nth += arena.timed.stride();
        }
        assert!(nth >= at_least, "{call:?} was reached {nth} times");
        shut_down(arena.clean).await;
    }
}

/// A process that dies before or after any commit leaves nothing undone, and nothing is done twice.
pub async fn a_kill_at_any_commit_leaves_nothing_undone_or_done_twice<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    kill_at_every(fixture, Call::Commit, 5).await;
}

/// The same of its appends.
pub async fn a_kill_at_any_append_leaves_nothing_undone_or_done_twice<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    kill_at_every(fixture, Call::Append, 4).await;
}

/// The same when it reads instances.
pub async fn a_kill_at_any_load_leaves_nothing_undone_or_done_twice<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    kill_at_every(fixture, Call::Instances, 1).await;
}

/// A process that dies at any step of a scheduled command's dispatch is replaced, and the command takes effect
/// once.
pub async fn a_kill_while_a_scheduled_command_fires_costs_nothing<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let mut expected = Vec::new();
    for call in [Call::Commit, Call::Append] {
        for halt in [Halt::BeforeCommit, Halt::AfterCommit] {
            let store = FaultyStore::new(timed.store.clone());
            let mut gate = store.faults().halt_next(call, halt);
            let app = start(leased(&store, timed.lease())).await;
            expected.push(format!("{call:?} {halt:?}"));
            schedule(&app, &expected[expected.len() - 1]).await;
            gate.reached().await;
            kill(&timed, &store, app, gate).await;
            let app = start(on(&timed.store)).await;
            let expected: Vec<_> = expected.iter().map(String::as_str).collect();
            until_texts(&app, "l", &expected).await;
            shut_down(app).await;
        }
    }
    let app = start(on(&timed.store)).await;
    schedule(&app, "sign").await;
    expected.push("sign".to_owned());
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    until_texts(&app, "l", &expected).await;
    shut_down(app).await;
}

async fn schedule(app: &App, text: &str) {
    let (ledger, text) = ("l".to_owned(), text.to_owned());
    let scheduled = app.schedule(Write { ledger, text });
    let scheduled = scheduled.after(Duration::ZERO).await;
    scheduled.expect("a command can be scheduled");
}

/// Calls that fail, with or without effect, leave nothing undone, and nothing is done twice.
pub async fn faults_leave_nothing_undone_or_done_twice<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let calls = [
        Call::Commit,
        Call::Append,
        Call::Instances,
        Call::Outgoing,
        Call::TimersDue,
        Call::Blocks,
        Call::ReadAll,
        Call::KeepAlive,
        Call::Claim,
        Call::StreamHead,
    ];
    let mut arena = Arena::open(&**fixture).await;
    for (place, call) in calls.into_iter().enumerate() {
        for fault in [Fault::BeforeCommit, Fault::AfterCommit, Fault::ReplyLost] {
            for nth in (place % arena.timed.stride()..3).step_by(arena.timed.stride()) {
                arena.begin_round().await;
                let store = FaultyStore::new(arena.store().clone());
                (0..nth).for_each(|_| store.faults().pass_next(call));
                store.faults().fail_next_n(2, call, fault);
                let app = start(on(&store).process_manager::<Probe>()).await;
                arena.send_all().await;
                arena.check().await;
                shut_down(app).await;
            }
        }
    }
    shut_down(arena.clean).await;
}

/// An app that issues a command, halts before its append, and is taken for dead.
async fn zombie<S: SubscriptionStore + Clone>(
    timed: &Timed<S>,
    note: Note,
) -> (App, FaultyStore<S>, Gate) {
    let store = FaultyStore::new(timed.store.clone());
    let zombie = leased(&store, timed.lease()).process_manager::<Probe>();
    let zombie = start(zombie).await;
    let mut gate = hold_command(&store);
    send(&zombie, note).await;
    gate.reached().await;
    let faults = store.faults();
    faults.fail_next_n(10_000, Call::KeepAlive, Fault::BeforeCommit);
    // One that was under way might renew the lease when the clock has moved.
    let beats = faults.calls(Call::KeepAlive);
    until("the next sign of life fails", async || {
        (faults.calls(Call::KeepAlive) > beats).then_some(())
    })
    .await;
    timed.end_leases();
    (zombie, store, gate)
}

/// A dispatcher that wakes when others have dispatched its command has no effect.
pub async fn a_dispatcher_that_wakes_after_a_take_over_has_no_effect<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let (zombie, store, gate) = zombie(&timed, begin("i").writes("l", "once")).await;
    let app = probing(&timed.store).await;
    until_texts(&app, "l", &["once"]).await;
    let before = head(&app).await;
    gate.release();
    store.faults().disarm();
    shut_down(zombie).await;
    settled(&app).await;
    assert_eq!(texts(&app, "l").await, ["once"]);
    assert_eq!(head(&app).await, before);
    shut_down(app).await;
}

/// Stops every `Write`.
#[derive(Debug)]
struct Refusing;

#[async_trait]
impl Middleware for Refusing {
    async fn dispatch(
        &self,
        request: &mut Request,
        next: Next<'_>,
    ) -> Result<Outcome, middleware::Halt> {
        match request.name() {
            "Write" => Err(middleware::Halt::because("the test", "no more is written")),
            _ => next.run(request).await,
        }
    }
}

/// A dispatcher that wakes when others have given its command up has no effect.
pub async fn a_dispatcher_that_wakes_after_the_command_was_given_up_has_no_effect<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let note = begin("i").writes("l", "never").failing(OnFailure::Skip);
    let (zombie, store, gate) = zombie(&timed, note).await;
    let app = on(&timed.store).process_manager::<Probe>();
    let app = start(app.middleware(Refusing)).await;
    until("the command is given up", async || {
        let seen = seen(&app, "i").await;
        let is_given_up = |text: &String| text.contains("no more is written");
        seen.iter().any(is_given_up).then_some(())
    })
    .await;
    gate.release();
    store.faults().disarm();
    shut_down(zombie).await;
    assert_eq!(texts(&app, "l").await, [""; 0]);
    assert_eq!(head(&app).await, 1);
    shut_down(app).await;
}

/// Discarding what was put aside leaves out nothing else when that was carried out after all.
pub async fn a_discard_that_comes_too_late_leaves_out_nothing_else<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    for before in [&["1"][..], &["1", "2"]] {
        let timed = Timed::open(&**fixture).await;
        let note = begin("i").failing(OnFailure::DeadLetter);
        let writing = |note: Note, text: &&str| note.writes("l", text);
        let (zombie, store, gate) = zombie(&timed, before.iter().fold(note, writing)).await;
        let app = on(&timed.store).process_manager::<Probe>();
        let app = start(app.middleware(Refusing)).await;
        aside(&app, 1).await;
        send(&app, begin("i").writes("l", "last")).await;
        gate.release();
        // And the second, if the zombie is quick.
        until("the first is written", async || {
            (!texts(&app, "l").await.is_empty()).then_some(())
        })
        .await;
        store.faults().disarm();
        shut_down(zombie).await;
        status_when(&app, Probe::NAME, |status| status.lag == 0).await;
        assert!(discard(&app, "i").await);
        until("that is asked for no more", async || {
            let letters = app.subscriptions().dead_letters(Probe::NAME).await;
            let letters = letters.expect("dead letters can be read");
            (!letters.iter().any(|letter| letter.is_requested)).then_some(())
        })
        .await;
        shut_down(app).await;
        let app = probing(&timed.store).await;
        let expected: Vec<_> = before.iter().copied().chain(["last"]).collect();
        until("the rest is written", async || {
            retry(&app, "i").await;
            (texts(&app, "l").await.len() == expected.len()).then_some(())
        })
        .await;
        assert_eq!(texts(&app, "l").await, expected);
        shut_down(app).await;
    }
}

/// Writes once per signal, in four partitions.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "spread", id = String, events(Sent), options = spread)]
struct Spread {
    count: u64,
}

fn spread() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().partitions(4);
    options.subscription(subscription)
}

impl Process<Sent> for Spread {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, _: &Sent, context: &ProcessContext) -> Reaction<Self> {
        let (ledger, text) = (context.instance().to_owned(), self.count.to_string());
        Reaction::dispatch(Write { ledger, text })
    }

    fn apply(&mut self, _: &Sent) {
        self.count += 1;
    }
}

/// Instances are spread over partitions and processes; when one dies, and when there are other partitions, each
/// goes on where it was.
pub async fn instances_spread_over_processes_and_others_take_over<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let mut apps = Vec::new();
    for _ in 0..2 {
        let app = leased(&store, SHORT).process_manager::<Spread>();
        apps.push(start(app).await);
    }
    let clean = start(on(&store)).await;
    status_when(&clean, Spread::NAME, |status| {
        let owners = status.partitions.iter().filter_map(|it| it.owner);
        owners.collect::<HashSet<_>>().len() == 2
    })
    .await;
    let ids: Vec<_> = (0..12).map(|id| id.to_string()).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    for round in 0..30 {
        send(&clean, note(Kind::Start, &ids)).await;
        match round {
            10 => drop(apps.pop()),
            15 => {
                let asked = clean.subscriptions().repartition(Spread::NAME, 7).await;
                asked.expect("partitions can be replaced");
            }
            _ => {}
        }
    }
    let expected: Vec<_> = (0..30).map(|count| count.to_string()).collect();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    for id in &ids {
        until_texts(&clean, id, &expected).await;
    }
    assert_eq!(head(&clean).await, 30 + 30 * 12);
    for app in apps {
        shut_down(app).await;
    }
    shut_down(clean).await;
}
