//! Commands that are dispatched later.

use std::time::Duration;

use ordain::{App, Clock};

use crate::domain::*;

const MINUTE: Duration = Duration::from_secs(60);

fn write(ledger: &str, text: &str) -> Write {
    Write {
        ledger: ledger.to_owned(),
        text: text.to_owned(),
    }
}

async fn starting(store: &ordain::MemoryStore, clock: &ordain_testkit::ManualClock) -> App {
    let app = on(store).clock(std::sync::Arc::new(clock.clone()));
    app.start().await.unwrap()
}

#[tokio::test]
async fn a_command_is_dispatched_at_its_time() {
    let (store, clock) = store_with_clock();
    let app = starting(&store, &clock).await;
    let at = clock.now() + MINUTE;
    app.schedule(write("l", "second")).at(at).await.unwrap();
    let first = app.schedule(write("l", "first")).actor("ann");
    first.after(MINUTE / 2).await.unwrap();
    clock.advance(MINUTE / 2);
    until_texts(&app, "l", &["first"]).await;
    clock.advance(MINUTE / 2);
    until_texts(&app, "l", &["first", "second"]).await;
    let read = ordain::store::ReadAll::forward();
    let events = app.store().read_all(read).await.unwrap().events;
    assert_eq!(events[0].metadata.actor.as_deref(), Some("ann"));
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_scheduled_command_can_be_taken_back() {
    let (store, clock) = store_with_clock();
    let app = starting(&store, &clock).await;
    let id = app.schedule(write("l", "never")).after(MINUTE).await;
    let id = id.unwrap();
    app.schedule(write("l", "sign"))
        .after(MINUTE)
        .await
        .unwrap();
    let read_back: ordain::ScheduledId = id.to_string().parse().unwrap();
    assert!(app.cancel_scheduled(read_back).await.unwrap());
    assert!(!app.cancel_scheduled(id).await.unwrap());
    clock.advance(MINUTE);
    until_texts(&app, "l", &["sign"]).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_scheduled_command_survives_a_restart_and_takes_effect_once() {
    let (store, clock) = store_with_clock();
    let app = starting(&store, &clock).await;
    app.schedule(write("l", "once"))
        .after(MINUTE)
        .await
        .unwrap();
    app.shutdown().await.unwrap();
    clock.advance(2 * MINUTE);
    let apps = [
        starting(&store, &clock).await,
        starting(&store, &clock).await,
    ];
    until_texts(&apps[0], "l", &["once"]).await;
    for app in apps {
        app.shutdown().await.unwrap();
    }
    let app = starting(&store, &clock).await;
    app.schedule(write("l", "sign"))
        .after(Duration::ZERO)
        .await
        .unwrap();
    until_texts(&app, "l", &["once", "sign"]).await;
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_scheduled_command_that_is_rejected_holds_up_no_other() {
    let (store, clock) = store_with_clock();
    let app = starting(&store, &clock).await;
    let rejected = app.schedule(write("l", "reject"));
    let id = rejected.after(Duration::ZERO).await.unwrap();
    let next = app.schedule(write("l", "next"));
    next.after(Duration::ZERO).await.unwrap();
    until_texts(&app, "l", &["next"]).await;
    assert!(!app.cancel_scheduled(id).await.unwrap());
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn names_of_the_framework_are_refused() {
    struct Reserved;
    impl ordain::RawHandler for Reserved {
        const NAME: &'static str = "$schedule";
        async fn handle(
            &self,
            _: &ordain::RecordedEvent,
            _: &ordain::EventContext,
        ) -> Result<(), ordain::BoxError> {
            Ok(())
        }
    }
    let store = ordain::MemoryStore::new();
    let started = on(&store).raw_handler(Reserved).start().await;
    assert!(started.unwrap_err().to_string().contains("framework's own"));
}
