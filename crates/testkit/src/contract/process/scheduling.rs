//! Commands that are dispatched later.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordain::store::{SubscriptionKey, SubscriptionStore, TimerRecord};
use ordain::subscription::bucket_of;
use ordain::{App, ScheduledId};

use super::super::SubscriptionFixture;
use super::super::read_side::{Timed, now_of};
use super::super::support::{Random, at_once};
use super::support::*;
use crate::{Call, FaultyStore, Halt};

fn write(ledger: &str, text: &str) -> Write {
    Write {
        ledger: ledger.to_owned(),
        text: text.to_owned(),
    }
}

/// Has a text written into the ledger `l` so long from now.
async fn schedule(app: &App, text: &str, after: Duration) -> ScheduledId {
    let scheduled = app.schedule(write("l", text)).after(after).await;
    scheduled.expect("a command can be scheduled")
}

/// Takes a command back; says whether it was still waiting.
async fn take_back(app: &App, id: ScheduledId) -> bool {
    let cancelled = app.cancel_scheduled(id).await;
    cancelled.expect("a command can be taken back")
}

async fn starting<S: SubscriptionStore + Clone>(store: &Timed<S>) -> App {
    start(timed(store)).await
}

/// Commands for now are dispatched at once, not when timers are next looked for: that would be once a second.
pub async fn commands_for_now_are_dispatched_at_once<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let app = start(on(&fixture.open().await)).await;
    let begun = Instant::now();
    for number in 1..=10 {
        schedule(&app, &number.to_string(), Duration::ZERO).await;
        until("it is written", async || {
            (texts(&app, "l").await.len() == number).then_some(())
        })
        .await;
    }
    assert!(begun.elapsed() < Duration::from_secs(6));
    shut_down(app).await;
}

/// A command is dispatched at its time, for whom it was scheduled, and not before.
pub async fn a_command_is_dispatched_at_its_time<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let (app, moment) = (starting(&timed).await, timed.moment());
    let begun = now_of(&timed.store).await;
    let second = app.schedule(write("l", "second")).at(begun + 2 * moment);
    second.await.expect("scheduled");
    let first = app.schedule(write("l", "first")).actor("ann");
    first.at(begun + moment).await.expect("scheduled");
    timed.pass();
    until("the first is written", async || {
        (texts(&app, "l").await.first()? == "first").then_some(())
    })
    .await;
    timed.pass();
    until_texts(&app, "l", &["first", "second"]).await;
    let events = written(&timed.store).await;
    assert_eq!(events[0].metadata.actor.as_deref(), Some("ann"));
    assert!(events[0].recorded_at - begun >= moment);
    assert!(events[1].recorded_at - begun >= 2 * moment);
    shut_down(app).await;
}

/// A scheduled command can be taken back, once, by the text of its id.
pub async fn a_scheduled_command_can_be_taken_back<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let timed = Timed::open(&**fixture).await;
    let (app, later) = (starting(&timed).await, timed.later());
    let id = schedule(&app, "never", later).await;
    let read_back: ScheduledId = id.to_string().parse().expect("an id");
    assert!(take_back(&app, read_back).await);
    assert!(!take_back(&app, id).await);
    schedule(&app, "sign", later).await;
    timed.pass();
    until_texts(&app, "l", &["sign"]).await;
    shut_down(app).await;
}

/// A command that is taken back while it falls due is dispatched or taken back, and never both.
pub async fn a_command_that_is_taken_back_as_it_falls_due_is_dispatched_or_not<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    const COUNT: usize = 24;
    let store = fixture.open().await;
    let (app, other) = (start(on(&store)).await, start(on(&store)).await);
    schedule(&app, "first", Duration::ZERO).await;
    until_texts(&app, "l", &["first"]).await;
    let mut random = Random::new(7);
    let delays: Vec<_> = (0..COUNT).map(|_| random.below(40)).collect();
    let kept = at_once(COUNT, |index| {
        let (app, other, delay) = (app.clone(), other.clone(), delays[index]);
        async move {
            let (text, due) = (index.to_string(), Duration::from_millis(20));
            let id = schedule(&app, &text, due).await;
            tokio::time::sleep(Duration::from_millis(delay)).await;
            (!take_back(&other, id).await).then_some(text)
        }
    })
    .await;
    let mut expected: Vec<_> = kept.into_iter().flatten().collect();
    until("what is not taken back is written", async || {
        (texts(&app, "l").await.len() > expected.len()).then_some(())
    })
    .await;
    schedule(&app, "last", Duration::ZERO).await;
    expected.splice(0..0, ["first".to_owned()]);
    expected.push("last".to_owned());
    until("the last is written", async || {
        (texts(&app, "l").await.last()? == "last").then_some(())
    })
    .await;
    let mut found = texts(&app, "l").await;
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    shut_down(other).await;
    shut_down(app).await;
}

