//! Bounds: what fails, waits or is due in great number.

use std::sync::Arc;

use ordain::prelude::*;
use ordain::{
    App, Backoff, EventContext, ProcessContext, ProcessOptions, Reaction, Route, TimerContext,
};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::read_side::Timed;
use super::support::*;
use crate::{Call, FaultyStore, Gate, Halt};

/// Fails as it is told to, and tries again much later; it has room for two instances that wait.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "failing", id = String, events(Sent), options = patient)]
struct Failing;

fn patient() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().blocked_max(2);
    let subscription = subscription.retry(Backoff::new(LONG, LONG));
    options.subscription(subscription)
}

impl Process<Sent> for Failing {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        assert!(event.note.panics.is_none(), "told to panic");
        Reaction::none()
    }
}

/// No more instances fail and wait for another attempt than there is room for.
pub async fn more_failing_instances_than_allowed_hold_up_the_reading<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let app = start(on(&store).process_manager::<Failing>()).await;
    for id in ["a", "b", "c", "d", "e"] {
        send(&app, begin(id).panicking(Panics::Handle)).await;
    }
    status_when(&app, Failing::NAME, |status| status.parked >= 2).await;
    beats(&store).await;
    let status = app.subscriptions().status(Failing::NAME).await;
    let status = status.expect("a status");
    assert_eq!((status.parked, status.lag), (2, 3));
    shut_down(app).await;
}

/// Sets timers for what a signal writes, if it tells a time, or writes it at once; it has room for two
/// unsettled commands.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "later",
    id = String,
    events(Sent),
    timer = WriteNow,
    options = for_two
)]
struct Later;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct WriteNow {
    ledger: String,
    text: String,
}

fn for_two() -> ProcessOptions {
    quick().outgoing_max(2)
}

impl Process<Sent> for Later {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        let Some((key, after, _)) = &event.note.timer else {
            return event.note.reaction();
        };
        let mut reaction = Reaction::none();
        for (index, (ledger, text)) in event.note.commands.iter().cloned().enumerate() {
            let key = format!("{key}{index}");
            reaction = reaction.timer(key, *after, WriteNow { ledger, text });
        }
        reaction
    }
}

impl OnTimer<WriteNow> for Later {
    fn on_timer(&self, timer: &WriteNow, _: &TimerContext) -> Reaction<Self> {
        let WriteNow { ledger, text } = timer.clone();
        Reaction::dispatch(Write { ledger, text })
    }
}

async fn unsettled(app: &App) -> usize {
    let unsettled = app.processes(Later::NAME).unsettled(1_000).await;
    unsettled.expect("instances can be listed").len()
}

/// Timers that are due at once issue no more commands than there is room for; the others follow.
pub async fn more_commands_than_allowed_hold_up_timers<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = start(on(&store).process_manager::<Later>()).await;
    let ids = ["a", "b", "c", "d", "e", "f"];
    for id in ids {
        let note = begin(id).writes(id, "due");
        send(&app, note.timer("t", timed.later(), "")).await;
    }
    status_when(&app, Later::NAME, |status| status.lag == 0).await;
    let mut gates = ids.map(|_| store.faults().halt_next(Call::Append, Halt::BeforeCommit));
    timed.pass();
    gates[1].reached().await;
    beats(&store).await;
    assert_eq!(unsettled(&app).await, 2);
    gates.into_iter().for_each(Gate::release);
    for id in ids {
        until_texts(&app, id, &["due"]).await;
    }
    shut_down(app).await;
}

/// While timers fire that are due at once, commands of those that have fired are dispatched.
pub async fn commands_are_dispatched_while_many_timers_fire<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = probing(&store).await;
    for number in 0..50 {
        let note = begin(&number.to_string());
        send(&app, note.timer("t", timed.later(), "due")).await;
    }
    settled(&app).await;
    let faults = store.faults();
    (0..40).for_each(|_| faults.pass_next(Call::Commit));
    let mut gate = faults.halt_next(Call::Commit, Halt::BeforeCommit);
    timed.pass();
    gate.reached().await;
    until("a command is dispatched", async || {
        written(&timed.store).await.pop()
    })
    .await;
    gate.release();
    until("all are dispatched", async || {
        (written(&timed.store).await.len() == 50).then_some(())
    })
    .await;
    shut_down(app).await;
}

