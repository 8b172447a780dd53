//! Process managers that begin anew, and those of other versions.

use std::sync::Arc;
use std::time::Duration;

use ordain::prelude::*;
use ordain::store::SubscriptionState;
use ordain::{
    CommandAction, CommandFailure, EventContext, ProcessContext, ProcessOptions, Reaction, Route,
    TimerContext,
};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::super::read_side::Timed;
use super::super::support::log;
use super::support::*;
use crate::FaultyStore;

/// After a reset instances are built anew from the events, and only what is new issues commands.
pub async fn a_reset_builds_the_instances_anew_and_issues_nothing_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("i").writes("l", "1").timer("t", LONG, "t")).await;
    send(&app, go_on("i").writes("l", "2")).await;
    send(&app, begin("j").writes("l", "3")).await;
    send(&app, stop("j")).await;
    settled(&app).await;
    let appended = head(&app).await;
    reset(&app, 0).await;
    settled(&app).await;
    assert_eq!(seen(&app, "i").await, ["Start", "Continue"]);
    assert_eq!(instance(&app, "i").await.timers.len(), 1);
    assert!(instance(&app, "j").await.finished);
    assert_eq!(head(&app).await, appended);
    send(&app, go_on("i").writes("l", "4")).await;
    until("it is written", async || {
        let texts = texts(&app, "l").await;
        (texts.len() == 4).then_some(())
    })
    .await;
    shut_down(app).await;
}

/// An event that waits for the commands of the one before is handled for the first time after a reset.
pub async fn a_reset_loses_no_command_of_what_waits<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = FaultyStore::new(fixture.open().await);
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    send(&app, begin("i").writes("l", "1")).await;
    gate.reached().await;
    send(&app, begin("i").writes("l", "2")).await;
    status_when(&app, Probe::NAME, |status| {
        status.parked == 1 && status.lag == 0
    })
    .await;
    let asked = app.subscriptions().reset(Probe::NAME, 0).await;
    asked.expect("a reset can be asked for");
    gate.release();
    until_texts(&app, "l", &["1", "2"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "i").await, ["Start", "Start"]);
    assert_eq!(head(&app).await, 4);
    shut_down(app).await;
}

/// A timer that is due, and has not fired since its instance waits for a command, issues its command after a reset.
pub async fn a_reset_loses_no_timer_that_is_due<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = FaultyStore::new(fixture.open().await);
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    let note = begin("i").writes("l", "1");
    send(&app, note.timer("t", Duration::ZERO, "late")).await;
    gate.reached().await;
    send(&app, begin("j")).await;
    status_when(&app, Probe::NAME, |status| status.lag == 0).await;
    let asked = app.subscriptions().reset(Probe::NAME, 0).await;
    asked.expect("a reset can be asked for");
    gate.release();
    until_texts(&app, "l", &["1"]).await;
    until_texts(&app, "i", &["late"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "i").await, ["Start", "late"]);
    assert_eq!(head(&app).await, 4);
    shut_down(app).await;
}

/// What was handled before a reset is still known to have been when another comes, though its instance waits for a
/// command and has not come so far again.
pub async fn a_reset_during_a_replay_issues_nothing_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    let refused = begin("i").writes("l", "reject").failing(OnFailure::Skip);
    send(&app, refused).await;
    until("the command is left out", async || {
        let instance = find(&app, "i").await?;
        instance.command_error.is_some().then_some(())
    })
    .await;
    let waiting = begin("i").writes("l", "closed").failing(OnFailure::Retry);
    send(&app, waiting).await;
    until("the next waits", async || {
        let instance = find(&app, "i").await?;
        (instance.position == 2).then_some(())
    })
    .await;
    for _ in 0..2 {
        let asked = app.subscriptions().reset(Probe::NAME, 0).await;
        asked.expect("a reset can be asked for");
        status_when(&app, Probe::NAME, |status| {
            let waits = status.parked + status.dead_letters == 1;
            status.state == SubscriptionState::Active && status.lag == 0 && waits
        })
        .await;
    }
    open_ledger(&app, "l").await;
    until("the command is carried out", async || {
        // Its instance is not there to say what to do about it.
        retry(&app, "i").await;
        (texts(&app, "l").await == ["closed"]).then_some(())
    })
    .await;
    settled(&app).await;
    assert_eq!(seen(&app, "i").await, ["Start", "Start"]);
    shut_down(app).await;
}

