//! Timers.

use std::sync::Arc;
use std::time::Duration;

use ordain::prelude::*;
use ordain::{EventContext, ProcessContext, ProcessOptions, Reaction, Route, TimerContext};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::read_side::{Timed, now_of};
use super::super::support::log;
use super::support::*;
use crate::{Call, FaultyStore};

/// A timer fires when it is due, and not before, and is gone then.
pub async fn a_timer_fires_when_it_is_due_and_not_before<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let (store, moment) = (&timed.store, timed.moment());
    let app = probing(store).await;
    send(&app, begin("a").timer("t", 2 * moment, "due")).await;
    send(&app, begin("b").timer("t", moment, "sooner")).await;
    settled(&app).await;
    let timers = instance(&app, "a").await.timers;
    assert_eq!((timers.len(), timers[0].key.as_str()), (1, "t"));
    timed.pass();
    until_texts(&app, "b", &["sooner"]).await;
    timed.pass();
    until_texts(&app, "a", &["due"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start", "due"]);
    assert_eq!(instance(&app, "a").await.timers, []);
    let events = log(store).await;
    let times: Vec<_> = events.iter().map(|event| event.recorded_at).collect();
    assert!(times[2] - times[1] >= moment, "{times:?}");
    assert!(times[3] - times[0] >= 2 * moment, "{times:?}");
    shut_down(app).await;
}

/// A manager that has no timers does not look for any, until it sets one.
pub async fn a_manager_without_timers_does_not_look_for_any<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let (faults, app) = (store.faults(), probing(&store).await);
    send(&app, begin("a")).await;
    settled(&app).await;
    let looks_of_ten_beats = async || {
        let (looks, beats) = (faults.calls(Call::TimersDue), faults.calls(Call::KeepAlive));
        until("ten beats have passed", async || {
            (faults.calls(Call::KeepAlive) >= beats + 10).then_some(())
        })
        .await;
        faults.calls(Call::TimersDue) - looks
    };
    until("it has looked once", async || {
        (looks_of_ten_beats().await == 0).then_some(())
    })
    .await;
    send(&app, go_on("a").timer("t", Duration::ZERO, "due")).await;
    until_texts(&app, "a", &["due"]).await;
    shut_down(app).await;
}

/// A timer set again under its key replaces the one before, and one taken back does not fire.
pub async fn a_timer_can_be_replaced_and_taken_back<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let (app, later) = (probing(&timed.store).await, timed.later());
    send(&app, begin("a").timer("t", later, "first")).await;
    send(&app, begin("a").timer("t", 2 * later, "second")).await;
    send(&app, begin("a").timer("u", later, "taken back")).await;
    send(&app, cancel("a", "u")).await;
    send(&app, begin("b").timer("t", later, "sign")).await;
    settled(&app).await;
    timed.pass();
    until_texts(&app, "b", &["sign"]).await;
    timed.pass();
    until_texts(&app, "a", &["second"]).await;
    settled(&app).await;
    let expected = ["Start", "Start", "Start", "Continue", "second"];
    assert_eq!(seen(&app, "a").await, expected);
    shut_down(app).await;
}

/// A timer that became due while nobody worked does not overtake the event in the log that takes it back.
pub async fn a_timer_that_is_due_is_not_overtaken_by_what_lies_unread<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let (store, later) = (&timed.store, timed.later());
    let app = probing(store).await;
    send(&app, begin("a").timer("t", later, "never")).await;
    send(&app, begin("b").timer("t", later, "sign")).await;
    settled(&app).await;
    let due_at = instance(&app, "b").await.timers[0].due_at;
    shut_down(app).await;
    let elsewhere = start(on(store)).await;
    for _ in 0..50 {
        send(&elsewhere, go_on("c")).await;
    }
    send(&elsewhere, cancel("a", "t")).await;
    timed.pass();
    until("it is due", async || {
        (now_of(store).await > due_at).then_some(())
    })
    .await;
    let app = probing(store).await;
    until_texts(&app, "b", &["sign"]).await;
    settled(&app).await;
    assert_eq!(texts(&app, "a").await, [""; 0]);
    assert_eq!(seen(&app, "a").await, ["Start", "Continue"]);
    shut_down(app).await;
    shut_down(elsewhere).await;
}

/// Timers of an instance fire in the order in which they are due, also those that fell due while nobody worked,
/// one of which is set by another.
pub async fn timers_fire_in_the_order_in_which_they_are_due_after_downtime_too<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let (store, moment) = (&timed.store, timed.moment());
    let app = probing(store).await;
    let sets = format!("sets {} sooner", moment.as_millis());
    send(&app, begin("a").timer("t", timed.later(), &sets)).await;
    let last = timed.later() + 3 * moment;
    send(&app, go_on("a").timer("u", last, "later")).await;
    settled(&app).await;
    let timers = instance(&app, "a").await.timers;
    let due_at = timers.iter().map(|timer| timer.due_at).max();
    shut_down(app).await;
    (0..5).for_each(|_| timed.pass());
    until("they are due", async || {
        (Some(now_of(store).await) > due_at).then_some(())
    })
    .await;
    let app = probing(store).await;
    until_texts(&app, "a", &["sooner", "later"]).await;
    settled(&app).await;
    let expected = ["Start", "Continue", &*sets, "sooner", "later"];
    assert_eq!(seen(&app, "a").await, expected);
    shut_down(app).await;
}

