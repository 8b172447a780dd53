//! The commands that instances issue.

use std::time::Duration;

use ordain::prelude::*;
use ordain::store::SubscriptionState;
use ordain::{App, CommandId, EventContext, MemoryStore, ProcessContext, Reaction, Route};
use ordain_testkit::{Call, Fault, FaultyStore};
use serde::{Deserialize, Serialize};

use crate::domain::*;

#[tokio::test]
async fn commands_of_an_instance_are_dispatched_in_order() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    for round in 0..20 {
        let first = format!("{round}a");
        let note = start("i").writes("l", &first);
        let note = note.writes("l", "empty").writes("l", &format!("{round}b"));
        send(&app, note).await;
    }
    settled(&app).await;
    let expected: Vec<_> = (0..20)
        .flat_map(|round| [format!("{round}a"), format!("{round}b")])
        .collect();
    assert_eq!(texts(&app, "l").await, expected);
    assert_eq!(seen(&app, "i").await.len(), 20);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_slow_target_holds_up_its_instance_alone() {
    let store = FaultyStore::new(MemoryStore::new());
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    send(&app, start("slow").writes("slow", "1")).await;
    gate.reached().await;
    for round in 2..=5 {
        send(&app, start("slow").writes("slow", &round.to_string())).await;
        send(&app, start("other").writes("other", &round.to_string())).await;
    }
    until_texts(&app, "other", &["2", "3", "4", "5"]).await;
    let status = status_when(&app, "it has read all", |status| status.lag == 0).await;
    assert_eq!(status.parked, 1);
    assert_eq!(seen(&app, "slow").await, ["Start"]);
    gate.release();
    until_texts(&app, "slow", &["1", "2", "3", "4", "5"]).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn parked_instances_go_on_after_a_restart_from_what_is_stored() {
    let inner = MemoryStore::new();
    let store = FaultyStore::new(inner.clone());
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    send(&app, start("slow").writes("slow", "1")).await;
    gate.reached().await;
    for round in 2..=5 {
        send(&app, start("slow").writes("slow", &round.to_string())).await;
    }
    status_when(&app, "it is parked", |it| it.parked == 1 && it.lag == 0).await;
    let shutdown = app.shutdown().await;
    drop((shutdown, gate));
    let app = probing(&inner).await;
    until_texts(&app, "slow", &["1", "2", "3", "4", "5"]).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn more_parked_instances_than_allowed_hold_up_the_reading() {
    let store = FaultyStore::new(MemoryStore::new());
    let app = on(&store).process_manager::<Narrow>().start().await;
    let app = app.unwrap();
    let mut gates = Vec::new();
    for id in ["a", "b", "c"] {
        let mut gate = hold_command(&store);
        send(&app, start(id).writes(id, "1")).await;
        gate.reached().await;
        gates.push(gate);
    }
    for id in ["a", "b", "c", "d"] {
        send(&app, start(id).writes(id, "2")).await;
    }
    let status = until("two are parked", async || {
        let status = app.subscriptions().status(Narrow::NAME).await.unwrap();
        (status.parked == 2).then_some(status)
    })
    .await;
    assert_eq!(status.lag, 2);
    gates.into_iter().for_each(ordain_testkit::Gate::release);
    for id in ["a", "b", "c"] {
        until_texts(&app, id, &["1", "2"]).await;
    }
    until_texts(&app, "d", &["2"]).await;
    app.shutdown().await.unwrap();
}

/// As [`Probe`], with room for two parked instances.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "narrow", id = String, events(Sent), options = narrow)]
struct Narrow;

fn narrow() -> ordain::ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().blocked_max(2);
    options.subscription(subscription)
}

impl Process<Sent> for Narrow {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        let commands = event.note.commands.iter().cloned();
        let commands = commands.map(|(ledger, text)| Write { ledger, text });
        commands.fold(Reaction::none(), Reaction::and_dispatch)
    }
}