/// Its timers fail if they are told to, and are tried again much later.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "brittle",
    id = String,
    events(Sent),
    timer = WriteNow,
    options = patient
)]
struct Brittle;

impl Process<Sent> for Brittle {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, context: &ProcessContext) -> Reaction<Self> {
        let ledger = context.instance().to_owned();
        match event.note.timer.clone() {
            Some((key, after, text)) => {
                Reaction::none().timer(key, after, WriteNow { ledger, text })
            }
            None => Reaction::none(),
        }
    }
}

impl OnTimer<WriteNow> for Brittle {
    fn on_timer(&self, timer: &WriteNow, _: &TimerContext) -> Reaction<Self> {
        let WriteNow { ledger, text } = timer.clone();
        assert!(text != "fails", "told to panic");
        Reaction::dispatch(Write { ledger, text })
    }
}

/// A timer that waits for another attempt holds up no other.
pub async fn a_timer_that_is_tried_again_holds_up_no_other<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let app = start(on(&timed.store).process_manager::<Brittle>()).await;
    let (soon, late) = (timed.later(), timed.later() + timed.moment());
    send(&app, begin("a").timer("t", soon, "fails")).await;
    send(&app, begin("b").timer("t", soon, "sign")).await;
    send(&app, begin("c").timer("t", late, "later")).await;
    status_when(&app, Brittle::NAME, |status| status.lag == 0).await;
    timed.pass();
    until_texts(&app, "b", &["sign"]).await;
    timed.pass();
    until_texts(&app, "c", &["later"]).await;
    assert_eq!(texts(&app, "a").await, [""; 0]);
    shut_down(app).await;
}

/// However many timers an instance has that waits for its commands, those of others fire.
pub async fn many_timers_of_a_held_instance_hide_no_others<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = start(on(&store).process_manager::<Later>()).await;
    let note = (0..600).fold(begin("a"), |note, _| note.writes("a", "due"));
    send(&app, note.timer("t", timed.later(), "")).await;
    let note = begin("b").writes("b", "due");
    let late = timed.later() + timed.moment();
    send(&app, note.timer("t", late, "")).await;
    status_when(&app, Later::NAME, |status| status.lag == 0).await;
    let mut gate = hold_command(&store);
    send(&app, begin("a").writes("a", "slow")).await;
    gate.reached().await;
    timed.pass();
    timed.pass();
    until_texts(&app, "b", &["due"]).await;
    assert_eq!(texts(&app, "a").await, [""; 0]);
    gate.release();
    until("the others follow", async || {
        (texts(&app, "a").await.len() > 2).then_some(())
    })
    .await;
    shut_down(app).await;
}

/// Dispatches one command after the other, and has room for sixty.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "single", id = String, events(Sent), options = one_by_one)]
struct Single;

fn one_by_one() -> ProcessOptions {
    quick().outgoing_max(60).dispatches(1)
}

impl Process<Sent> for Single {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }
}

/// Where there is no room for more commands, events are not taken on one by one as commands are settled.
pub async fn a_manager_with_all_it_may_have_under_way_reads_on_by_the_dozen<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let elsewhere = start(on(&store)).await;
    for number in 0..180 {
        let id = number.to_string();
        send(&elsewhere, begin(&id).writes("l", &id)).await;
    }
    let app = start(on(&store).process_manager::<Single>()).await;
    status_when(&app, Single::NAME, |status| status.lag == 0).await;
    let reads = store.faults().calls(Call::Instances);
    assert!(reads <= 40, "instances were read {reads} times");
    until("all is written", async || {
        (texts(&app, "l").await.len() == 180).then_some(())
    })
    .await;
    shut_down(app).await;
    shut_down(elsewhere).await;
}

/// After a reset, what is left of the instances of before is not read one by one.
pub async fn instances_of_before_a_reset_are_read_together<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let app = probing(&store).await;
    for number in 0..30 {
        send(&app, begin(&number.to_string())).await;
    }
    settled(&app).await;
    let reads = || store.faults().calls(Call::Instances);
    let before = reads();
    reset(&app, 0).await;
    let reads = reads() - before;
    assert!(reads < 10, "instances were read {reads} times");
    shut_down(app).await;
}