/// A timer of a parked instance does not fire before that has caught up, which may take it back.
pub async fn a_timer_of_a_parked_instance_is_judged_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let (app, moment) = (probing(&store).await, timed.moment());
    let mut gate = hold_command(&store);
    let note = begin("a").writes("a", "slow");
    send(&app, note.timer("t", moment, "never")).await;
    gate.reached().await;
    send(&app, cancel("a", "t")).await;
    send(&app, begin("b").timer("t", moment, "sign")).await;
    status_when(&app, Probe::NAME, |it| it.parked == 1 && it.lag == 0).await;
    timed.pass();
    until_texts(&app, "b", &["sign"]).await;
    assert_eq!(instance(&app, "a").await.timers.len(), 1);
    gate.release();
    until_texts(&app, "a", &["slow"]).await;
    settled(&app).await;
    assert_eq!(instance(&app, "a").await.timers, []);
    assert_eq!(seen(&app, "a").await, ["Start", "Continue"]);
    shut_down(app).await;
}

/// Asks a ledger, and asks again if no answer comes in time; reads nothing while a question is under way.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "asking",
    id = String,
    events(Sent, Written),
    timer = AskAgain,
    options = one_by_one
)]
struct Asking {
    has_answer: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct AskAgain {
    ledger: String,
}

fn one_by_one() -> ProcessOptions {
    quick().outgoing_max(1)
}

impl Process<Sent> for Asking {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, context: &ProcessContext) -> Reaction<Self> {
        let ledger = context.instance().to_owned();
        let reaction = event.note.reaction();
        match &event.note.timer {
            Some((key, after, _)) => reaction.timer(key, *after, AskAgain { ledger }),
            None => reaction,
        }
    }
}

impl Process<Written> for Asking {
    fn route(_: &Written, context: &EventContext) -> Route<String> {
        Route::continue_with(context.id())
    }

    fn handle(&self, _: &Written, _: &ProcessContext) -> Reaction<Self> {
        Reaction::none().cancel_timer("t")
    }

    fn apply(&mut self, _: &Written) {
        self.has_answer = true;
    }
}

impl OnTimer<AskAgain> for Asking {
    fn on_timer(&self, timer: &AskAgain, _: &TimerContext) -> Reaction<Self> {
        let (ledger, text) = (timer.ledger.clone(), "too late".to_owned());
        Reaction::dispatch(Write { ledger, text })
    }
}

/// A timer that falls due while a command is under way does not overtake the event that the command leads to.
pub async fn a_timer_does_not_overtake_what_a_command_has_led_to<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = start(on(&store).process_manager::<Asking>()).await;
    let mut gate = hold_command(&store);
    let note = begin("a").writes("a", "answer");
    send(&app, note.timer("t", timed.moment(), "")).await;
    gate.reached().await;
    // It lies unread, so that what is found to be due has to wait for it.
    send(&app, begin("b").writes("b", "answer")).await;
    timed.pass();
    let looks = || store.faults().calls(Call::Head);
    let begun = looks();
    until("the timer is found to be due", async || {
        (looks() > begun).then_some(())
    })
    .await;
    gate.release();
    until_texts(&app, "b", &["answer"]).await;
    status_when(&app, Asking::NAME, |it| it.lag == 0 && it.parked == 0).await;
    assert_eq!(texts(&app, "a").await, ["answer"]);
    let asking = app.processes(Asking::NAME).get("a").await;
    let asking = asking.expect("instances can be read");
    assert_eq!(asking.expect("it has begun").timers, []);
    shut_down(app).await;
}

/// An instance whose timer fails is put aside; discarded, the timer is left out, and retried, it fails again.
pub async fn a_timer_that_fails_puts_its_instance_aside<F: SubscriptionFixture>(fixture: &Arc<F>) {
    for is_discarded in [true, false] {
        let timed = Timed::open(&**fixture).await;
        let (app, moment) = (probing(&timed.store).await, timed.moment());
        send(&app, begin("a").timer("t", moment, "timer panics")).await;
        send(&app, begin("b").timer("t", moment, "other")).await;
        settled(&app).await;
        timed.pass();
        until_texts(&app, "b", &["other"]).await;
        let letters = aside(&app, 1).await;
        assert!(letters[0].error.contains("told to panic"), "{letters:?}");
        send(&app, begin("a").writes("a", "later")).await;
        if is_discarded {
            assert!(discard(&app, "a").await);
            until_texts(&app, "a", &["later"]).await;
            assert_eq!(instance(&app, "a").await.timers, []);
        } else {
            assert!(retry(&app, "a").await);
            until_texts(&app, "a", &["later"]).await;
            aside(&app, 1).await;
        }
        shut_down(app).await;
    }
}

/// After a reset, a timer that had fired is taken into the state and issues nothing; one that was still to come
/// comes once.
pub async fn a_timer_that_fired_before_a_reset_issues_nothing_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let app = probing(&timed.store).await;
    send(&app, begin("a").timer("t", timed.moment(), "due")).await;
    settled(&app).await;
    timed.pass();
    until_texts(&app, "a", &["due"]).await;
    send(&app, go_on("a")).await;
    send(&app, begin("b").timer("t", timed.later(), "still to come")).await;
    settled(&app).await;
    reset(&app, 0).await;
    until_seen(&app, "a", &["Start", "Continue", "due"]).await;
    timed.pass();
    until_texts(&app, "b", &["still to come"]).await;
    settled(&app).await;
    assert_eq!(texts(&app, "a").await, ["due"]);
    assert_eq!(written(&timed.store).await.len(), 2);
    shut_down(app).await;
}