/// Does what timers say, and hardly ever writes its checkpoint down.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "unhurried",
    id = String,
    events(Sent),
    timer = String,
    options = seldom_written
)]
struct Unhurried;

fn seldom_written() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone();
    let subscription = subscription
        .checkpoint_every(u64::MAX)
        .checkpoint_after(LONG);
    options.subscription(subscription)
}

impl Process<Sent> for Unhurried {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        match event.note.timer.clone() {
            Some((key, after, text)) => Reaction::none().timer(key, after, text),
            None => Reaction::none(),
        }
    }
}

impl OnTimer<String> for Unhurried {
    fn on_timer(&self, text: &String, context: &TimerContext) -> Reaction<Self> {
        let (ledger, text) = (context.instance().to_owned(), text.clone());
        Reaction::dispatch(Write { ledger, text })
    }
}

/// A timer that fires once more after a reset, wherever that begins, has its effect once.
pub async fn a_timer_that_fires_again_after_a_reset_takes_effect_once<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store).process_manager::<Unhurried>()).await;
    send(&app, begin("i").timer("far", LONG, "far")).await;
    send(&app, begin("i").timer("now", Duration::ZERO, "once")).await;
    until_texts(&app, "i", &["once"]).await;
    let subscriptions = app.subscriptions();
    let asked = subscriptions.reset(Unhurried::NAME, 1).await;
    asked.expect("a reset can be asked for");
    send(&app, begin("i").timer("again", Duration::ZERO, "twice")).await;
    until("what is new is written", async || {
        let texts = texts(&app, "i").await;
        texts.iter().any(|text| text == "twice").then_some(())
    })
    .await;
    assert_eq!(texts(&app, "i").await, ["once", "twice"]);
    let unhurried = app.processes(Unhurried::NAME).get("i").await;
    let unhurried = unhurried.expect("an instance can be read");
    assert_eq!(unhurried.expect("it is there").timers, []);
    shut_down(app).await;
}

/// [`Probe`] without a mistake.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "probe", id = String, events(Sent), options = quick)]
struct Mended {
    seen: Vec<String>,
}

impl Process<Sent> for Mended {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn apply(&mut self, _: &Sent) {
        self.seen.push("mended".to_owned());
    }
}

/// A reset forgets what was put aside beyond the place it goes to, so that a program without the mistake handles it;
/// what was put aside before stays so.
pub async fn a_reset_forgets_what_was_put_aside_beyond_it<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let cases: [(u64, &[&str], &[&str]); 3] = [
        (0, &["mended"], &["mended", "mended"]),
        (2, &[], &["mended", "mended"]),
        (3, &[], &[]),
    ];
    for (position, a, c) in cases {
        let store = fixture.open().await;
        let app = probing(&store).await;
        send(&app, begin("a").panicking(Panics::Handle)).await;
        send(&app, begin("b")).await;
        send(&app, begin("c").panicking(Panics::Handle)).await;
        send(&app, begin("c")).await;
        aside(&app, 2).await;
        settled(&app).await;
        shut_down(app).await;
        let app = start(on(&store).process_manager::<Mended>()).await;
        reset(&app, position).await;
        let left = [a, c].iter().filter(|seen| seen.is_empty()).count();
        aside(&app, left).await;
        settled(&app).await;
        assert_eq!(seen(&app, "a").await, a, "{position}");
        assert_eq!(seen(&app, "c").await, c, "{position}");
        shut_down(app).await;
    }
}

/// Leaves out what is refused, and issues commands again after a reset.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "probe",
    id = String,
    events(Sent),
    options = reissuing,
    on_command_failure = Reissuing::skip
)]
struct Reissuing;

fn reissuing() -> ProcessOptions {
    quick().reissue(true)
}

impl Reissuing {
    fn skip(&self, _: &CommandFailure) -> CommandAction<Self> {
        CommandAction::Skip
    }
}

impl Process<Sent> for Reissuing {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }
}

/// Asked to, a reset process manager issues its commands again: what has taken effect does not again, and what had
/// not may now.
pub async fn replayed_events_issue_commands_again_if_asked<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store).process_manager::<Reissuing>()).await;
    for round in 0..3 {
        let note = begin("a").writes("l", &round.to_string());
        send(&app, note.writes("m", "closed so far")).await;
    }
    settled(&app).await;
    assert_eq!(texts(&app, "m").await, [""; 0]);
    open_ledger(&app, "m").await;
    reset(&app, 0).await;
    until_texts(&app, "m", &["closed so far"; 3]).await;
    settled(&app).await;
    assert_eq!(texts(&app, "l").await, ["0", "1", "2"]);
    assert_eq!(head(&app).await, 3 + 3 + 1 + 3);
    shut_down(app).await;
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
        event.note.reaction()
    }

    fn apply(&mut self, _: &Sent) {
        self.count += 1;
    }
}

