//! The commands that instances issue.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ordain::middleware::{Halt, Middleware, Next, Outcome, Request};
use ordain::prelude::*;
use ordain::store::SubscriptionState;
use ordain::{
    App, CommandId, CorrelationId, EventContext, ProcessContext, ProcessOptions, Reaction, Route,
};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::read_side::Timed;
use super::super::support::log;
use super::support::*;
use crate::{Call, Fault, FaultyStore, Gate, ManualClock};

/// Commands of an instance are dispatched one after the other, those that change nothing too.
pub async fn commands_of_an_instance_are_dispatched_in_order<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    for round in 0..20 {
        let first = format!("{round}a");
        let note = begin("i").writes("l", &first);
        let note = note.writes("l", "empty").writes("l", &format!("{round}b"));
        send(&app, note).await;
    }
    settled(&app).await;
    let expected: Vec<_> = (0..20)
        .flat_map(|round| [format!("{round}a"), format!("{round}b")])
        .collect();
    assert_eq!(texts(&app, "l").await, expected);
    assert_eq!(seen(&app, "i").await.len(), 20);
    shut_down(app).await;
}

/// An instance whose command takes long waits; others go on, and the reading does.
pub async fn a_slow_target_holds_up_its_instance_alone<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = FaultyStore::new(fixture.open().await);
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    send(&app, begin("slow").writes("slow", "1")).await;
    gate.reached().await;
    for round in 2..=5 {
        send(&app, begin("slow").writes("slow", &round.to_string())).await;
        send(&app, begin("other").writes("other", &round.to_string())).await;
    }
    until_texts(&app, "other", &["2", "3", "4", "5"]).await;
    let status = status_when(&app, Probe::NAME, |status| status.lag == 0).await;
    assert_eq!(status.parked, 1);
    assert_eq!(seen(&app, "slow").await, ["Start"]);
    gate.release();
    until_texts(&app, "slow", &["1", "2", "3", "4", "5"]).await;
    settled(&app).await;
    shut_down(app).await;
}

/// What an instance waits with is read again by the process that takes over.
pub async fn parked_instances_go_on_after_a_restart_from_what_is_stored<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = leased(&store, timed.lease()).process_manager::<Probe>();
    let app = start(app).await;
    let mut gate = hold_command(&store);
    send(&app, begin("slow").writes("slow", "1")).await;
    gate.reached().await;
    for round in 2..=5 {
        send(&app, begin("slow").writes("slow", &round.to_string())).await;
    }
    status_when(&app, Probe::NAME, |it| it.parked == 1 && it.lag == 0).await;
    kill(&timed, &store, app, gate).await;
    let app = probing(&timed.store).await;
    until_texts(&app, "slow", &["1", "2", "3", "4", "5"]).await;
    settled(&app).await;
    shut_down(app).await;
}

/// No more instances wait than there is room for: then no more events are read.
pub async fn more_parked_instances_than_allowed_hold_up_the_reading<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let app = start(on(&store).process_manager::<Narrow>()).await;
    let mut gates = Vec::new();
    for id in ["a", "b", "c"] {
        let mut gate = hold_command(&store);
        send(&app, begin(id).writes(id, "1")).await;
        gate.reached().await;
        gates.push(gate);
    }
    for id in ["a", "b", "c", "d"] {
        send(&app, begin(id).writes(id, "2")).await;
    }
    let status = status_when(&app, Narrow::NAME, |status| status.parked == 2).await;
    assert_eq!(status.lag, 2);
    gates.into_iter().for_each(Gate::release);
    for id in ["a", "b", "c"] {
        until_texts(&app, id, &["1", "2"]).await;
    }
    until_texts(&app, "d", &["2"]).await;
    shut_down(app).await;
}

/// As [`Probe`], with room for two parked instances.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "narrow", id = String, events(Sent), options = narrow)]
struct Narrow;

fn narrow() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().blocked_max(2);
    options.subscription(subscription)
}

impl Process<Sent> for Narrow {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }
}

/// As [`Probe`], with room for two unsettled commands.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "full", id = String, events(Sent), options = full)]
struct Full;

fn full() -> ProcessOptions {
    quick().outgoing_max(2)
}

impl Process<Sent> for Full {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }
}

/// No more commands are unsettled than there is room for: then no more events are read, until one is settled.
pub async fn more_commands_than_allowed_hold_up_the_reading<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let app = start(on(&store).process_manager::<Full>()).await;
    let mut gates = Vec::new();
    for id in ["a", "b"] {
        let mut gate = hold_command(&store);
        send(&app, begin(id).writes(id, "1")).await;
        gate.reached().await;
        gates.push(gate);
    }
    for id in ["c", "d"] {
        send(&app, begin(id).writes(id, "1")).await;
    }
    beats(&store).await;
    let status = app.subscriptions().status(Full::NAME).await;
    assert_eq!(status.expect("a status").lag, 2);
    assert_eq!(texts(&app, "c").await, [""; 0]);
    for gate in gates {
        gate.release();
    }
    for id in ["a", "b", "c", "d"] {
        until_texts(&app, id, &["1"]).await;
    }
    status_when(&app, Full::NAME, |status| status.lag == 0).await;
    shut_down(app).await;
}

