//! Timers.

use std::time::Duration;

use ordain::App;
use ordain::store::SubscriptionState;
use ordain_testkit::FaultyStore;

use crate::domain::*;

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_timer_fires_when_it_is_due_and_not_before() {
    let (store, clock) = store_with_clock();
    let app = probing(&store).await;
    send(&app, start("a").timer("t", 60, "due")).await;
    send(&app, start("b").timer("t", 30, "sooner")).await;
    settled(&app).await;
    let timers = instance(&app, "a").await.unwrap().timers;
    assert_eq!((timers.len(), timers[0].key.as_str()), (1, "t"));
    clock.advance(MINUTE / 2);
    until_texts(&app, "b", &["sooner"]).await;
    assert_eq!(texts(&app, "a").await, [""; 0]);
    clock.advance(MINUTE / 2);
    until_texts(&app, "a", &["due"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start", "due"]);
    assert_eq!(instance(&app, "a").await.unwrap().timers, []);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_timer_can_be_replaced_and_taken_back() {
    let (store, clock) = store_with_clock();
    let app = probing(&store).await;
    send(&app, start("a").timer("t", 60, "first")).await;
    send(&app, start("a").timer("t", 120, "second")).await;
    send(&app, start("a").timer("u", 60, "taken back")).await;
    send(&app, cancelling("u")).await;
    send(&app, start("b").timer("t", 60, "sign")).await;
    settled(&app).await;
    clock.advance(MINUTE);
    until_texts(&app, "b", &["sign"]).await;
    assert_eq!(texts(&app, "a").await, [""; 0]);
    clock.advance(MINUTE);
    until_texts(&app, "a", &["second"]).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await.last().unwrap(), "second");
    app.shutdown().await.unwrap();
}

fn cancelling(key: &str) -> Note {
    Note {
        cancel: Some(key.to_owned()),
        ..go_on("a")
    }
}

#[tokio::test]
async fn after_downtime_too_timers_fire_in_the_order_in_which_they_are_due() {
    let (store, clock) = store_with_clock();
    let app = probing(&store).await;
    send(&app, start("a").timer("t", 60, "sets sooner")).await;
    send(&app, go_on("a").timer("u", 180, "later")).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
    clock.advance(5 * MINUTE);
    let app = probing(&store).await;
    until_texts(&app, "a", &["sooner", "later"]).await;
    settled(&app).await;
    let expected = ["Start", "Continue", "sets sooner", "sooner", "later"];
    assert_eq!(seen(&app, "a").await, expected);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_timer_that_is_due_is_not_overtaken_by_what_lies_unread() {
    let (store, clock) = store_with_clock();
    let app = probing(&store).await;
    send(&app, start("a").timer("t", 60, "never")).await;
    send(&app, start("b").timer("t", 60, "sign")).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
    // Downtime: the timer becomes due, and lies in the log as taken back.
    let elsewhere = on(&store).start().await.unwrap();
    for _ in 0..50 {
        send(&elsewhere, go_on("c")).await;
    }
    send(&elsewhere, cancelling("t")).await;
    clock.advance(2 * MINUTE);
    let app = probing(&store).await;
    until_texts(&app, "b", &["sign"]).await;
    settled(&app).await;
    assert_eq!(texts(&app, "a").await, [""; 0]);
    assert_eq!(seen(&app, "a").await, ["Start", "Continue"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_timer_of_a_parked_instance_is_judged_again() {
    let (inner, clock) = store_with_clock();
    let store = FaultyStore::new(inner);
    let app = probing(&store).await;
    let mut gate = hold_command(&store);
    let note = start("a").writes("a", "slow");
    send(&app, note.timer("t", 60, "never")).await;
    gate.reached().await;
    send(&app, cancelling("t")).await;
    send(&app, start("b").timer("t", 60, "sign")).await;
    status_when(&app, "it is parked", |it| it.parked == 1 && it.lag == 0).await;
    clock.advance(2 * MINUTE);
    until_texts(&app, "b", &["sign"]).await;
    assert_eq!(instance(&app, "a").await.unwrap().timers.len(), 1);
    gate.release();
    until_texts(&app, "a", &["slow"]).await;
    settled(&app).await;
    assert_eq!(instance(&app, "a").await.unwrap().timers, []);
    assert_eq!(seen(&app, "a").await, ["Start", "Continue"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_timer_that_fails_puts_its_instance_aside() {
    for is_discarded in [true, false] {
        let (store, clock) = store_with_clock();
        let app = probing(&store).await;
        send(&app, start("a").timer("t", 60, "timer panics")).await;
        send(&app, start("b").timer("t", 60, "other")).await;
        settled(&app).await;
        clock.advance(MINUTE);
        until_texts(&app, "b", &["other"]).await;
        status_when(&app, "it is put aside", |it| it.dead_letters == 1).await;
        send(&app, start("a").writes("a", "later")).await;
        let letters = app.subscriptions().dead_letters("probe").await.unwrap();
        assert!(letters[0].error.contains("told to panic"), "{letters:?}");
        if is_discarded {
            assert!(app.subscriptions().discard("probe", "a").await.unwrap());
            until_texts(&app, "a", &["later"]).await;
            assert_eq!(instance(&app, "a").await.unwrap().timers, []);
        } else {
            assert!(app.subscriptions().retry("probe", "a").await.unwrap());
            until_texts(&app, "a", &["later"]).await;
            status_when(&app, "it fails again", |it| it.dead_letters == 1).await;
        }
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn a_timer_that_fired_before_a_reset_issues_nothing_again() {
    let (store, clock) = store_with_clock();
    let app = probing(&store).await;
    send(&app, start("a").timer("t", 60, "due")).await;
    settled(&app).await;
    clock.advance(MINUTE);
    until_texts(&app, "a", &["due"]).await;
    send(&app, go_on("a")).await;
    send(&app, start("b").timer("t", 60, "still to come")).await;
    settled(&app).await;
    let head = app.store().head().await.unwrap();
    app.subscriptions().reset("probe", 0).await.unwrap();
    reset(&app).await;
    until("the timer is taken into the state", async || {
        let seen = seen(&app, "a").await;
        (seen == ["Start", "Continue", "due"]).then_some(())
    })
    .await;
    settled(&app).await;
    assert_eq!(app.store().head().await.unwrap(), head);
    clock.advance(MINUTE);
    until_texts(&app, "b", &["still to come"]).await;
    assert_eq!(texts(&app, "a").await, ["due"]);
    app.shutdown().await.unwrap();
}

async fn reset(app: &App) {
    status_when(app, "it is reset", |status| {
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
}
