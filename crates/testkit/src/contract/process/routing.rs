//! Which instances an event is for.

use std::sync::Arc;
use std::time::Duration;

use ordain::prelude::*;
use ordain::store::SubscriptionState;
use ordain::{
    Backoff, EventContext, Failure, FailureAction, ProcessContext, ProcessOptions, Reaction, Route,
};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::support::*;
use crate::{Call, Fault, FaultyStore};

/// `start` begins an instance, or goes on with one that is there.
pub async fn start_begins_an_instance_or_goes_on_with_it<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a")).await;
    send(&app, begin("a")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start", "Start"]);
    shut_down(app).await;
}

/// `continue` and `stop` pass over what is not there, and an event may be for nobody.
pub async fn continue_and_stop_pass_over_what_is_not_there<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, go_on("a")).await;
    send(&app, stop("a")).await;
    send(&app, note(Kind::None, &["a"])).await;
    send(&app, note(Kind::Start, &[])).await;
    settled(&app).await;
    assert_eq!(find(&app, "a").await, None);
    let status = status(&app).await;
    assert_eq!(status.dead_letters, 0);
    shut_down(app).await;
}

/// `stop` ends an instance; later events pass it over, and a later `start` begins anew.
pub async fn stop_ends_an_instance_and_a_later_start_begins_anew<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a")).await;
    send(&app, stop("a")).await;
    send(&app, go_on("a")).await;
    settled(&app).await;
    let ended = instance(&app, "a").await;
    assert!(ended.finished);
    assert_eq!(seen(&app, "a").await, ["Start", "Stop"]);
    send(&app, begin("a")).await;
    settled(&app).await;
    assert!(!instance(&app, "a").await.finished);
    assert_eq!(seen(&app, "a").await, ["Start"]);
    shut_down(app).await;
}

/// An instance is stopped, with its timers, and stays so, whether it is in memory or not.
pub async fn a_stopped_instance_stays_stopped_though_it_was_not_in_memory<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a").timer("t", LONG, "late")).await;
    settled(&app).await;
    shut_down(app).await;
    let app = probing(&store).await;
    send(&app, stop("a")).await;
    settled(&app).await;
    let ended = instance(&app, "a").await;
    assert!(ended.finished && ended.timers.is_empty());
    shut_down(app).await;
    let app = probing(&store).await;
    send(&app, go_on("a")).await;
    settled(&app).await;
    assert!(instance(&app, "a").await.finished);
    assert_eq!(seen(&app, "a").await, ["Start", "Stop"]);
    shut_down(app).await;
}

/// An instance goes on with its state after a restart.
pub async fn an_instance_goes_on_with_its_state_after_a_restart<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    for round in 1..=3 {
        let app = probing(&store).await;
        send(&app, begin("a")).await;
        settled(&app).await;
        assert_eq!(seen(&app, "a").await.len(), round);
        shut_down(app).await;
    }
}

/// Where a strict route does not hold, the instance is put aside; discarded, it goes on with what waited.
pub async fn strict_routes_that_do_not_hold_put_the_instance_aside<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a").strictly()).await;
    send(&app, begin("a").strictly()).await;
    send(&app, go_on("b").strictly()).await;
    send(&app, go_on("a")).await;
    let letters = aside(&app, 2).await;
    assert!(letters[0].error.contains("there already"), "{letters:?}");
    assert!(letters[1].error.contains("not there"), "{letters:?}");
    assert_eq!(letters[0].attempts, 3);
    assert_eq!(seen(&app, "a").await, ["Start"]);
    assert!(discard(&app, "a").await);
    assert!(discard(&app, "b").await);
    until_seen(&app, "a", &["Start", "Continue"]).await;
    settled(&app).await;
    shut_down(app).await;
}

/// An event may be for many instances, each with its own reaction.
pub async fn an_event_may_be_for_many_instances<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(
        &app,
        note(Kind::Start, &["a", "b", "c"]).writes("all", "{}"),
    )
    .await;
    settled(&app).await;
    send(
        &app,
        note(Kind::Continue, &["a", "c", "d"]).writes("{}", "more"),
    )
    .await;
    settled(&app).await;
    let mut all = texts(&app, "all").await;
    all.sort();
    assert_eq!(all, ["a", "b", "c"]);
    assert_eq!(texts(&app, "a").await, ["more"]);
    assert_eq!(texts(&app, "b").await, [""; 0]);
    assert_eq!(texts(&app, "c").await, ["more"]);
    assert_eq!(find(&app, "d").await, None);
    let listed = app.processes(Probe::NAME).list(Some("a"), 10).await;
    assert_eq!(listed.expect("a list"), ["b", "c"]);
    shut_down(app).await;
}

/// An instance that an event names twice handles it once.
pub async fn an_event_that_names_an_instance_twice_is_handled_once<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, note(Kind::Start, &["a", "a"]).writes("a", "once")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    assert_eq!(texts(&app, "a").await, ["once"]);
    shut_down(app).await;
}

/// An event may end an instance and begin it anew, and both issue commands.
pub async fn an_event_may_end_an_instance_and_begin_it_anew<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a")).await;
    send(&app, note(Kind::Restart, &["a"]).writes("a", "both")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Restart"]);
    assert_eq!(texts(&app, "a").await, ["both", "both"]);
    shut_down(app).await;
}

