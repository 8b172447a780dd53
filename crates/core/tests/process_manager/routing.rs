//! Which instances an event is for.

use std::time::Duration;

use ordain::MemoryStore;
use ordain::store::SubscriptionState;

use crate::domain::*;

#[tokio::test]
async fn start_begins_an_instance_or_goes_on_with_it() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("a")).await;
    send(&app, start("a")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start", "Start"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn continue_and_stop_pass_over_what_is_not_there() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, go_on("a")).await;
    send(&app, stop("a")).await;
    send(&app, note(Kind::None, &["a"])).await;
    send(&app, note(Kind::Start, &[])).await;
    settled(&app).await;
    assert_eq!(instance(&app, "a").await, None);
    let status = app.subscriptions().status("probe").await.unwrap();
    assert_eq!(status.dead_letters, 0);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn stop_ends_an_instance_and_a_later_start_begins_anew() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("a")).await;
    send(&app, stop("a")).await;
    send(&app, go_on("a")).await;
    settled(&app).await;
    let ended = instance(&app, "a").await.unwrap();
    assert!(ended.finished);
    assert_eq!(seen(&app, "a").await, ["Start", "Stop"]);
    send(&app, start("a")).await;
    settled(&app).await;
    assert!(!instance(&app, "a").await.unwrap().finished);
    assert_eq!(seen(&app, "a").await, ["Start"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_stopped_instance_stays_stopped_though_it_was_not_in_memory() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("a").timer("t", 3_600, "late")).await;
    settled(&app).await;
    app.shutdown().await.unwrap();
    let app = probing(&store).await;
    send(&app, stop("a")).await;
    settled(&app).await;
    let ended = instance(&app, "a").await.unwrap();
    assert!(ended.finished && ended.timers.is_empty());
    app.shutdown().await.unwrap();
    let app = probing(&store).await;
    send(&app, go_on("a")).await;
    settled(&app).await;
    assert!(instance(&app, "a").await.unwrap().finished);
    assert_eq!(seen(&app, "a").await, ["Start", "Stop"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_instance_goes_on_with_its_state_after_a_restart() {
    let store = MemoryStore::new();
    for round in 1..=3 {
        let app = probing(&store).await;
        send(&app, start("a")).await;
        settled(&app).await;
        assert_eq!(seen(&app, "a").await.len(), round);
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn strict_routes_that_do_not_hold_put_the_instance_aside() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("a").strictly()).await;
    send(&app, start("a").strictly()).await;
    send(&app, go_on("b").strictly()).await;
    send(&app, go_on("a")).await;
    let letters = until("both are put aside", async || {
        let letters = app.subscriptions().dead_letters("probe").await.unwrap();
        (letters.len() == 2).then_some(letters)
    })
    .await;
    assert!(letters[0].error.contains("there already"), "{letters:?}");
    assert!(letters[1].error.contains("not there"), "{letters:?}");
    assert_eq!(letters[0].attempts, 3);
    assert_eq!(seen(&app, "a").await, ["Start"]);
    let subscriptions = app.subscriptions();
    assert!(subscriptions.discard("probe", "a").await.unwrap());
    assert!(subscriptions.discard("probe", "b").await.unwrap());
    until("what waited is handled", async || {
        let seen = seen(&app, "a").await;
        (seen == ["Start", "Continue"]).then_some(())
    })
    .await;
    settled(&app).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_may_be_for_many_instances() {
    let store = MemoryStore::new();
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
    assert_eq!(instance(&app, "d").await, None);
    let listed = app.processes("probe").list(Some("a"), 10).await.unwrap();
    assert_eq!(listed, ["b", "c"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_that_names_an_instance_twice_is_handled_once() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, note(Kind::Start, &["a", "a"]).writes("a", "once")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    assert_eq!(texts(&app, "a").await, ["once"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_event_may_end_an_instance_and_begin_it_anew() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("a")).await;
    send(&app, note(Kind::Restart, &["a"]).writes("a", "both")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Restart"]);
    assert_eq!(texts(&app, "a").await, ["both", "both"]);
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_panic_puts_its_instance_aside_and_others_go_on() {
    for panics in [Panics::Handle, Panics::Apply] {
        let store = MemoryStore::new();
        let app = probing(&store).await;
        send(&app, start("a").writes("a", "never").panicking(panics)).await;
        send(&app, start("a").writes("a", "later")).await;
        send(&app, start("b").writes("b", "other")).await;
        until_texts(&app, "b", &["other"]).await;
        status_when(&app, "one is put aside", |it| it.dead_letters == 1).await;
        assert_eq!(texts(&app, "a").await, [""; 0]);
        assert!(app.subscriptions().discard("probe", "a").await.unwrap());
        until_texts(&app, "a", &["later"]).await;
        assert_eq!(seen(&app, "a").await, ["Start"]);
        app.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_cannot_be_routed_stops_the_manager_or_is_skipped() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send_from(&app, "skipped", start("a").panicking(Panics::Route)).await;
    send(&app, start("a")).await;
    settled(&app).await;
    assert_eq!(seen(&app, "a").await, ["Start"]);
    send(&app, start("a").panicking(Panics::Route)).await;
    let status = status_when(&app, "it stops", |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    assert!(status.reason.unwrap().contains("told to panic"));
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_failure_may_stop_the_manager_which_then_goes_on_from_there() {
    let store = MemoryStore::new();
    let app = probing(&store).await;
    send(&app, start("a")).await;
    send_from(&app, "stopped", start("a").panicking(Panics::Handle)).await;
    status_when(&app, "it stops", |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    send_from(&app, "skipped", start("a").panicking(Panics::Handle)).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn wait_for_waits_for_a_parked_instance_too() {
    let (store, _) = store_with_clock();
    let faulty = ordain_testkit::FaultyStore::new(store);
    let app = probing(&faulty).await;
    send(&app, start("a")).await;
    settled(&app).await;
    let mut gate = hold_command(&faulty);
    send(&app, go_on("a").writes("a", "slow")).await;
    gate.reached().await;
    let waiting = app
        .dispatch(Send {
            signal: "s".into(),
            note: go_on("a"),
        })
        .wait_for([Probe::NAME])
        .wait_at_most(Duration::from_millis(300))
        .await;
    let error = waiting.unwrap_err();
    assert!(error.to_string().contains("in time"), "{error}");
    gate.release();
    app.dispatch(Send {
        signal: "s".into(),
        note: go_on("a"),
    })
    .wait_for([Probe::NAME])
    .await
    .unwrap();
    assert_eq!(seen(&app, "a").await.len(), 4);
    app.shutdown().await.unwrap();
}