#[tokio::test]
async fn a_rejected_command_is_tried_again_and_then_its_instance_put_aside() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(
        &app,
        start("i").writes("l", "reject me").writes("l", "next"),
    )
    .await;
    send(&app, start("i").writes("l", "later")).await;
    send(&app, start("j").writes("m", "other")).await;
    until_texts(&app, "m", &["other"]).await;
    status_when(&app, "it is put aside", |it| it.dead_letters == 1).await;
    let letters = app.subscriptions().dead_letters("probe").await.unwrap();
    assert_eq!(letters[0].key, "i");
    assert!(letters[0].error.contains("`reject me` is refused"));
    let aside = instance(&app, "i").await.unwrap();
    assert_eq!(aside.dead_letter, Some(letters[0].clone()));
    let outgoing: Vec<_> = aside.outgoing.iter().map(|it| it.attempts).collect();
    assert_eq!(outgoing, [3, 0]);
    assert_eq!(aside.outgoing[0].body["text"], "reject me");
    assert_eq!(texts(&app, "l").await, [""; 0]);

    assert!(app.subscriptions().discard("probe", "i").await.unwrap());
    until_texts(&app, "l", &["next", "later"]).await;
    settled(&app).await;
    assert_eq!(instance(&app, "i").await.unwrap().dead_letter, None);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_command_put_aside_is_retried_when_somebody_asks() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    let note = start("i").writes("l", "closed so far");
    send(&app, note.failing(OnFailure::DeadLetter)).await;
    send(&app, start("i").writes("l", "later")).await;
    status_when(&app, "it is put aside", |it| it.dead_letters == 1).await;
    app.shutdown().await.unwrap();

    let app = probing(&store).await;
    assert!(app.subscriptions().retry("probe", "i").await.unwrap());
    status_when(&app, "it fails again", |it| it.dead_letters == 1).await;
    let ledger = "l".to_owned();
    app.dispatch(OpenLedger { ledger }).await.unwrap();
    until("it is written", async || {
        // It may not have been put aside again yet.
        app.subscriptions().retry("probe", "i").await.unwrap();
        (texts(&app, "l").await == ["closed so far", "later"]).then_some(())
    })
    .await;
    settled(&app).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn each_answer_to_a_failed_command() {
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
        let store = MemoryStore::new();
        let app = probing(&store).await;
        let note = start("i").writes("l", "reject").writes("l", "next");
        send(&app, note.failing(action)).await;
        send(&app, start("i").writes("l", "later")).await;
        until_texts(&app, "l", &expected).await;
        settled(&app).await;
        let seen = seen(&app, "i").await;
        let failed = seen.iter().filter(|text| text.starts_with("failed"));
        assert_eq!(failed.count(), failures, "{action:?}: {seen:?}");
        let error = instance(&app, "i").await.unwrap().command_error.unwrap();
        assert!(error.contains("refused"), "{error}");
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_replacement_that_fails_is_replaced_in_turn() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    let note = start("i").writes("l", "panic now");
    send(&app, note.failing(OnFailure::Replace)).await;
    until_texts(&app, "l", &["instead of \"panic now\""]).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failed_command_may_stop_the_manager() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    let note = start("i").writes("l", "closed so far");
    send(&app, note.failing(OnFailure::Stop)).await;
    let status = status_when(&app, "it stops", |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    assert!(
        status
            .reason
            .unwrap()
            .contains("`closed so far` is refused")
    );
    let ledger = "l".to_owned();
    app.dispatch(OpenLedger { ledger }).await.unwrap();
    app.subscriptions().resume("probe").await.unwrap();
    until_texts(&app, "l", &["closed so far"]).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_the_store_hinders_is_tried_again_without_counting() {
    let store = FaultyStore::new(MemoryStore::new());
    let app = probing(&store).await;
    let faults = store.faults();
    faults.pass_next(Call::Append);
    faults.fail_next_n(5, Call::Append, Fault::BeforeCommit);
    send(&app, start("i").writes("l", "after all")).await;
    until_texts(&app, "l", &["after all"]).await;
    settled(&app).await;
    let status = app.subscriptions().status("probe").await.unwrap();
    assert_eq!(status.dead_letters, 0);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_failing_instance_after_the_other_counts_as_an_outage() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    for id in 0..6 {
        send(&app, start(&id.to_string()).writes("l", "closed")).await;
    }
    status_when(&app, "three are put aside", |it| it.dead_letters == 3).await;
    let ledger = "l".to_owned();
    app.dispatch(OpenLedger { ledger }).await.unwrap();
    until_texts(&app, "l", &["closed"; 3]).await;
    assert_eq!(app.subscriptions().retry_all("probe").await.unwrap(), 3);
    until_texts(&app, "l", &["closed"; 6]).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn what_an_event_carries_is_handed_on_to_its_commands() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    let correlation_id = ordain::CorrelationId::new();
    let (signal, note) = ("s".to_owned(), start("i").writes("l", "text"));
    let send = app.dispatch(Send { signal, note });
    let send = send.actor("teller-7").tenant("north");
    let receipt = send.correlation_id(correlation_id).await.unwrap();
    until_texts(&app, "l", &["text"]).await;
    let read = ordain::store::ReadAll::forward();
    let events = store_events(&app, read).await;
    let (sent, written) = (&events[0], &events[1]);
    assert_eq!(receipt.position, sent.position);
    assert_eq!(written.correlation_id, Some(correlation_id));
    assert_eq!(written.causation_id, Some(sent.event_id.into()));
    assert_eq!(written.metadata.actor.as_deref(), Some("teller-7"));
    assert_eq!(written.metadata.tenant.as_deref(), Some("north"));
    let millis = sent.recorded_at.unix_timestamp_nanos() / 1_000_000;
    let command_id = CommandId::from_uuid(written.event_id.as_uuid());
    let stamped = command_id.as_uuid().as_u128() >> 80;
    assert_eq!(stamped, u128::try_from(millis).unwrap());
    app.shutdown().await.unwrap();
}

async fn store_events(app: &App, read: ordain::store::ReadAll) -> Vec<ordain::RecordedEvent> {
    app.store().read_all(read).await.unwrap().events
}

#[tokio::test]
async fn old_events_have_their_commands_dispatched_however_old_they_are() {
    let (store, clock) = store_with_clock();
    let before = on(&store).clock(std::sync::Arc::new(clock.clone()));
    let before = before.start().await.unwrap();
    send(&before, start("i").writes("l", "late")).await;
    clock.advance(Duration::from_secs(365 * 24 * 3_600));
    let app = on(&store)
        .clock(std::sync::Arc::new(clock))
        .process_manager::<Probe>()
        .start();
    let app = app.await.unwrap();
    until_texts(&app, "l", &["late"]).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_reset_builds_the_instances_anew_and_issues_nothing_again() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("i").writes("l", "1").timer("t", 3_600, "t")).await;
    send(&app, go_on("i").writes("l", "2")).await;
    send(&app, start("j").writes("l", "3")).await;
    send(&app, stop("j")).await;
    settled(&app).await;
    let appended = app.store().head().await.unwrap();
    app.subscriptions().reset("probe", 0).await.unwrap();
    status_when(&app, "it is reset", |status| {
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
    settled(&app).await;
    assert_eq!(seen(&app, "i").await, ["Start", "Continue"]);
    assert_eq!(instance(&app, "i").await.unwrap().timers.len(), 1);
    assert!(instance(&app, "j").await.unwrap().finished);
    assert_eq!(app.store().head().await.unwrap(), appended);
    send(&app, go_on("i").writes("l", "4")).await;
    until("it is written", async || {
        let texts = texts(&app, "l").await;
        (texts.len() == 4).then_some(())
    })
    .await;
    app.shutdown().await.unwrap();
}

/// The next version of [`Probe`], whose state has another shape.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "probe", id = String, events(Sent), options = quick, version = 2)]
struct ProbeTwo {
    count: u64,
}

impl Process<Sent> for ProbeTwo {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        let commands = event.note.commands.iter().cloned();
        let commands = commands.map(|(ledger, text)| Write { ledger, text });
        commands.fold(Reaction::none(), Reaction::and_dispatch)
    }

    fn apply(&mut self, _: &Sent) {
        self.count += 1;
    }
}

#[tokio::test]
async fn a_new_version_builds_its_instances_and_issues_only_what_is_new() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("i").writes("l", "1")).await;
    settled(&app).await;
    let next = on(&store).process_manager::<ProbeTwo>().start().await;
    let next = next.unwrap();
    send(&next, start("i").writes("l", "2")).await;
    until_texts(&next, "l", &["1", "2"]).await;
    let state = instance(&next, "i").await.unwrap().state;
    assert_eq!(state["count"], 2);
    next.shutdown().await.unwrap();
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_new_version_dispatches_what_the_older_one_has_left() {
    let inner = MemoryStore::new();
    let store = FaultyStore::new(inner.clone());
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    send(&app, start("i").writes("l", "1").writes("l", "2")).await;
    gate.reached().await;
    drop((app, gate));
    let next = on(&inner).process_manager::<ProbeTwo>().start().await;
    let next = next.unwrap();
    send(&next, start("i").writes("l", "3")).await;
    until_texts(&next, "l", &["1", "2", "3"]).await;
    let state = instance(&next, "i").await.unwrap().state;
    assert_eq!(state["count"], 2);
    next.shutdown().await.unwrap();
}

/// [`Probe`] with another shape of state, from the first if it can.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "probe",
    id = String,
    events(Sent),
    options = quick,
    state_version = 2,
    migrate = Reshaped::migrate
)]
struct Reshaped {
    count: usize,
}