/// A rejected command is tried as often as told, then its instance is put aside with all that comes later;
/// discarded, it is left out.
pub async fn a_rejected_command_is_tried_again_and_then_its_instance_put_aside<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(
        &app,
        begin("i").writes("l", "reject me").writes("l", "next"),
    )
    .await;
    send(&app, begin("i").writes("l", "later")).await;
    send(&app, begin("j").writes("m", "other")).await;
    until_texts(&app, "m", &["other"]).await;
    let letters = aside(&app, 1).await;
    assert_eq!(letters[0].key, "i");
    assert!(letters[0].error.contains("`reject me` is refused"));
    let aside = instance(&app, "i").await;
    assert_eq!(aside.dead_letter, Some(letters[0].clone()));
    let outgoing: Vec<_> = aside.outgoing.iter().map(|it| it.attempts).collect();
    assert_eq!(outgoing, [3, 0]);
    assert_eq!(aside.outgoing[0].body["text"], "reject me");
    assert_eq!(texts(&app, "l").await, [""; 0]);

    assert!(discard(&app, "i").await);
    until_texts(&app, "l", &["next", "later"]).await;
    settled(&app).await;
    assert_eq!(instance(&app, "i").await.dead_letter, None);
    shut_down(app).await;
}

/// An instance that is put aside stays so after a restart, and is tried again when somebody asks.
pub async fn a_command_put_aside_is_retried_when_somebody_asks<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    let note = begin("i").writes("l", "closed so far");
    send(&app, note.failing(OnFailure::DeadLetter)).await;
    send(&app, begin("i").writes("l", "later")).await;
    aside(&app, 1).await;
    shut_down(app).await;

    let app = probing(&store).await;
    assert!(retry(&app, "i").await);
    aside(&app, 1).await;
    open_ledger(&app, "l").await;
    until("it is written", async || {
        // It may not have been put aside again yet.
        retry(&app, "i").await;
        (texts(&app, "l").await == ["closed so far", "later"]).then_some(())
    })
    .await;
    settled(&app).await;
    shut_down(app).await;
}

/// A failed command is left out, alone or with those behind it, or replaced.
pub async fn each_answer_to_a_failed_command<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let cases = [
        (OnFailure::Skip, vec!["next", "later"], 1),
        (OnFailure::SkipRest, vec!["later"], 1),
        (
            OnFailure::Replace,
            vec!["instead of \"reject\"", "later"],
            1,
        ),
    ];
    for (action, expected, failures) in cases {
        let store = fixture.open().await;
        let app = probing(&store).await;
        let note = begin("i").writes("l", "reject").writes("l", "next");
        send(&app, note.failing(action)).await;
        send(&app, begin("i").writes("l", "later")).await;
        until_texts(&app, "l", &expected).await;
        settled(&app).await;
        let seen = seen(&app, "i").await;
        let failed = seen.iter().filter(|text| text.starts_with("failed"));
        assert_eq!(failed.count(), failures, "{action:?}: {seen:?}");
        let error = instance(&app, "i").await.command_error;
        assert!(error.is_some_and(|error| error.contains("refused")));
        shut_down(app).await;
    }
}

/// What panics has failed too, and is replaced.
pub async fn a_replacement_that_fails_is_replaced_in_turn<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    let note = begin("i").writes("l", "panic now");
    send(&app, note.failing(OnFailure::Replace)).await;
    until_texts(&app, "l", &["instead of \"panic now\""]).await;
    shut_down(app).await;
}

/// A failed command may stop the process manager; resumed, it tries again.
pub async fn a_failed_command_may_stop_the_manager<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    let note = begin("i").writes("l", "closed so far");
    send(&app, note.failing(OnFailure::Stop)).await;
    let status = status_when(&app, Probe::NAME, |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    let reason = status.reason.expect("a reason");
    assert!(reason.contains("`closed so far` is refused"), "{reason}");
    open_ledger(&app, "l").await;
    let resumed = app.subscriptions().resume(Probe::NAME).await;
    resumed.expect("it can be resumed");
    until_texts(&app, "l", &["closed so far"]).await;
    shut_down(app).await;
}

/// What the store hinders is no failure of the command.
pub async fn what_the_store_hinders_is_tried_again_without_counting<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let app = probing(&store).await;
    let faults = store.faults();
    faults.pass_next(Call::Append);
    faults.fail_next_n(5, Call::Append, Fault::BeforeCommit);
    send(&app, begin("i").writes("l", "after all")).await;
    until_texts(&app, "l", &["after all"]).await;
    settled(&app).await;
    let status = status(&app).await;
    assert_eq!(status.dead_letters, 0);
    shut_down(app).await;
}