/// An instance that panics is put aside as it was before; others go on.
pub async fn a_panic_puts_its_instance_aside_and_others_go_on<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    for panics in [Panics::Handle, Panics::Apply] {
        let store = fixture.open().await;
        let app = probing(&store).await;
        send(&app, begin("a").writes("a", "never").panicking(panics)).await;
        send(&app, begin("a").writes("a", "later")).await;
        send(&app, begin("b").writes("b", "other")).await;
        until_texts(&app, "b", &["other"]).await;
        aside(&app, 1).await;
        assert_eq!(texts(&app, "a").await, [""; 0]);
        assert!(discard(&app, "a").await);
        until_texts(&app, "a", &["later"]).await;
        assert_eq!(seen(&app, "a").await, ["Start"]);
        shut_down(app).await;
    }
}

/// An event of which nobody can say whose it is stops the process manager, or is skipped.
pub async fn what_cannot_be_routed_stops_the_manager_or_is_skipped<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send_from(&app, "skipped", begin("a").panicking(Panics::Route)).await;
    send(&app, begin("a")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    send(&app, begin("a").panicking(Panics::Route)).await;
    let status = status_when(&app, Probe::NAME, |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    let reason = status.reason.expect("a reason");
    assert!(reason.contains("told to panic"), "{reason}");
    shut_down(app).await;
}

/// What is routed to an id that is blank or too long cannot be routed.
pub async fn an_instance_whose_id_cannot_be_stored_stops_the_manager<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    for bad in ["", " ", &"long".repeat(300)] {
        let store = fixture.open().await;
        let app = probing(&store).await;
        send_from(&app, "skipped", begin(bad)).await;
        send(&app, begin("a")).await;
        settled(&app).await;
        send(&app, begin(bad)).await;
        let status = status_when(&app, Probe::NAME, |status| {
            status.state == SubscriptionState::Stopped
        })
        .await;
        let reason = status.reason.expect("a reason");
        assert!(
            reason.contains("cannot be the id of an instance"),
            "{reason}"
        );
        shut_down(app).await;
    }
}

/// A failure may stop the process manager.
pub async fn a_failure_may_stop_the_manager_which_then_goes_on_from_there<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("a")).await;
    send_from(&app, "stopped", begin("a").panicking(Panics::Handle)).await;
    status_when(&app, Probe::NAME, |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    send_from(&app, "skipped", begin("a").panicking(Panics::Handle)).await;
    shut_down(app).await;
}

/// Who waits for the process manager waits for an instance that is parked, too.
pub async fn wait_for_waits_for_a_parked_instance_too<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = FaultyStore::new(fixture.open().await);
    let app = probing(&store).await;
    send(&app, begin("a")).await;
    settled(&app).await;
    let mut gate = hold_command(&store);
    send(&app, go_on("a").writes("a", "slow")).await;
    gate.reached().await;
    let (signal, note) = ("s".to_owned(), go_on("a"));
    let send = Send { signal, note };
    let waiting = app.dispatch(send.clone()).wait_for([Probe::NAME]);
    let waited = waiting.wait_at_most(Duration::from_millis(300)).await;
    let error = waited.expect_err("it is parked").to_string();
    assert!(error.contains("in time"), "{error}");
    gate.release();
    let waited = app.dispatch(send).wait_for([Probe::NAME]).await;
    waited.expect("it goes on");
    assert_eq!(seen(&app, "a").await.len(), 4);
    shut_down(app).await;
}

/// Stops when it fails; what the store hinders it tries again much later.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "halting",
    id = String,
    events(Sent),
    options = halting,
    on_failure = Halting::stop
)]
struct Halting;

fn halting() -> ProcessOptions {
    let options = quick();
    let retry = Backoff::new(LONG, LONG);
    let subscription = options.subscription.clone().retry(retry);
    options.subscription(subscription)
}

impl Halting {
    fn stop(_: &Failure) -> FailureAction {
        FailureAction::Stop
    }
}

impl Process<Sent> for Halting {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        assert!(event.note.panics.is_none(), "told to panic");
        event.note.reaction()
    }
}

/// [`Halting`] without its fault.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "halting", id = String, events(Sent), options = quick)]
struct Mended;

impl Process<Sent> for Mended {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }
}

/// A process that ends while a process manager cannot be stopped does not write down what it has not committed.
pub async fn a_manager_that_is_shut_down_while_it_stops_loses_nothing<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    shut_down(start(on(&store).process_manager::<Halting>()).await).await;
    let elsewhere = start(on(&store)).await;
    send(&elsewhere, begin("a").writes("l", "1")).await;
    send(&elsewhere, begin("b").panicking(Panics::Handle)).await;
    let stops = || store.faults().calls(Call::ChangeSubscriptions);
    let begun = stops();
    store
        .faults()
        .fail_next_n(100, Call::ChangeSubscriptions, Fault::BeforeCommit);
    let app = start(on(&store).process_manager::<Halting>()).await;
    until("it tries to stop", async || (stops() > begun).then_some(())).await;
    shut_down(app).await;
    store.faults().disarm();
    let app = start(on(&store).process_manager::<Mended>()).await;
    until_texts(&app, "l", &["1"]).await;
    shut_down(app).await;
    shut_down(elsewhere).await;
}

/// An event for an instance whose id is too long cannot be routed.
pub async fn an_id_that_no_store_keeps_cannot_be_routed<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let app = probing(&fixture.open().await).await;
    let long = "x".repeat(1_025);
    send_from(&app, "skipped", begin(&long)).await;
    send(&app, begin(&long[1..])).await;
    settled(&app).await;
    assert_eq!(seen(&app, &long[1..]).await, ["Start"]);
    assert_eq!(find(&app, &long).await, None);
    send(&app, begin(&long)).await;
    let status = status_when(&app, Probe::NAME, |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    let reason = status.reason.expect("a reason");
    assert!(reason.contains("has 1025 bytes"), "{reason}");
    shut_down(app).await;
}