impl Reshaped {
    fn migrate(version: u32, state: serde_json::Value) -> Option<Self> {
        let count = state["seen"].as_array()?.len();
        (version == 1 && count < 2).then_some(Self { count })
    }
}

impl Process<Sent> for Reshaped {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn apply(&mut self, _: &Sent) {
        self.count += 1;
    }
}

#[tokio::test]
async fn state_of_another_shape_is_migrated_or_its_instance_put_aside() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("old")).await;
    send(&app, start("older")).await;
    send(&app, start("older")).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
    let app = on(&store).process_manager::<Reshaped>().start().await;
    let app = app.unwrap();
    send(&app, start("older")).await;
    send(&app, start("old")).await;
    status_when(&app, "one is put aside", |it| it.dead_letters == 1).await;
    let old = instance(&app, "old").await.unwrap();
    assert_eq!((old.state_version, &old.state["count"]), (2, &2.into()));
    let older = instance(&app, "older").await.unwrap();
    assert_eq!(older.state_version, 1);
    let error = older.dead_letter.unwrap().error;
    assert!(error.contains("its state is of version 1"), "{error}");
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_manager_is_refused_that_waits_for_itself() {
    let store = MemoryStore::new();
    let app = on(&store)
        .process_manager::<Probe>()
        .middleware(WaitsForProbe)
        .start();
    let app = app.await.unwrap();
    WAITING.get_or_init(|| app.clone());
    send(&app, start("i").writes("l", "text")).await;
    let answer = until("it was refused", async || ANSWER.lock().unwrap().clone()).await;
    assert!(answer.contains("would wait for itself"), "{answer}");
    until_texts(&app, "l", &["text"]).await;
    app.shutdown().await.unwrap();
}

static WAITING: std::sync::OnceLock<App> = std::sync::OnceLock::new();
static ANSWER: std::sync::Mutex<Option<String>> = std::sync::Mutex::new(None);

/// Dispatches within a dispatch to a ledger, and waits for the process manager that issued it.
#[derive(Debug)]
struct WaitsForProbe;

#[async_trait::async_trait]
impl ordain::middleware::Middleware for WaitsForProbe {
    async fn dispatch(
        &self,
        request: &mut ordain::middleware::Request,
        next: ordain::middleware::Next<'_>,
    ) -> Result<ordain::middleware::Outcome, ordain::middleware::Halt> {
        if request.name() == "Write" {
            let note = note(Kind::None, &[]);
            let signal = "inner".to_owned();
            let waited = WAITING.get().unwrap().dispatch(Send { signal, note });
            let error = waited.wait_for([Probe::NAME]).await.unwrap_err();
            *ANSWER.lock().unwrap() = Some(error.to_string());
        }
        next.run(request).await
    }
}