/// Where one instance after the other fails, their targets are waited for, and no more is put aside.
pub async fn one_failing_instance_after_the_other_counts_as_an_outage<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    for id in 0..6 {
        send(&app, begin(&id.to_string()).writes("l", "closed")).await;
    }
    aside(&app, 3).await;
    open_ledger(&app, "l").await;
    until_texts(&app, "l", &["closed"; 3]).await;
    let asked = app.subscriptions().retry_all(Probe::NAME).await;
    assert_eq!(asked.expect("asked"), 3);
    until_texts(&app, "l", &["closed"; 6]).await;
    settled(&app).await;
    shut_down(app).await;
}

/// A command inherits correlation, actor and tenant of its event, names it as its cause, and bears its time.
pub async fn what_an_event_carries_is_handed_on_to_its_commands<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    let correlation_id = CorrelationId::new();
    let (signal, note) = ("s".to_owned(), begin("i").writes("l", "text"));
    let send = app.dispatch(Send { signal, note });
    let send = send.actor("teller-7").tenant("north");
    let receipt = send.correlation_id(correlation_id).await.expect("sent");
    until_texts(&app, "l", &["text"]).await;
    let events = log(&store).await;
    let (sent, written) = (&events[0], &events[1]);
    assert_eq!(receipt.position, sent.position);
    assert_eq!(written.correlation_id, Some(correlation_id));
    assert_eq!(written.causation_id, Some(sent.event_id.into()));
    assert_eq!(written.metadata.actor.as_deref(), Some("teller-7"));
    assert_eq!(written.metadata.tenant.as_deref(), Some("north"));
    let millis = sent.recorded_at.unix_timestamp_nanos() / 1_000_000;
    let command_id = CommandId::from_uuid(written.event_id.as_uuid());
    let stamped = command_id.as_uuid().as_u128() >> 80;
    assert_eq!(i128::try_from(stamped), Ok(millis));
    shut_down(app).await;
}

/// Commands of events are dispatched however old the events are.
pub async fn old_events_have_their_commands_dispatched<F: SubscriptionFixture>(fixture: &Arc<F>) {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 3_600);
    let store = fixture.open().await;
    let before = start(on(&store)).await;
    send(&before, begin("i").writes("l", "late")).await;
    let [sent] = &log(&store).await[..] else {
        panic!("one event was sent");
    };
    let clock = ManualClock::starting_at(sent.recorded_at + YEAR);
    let app = on(&store).clock(Arc::new(clock));
    let app = start(app.process_manager::<Probe>()).await;
    until_texts(&app, "l", &["late"]).await;
    shut_down(app).await;
    shut_down(before).await;
}

/// What waits for a process manager while that dispatches a command would wait for itself, and is refused.
pub async fn a_manager_is_refused_that_waits_for_itself<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let waits = WaitsForProbe::default();
    let app = on(&store).process_manager::<Probe>();
    let app = start(app.middleware(waits.clone())).await;
    waits.app.get_or_init(|| app.clone());
    send(&app, begin("i").writes("l", "text")).await;
    let answer = until("it was refused", async || waits.answer()).await;
    assert!(answer.contains("would wait for itself"), "{answer}");
    until_texts(&app, "l", &["text"]).await;
    shut_down(app).await;
}

/// Dispatches within a dispatch to a ledger, and waits for the process manager that issued it.
#[derive(Debug, Clone, Default)]
struct WaitsForProbe {
    app: Arc<OnceLock<App>>,
    answer: Arc<Mutex<Option<String>>>,
}

impl WaitsForProbe {
    fn answer(&self) -> Option<String> {
        let answer = self.answer.lock();
        answer.unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Middleware for WaitsForProbe {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        if let Some(app) = self.app.get()
            && request.name() == "Write"
        {
            let note = note(Kind::None, &[]);
            let signal = "inner".to_owned();
            let sent = app.dispatch(Send { signal, note });
            let refused = sent.wait_for([Probe::NAME]).await.err();
            let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
            *answer = refused.map(|error| error.to_string());
        }
        next.run(request).await
    }
}

/// Gives what is written into ledgers ids of its own.
#[derive(Debug)]
struct Renames;

#[async_trait]
impl Middleware for Renames {
    async fn dispatch(&self, request: &mut Request, next: Next<'_>) -> Result<Outcome, Halt> {
        if request.name() == "Write" {
            request.command_id = CommandId::new();
        }
        next.run(request).await
    }
}

/// A middleware may give a command another id: it is settled all the same.
pub async fn a_command_that_gets_another_id_on_its_way_is_settled<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = on(&store).process_manager::<Probe>();
    let app = start(app.middleware(Renames)).await;
    let note = begin("i").writes("l", "1").writes("l", "empty");
    send(&app, note.writes("l", "2")).await;
    until_texts(&app, "l", &["1", "2"]).await;
    settled(&app).await;
    shut_down(app).await;
}