/// A new version builds its instances from the events of before, and issues commands for those that come.
pub async fn a_new_version_builds_its_instances_and_issues_only_what_is_new<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("i").writes("l", "1")).await;
    settled(&app).await;
    let next = start(on(&store).process_manager::<ProbeTwo>()).await;
    send(&next, begin("i").writes("l", "2")).await;
    until_texts(&next, "l", &["1", "2"]).await;
    let state = instance(&next, "i").await.state;
    assert_eq!(state["count"], 2);
    shut_down(next).await;
    shut_down(app).await;
}

/// Commands that an older version has issued are the newer one's to dispatch.
pub async fn a_new_version_dispatches_what_the_older_one_has_left<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = FaultyStore::new(timed.store.clone());
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    send(&app, begin("i").writes("l", "1").writes("l", "2")).await;
    gate.reached().await;
    kill(&timed, &store, app, gate).await;
    let next = start(on(&timed.store).process_manager::<ProbeTwo>()).await;
    send(&next, begin("i").writes("l", "3")).await;
    until_texts(&next, "l", &["1", "2", "3"]).await;
    let state = instance(&next, "i").await.state;
    assert_eq!(state["count"], 2);
    shut_down(next).await;
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

/// State of an older shape is migrated; an instance whose state cannot be is put aside.
pub async fn state_of_another_shape_is_migrated_or_its_instance_put_aside<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = probing(&store).await;
    send(&app, begin("old")).await;
    send(&app, begin("older")).await;
    send(&app, begin("older")).await;
    settled(&app).await;
    shut_down(app).await;
    let app = start(on(&store).process_manager::<Reshaped>()).await;
    send(&app, begin("older")).await;
    send(&app, begin("old")).await;
    aside(&app, 1).await;
    settled(&app).await;
    let old = instance(&app, "old").await;
    assert_eq!((old.state_version, &old.state["count"]), (2, &2.into()));
    let older = instance(&app, "older").await;
    assert_eq!(older.state_version, 1);
    let error = older.dead_letter.expect("a reason").error;
    assert!(error.contains("its state is of version 1"), "{error}");
    shut_down(app).await;
}

/// Where the timer of an instance fails whose state cannot be read, discarding leaves out the timer, and not
/// the next event.
pub async fn to_discard_what_a_timer_failed_with_skips_no_event<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let app = probing(&timed.store).await;
    send(&app, begin("a")).await;
    send(&app, begin("a").timer("t", timed.later(), "due")).await;
    settled(&app).await;
    shut_down(app).await;
    let app = start(on(&timed.store).process_manager::<Reshaped>()).await;
    timed.pass();
    let letters = aside(&app, 1).await;
    assert_eq!(letters[0].event_id, None);
    send(&app, begin("a")).await;
    assert!(discard(&app, "a").await);
    let event = log(&timed.store).await.pop().map(|event| event.event_id);
    until("it fails with the event", async || {
        let letters = app.subscriptions().dead_letters(Probe::NAME).await;
        let letters = letters.expect("dead letters can be read");
        (letters.first()?.event_id == event).then_some(())
    })
    .await;
    assert_eq!(instance(&app, "a").await.timers, []);
    shut_down(app).await;
}

/// Issues commands again after a reset, and hears what came of them.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "probe", id = String, events(Sent, Written), options = reissuing)]
struct Hearing;

impl Process<Sent> for Hearing {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        event.note.reaction()
    }
}

impl Process<Written> for Hearing {
    fn route(_: &Written, context: &EventContext) -> Route<String> {
        Route::continue_with(context.id())
    }
}

/// A command that is issued again and has taken effect long ago is settled by the events of that time.
pub async fn a_command_that_is_issued_again_and_was_settled_leaves_nothing<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let app = start(on(&fixture.open().await).process_manager::<Hearing>()).await;
    for id in ["a", "b", "c"] {
        send(&app, begin(id).writes(id, "once")).await;
        until_texts(&app, id, &["once"]).await;
    }
    settled(&app).await;
    reset(&app, 0).await;
    settled(&app).await;
    for id in ["a", "b", "c"] {
        assert_eq!(texts(&app, id).await, ["once"]);
    }
    shut_down(app).await;
}