/// A command is taken back as long as the firing of its timer is not committed, and not afterwards.
pub async fn a_firing_that_is_not_committed_can_be_taken_back<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    for (halt, is_taken_back) in [(Halt::BeforeCommit, true), (Halt::AfterCommit, false)] {
        let store = FaultyStore::new(fixture.open().await);
        let app = start(on(&store)).await;
        let mut gate = store.faults().halt_next(Call::Commit, halt);
        let id = schedule(&app, "due", Duration::ZERO).await;
        gate.reached().await;
        assert_eq!(take_back(&app, id).await, is_taken_back);
        gate.release();
        schedule(&app, "sign", Duration::ZERO).await;
        until("the sign is written", async || {
            (texts(&app, "l").await.last()? == "sign").then_some(())
        })
        .await;
        let expected: &[_] = match is_taken_back {
            true => &["sign"],
            false => &["due", "sign"],
        };
        assert_eq!(texts(&app, "l").await, expected);
        shut_down(app).await;
    }
}

/// A scheduled command survives a restart, and takes effect once however many processes there are.
pub async fn a_scheduled_command_survives_a_restart_and_takes_effect_once<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let app = starting(&timed).await;
    schedule(&app, "once", timed.moment()).await;
    shut_down(app).await;
    timed.pass();
    let apps = [starting(&timed).await, starting(&timed).await];
    until_texts(&apps[0], "l", &["once"]).await;
    for app in apps {
        shut_down(app).await;
    }
    let app = starting(&timed).await;
    schedule(&app, "sign", Duration::ZERO).await;
    until_texts(&app, "l", &["once", "sign"]).await;
    shut_down(app).await;
}

/// A scheduled command that is rejected is tried as often as any other, and holds up none.
pub async fn a_scheduled_command_that_is_rejected_holds_up_no_other<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let id = schedule(&app, "reject", Duration::ZERO).await;
    schedule(&app, "next", Duration::ZERO).await;
    until_texts(&app, "l", &["next"]).await;
    until("it is not waiting any more", async || {
        (!take_back(&app, id).await).then_some(())
    })
    .await;
    shut_down(app).await;
}

/// Scheduled commands have no instances, and none are read for them.
pub async fn a_scheduled_command_needs_no_instance<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = FaultyStore::new(fixture.open().await);
    let app = start(on(&store)).await;
    schedule(&app, "due", Duration::ZERO).await;
    until_texts(&app, "l", &["due"]).await;
    assert_eq!(store.faults().calls(Call::Instances), 0);
    shut_down(app).await;
}

/// What was scheduled and cannot be read becomes a dead letter, and is gone when that is discarded.
pub async fn a_scheduled_command_that_cannot_be_read_can_be_discarded<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    schedule(&app, "first", Duration::ZERO).await;
    let key = SubscriptionKey::new("$schedule", 1);
    let broken = TimerRecord {
        instance: "broken".to_owned(),
        key: "due".to_owned(),
        bucket: bucket_of("broken"),
        generation: 1,
        due_at: now_of(&store).await,
        data: "[]".into(),
    };
    store.set_timer(&key, broken).await.expect("set");
    let letters = async || {
        let letters = app.subscriptions().dead_letters("$schedule").await;
        letters.expect("dead letters can be read").len()
    };
    until("it is put aside", async || {
        (letters().await == 1).then_some(())
    })
    .await;
    let discarded = app.subscriptions().discard("$schedule", "broken").await;
    assert!(discarded.expect("discarding can be asked for"));
    until("it is gone", async || {
        let timers = store.timers(&key, "broken").await.expect("timers");
        (timers.is_empty() && letters().await == 0).then_some(())
    })
    .await;
    shut_down(app).await;
}
