//! What becomes of a running app: what passes, and what the failures say.

mod money;

use std::sync::Arc;
use std::time::Duration;

use money::{Account, Balances, MoneyDeposited, MoneyWithdrawn, Receipts, deposit, failure};
use ordain::prelude::*;
use ordain::store::Append;
use ordain::subscription::SubscriptionOptions;
use ordain::{App, AppBuilder, Config, ExpectedVersion, MemoryStore, NewEvent, Upcaster};
use ordain_testkit::running;
use tokio::sync::{Notify, watch};

const SHORT: Duration = Duration::from_millis(50);

fn on(store: MemoryStore) -> AppBuilder<MemoryStore> {
    let config = Config::new().beat(Duration::from_millis(20));
    App::builder(store)
        .aggregate::<Account>()
        .upcaster(Upcaster::compatible("MoneyWithdrawn", 1, 2))
        .config(config)
}

async fn started() -> App {
    let app = on(MemoryStore::new())
        .event_handler(Receipts::default())
        .projection(Balances::default());
    app.start().await.expect("it starts")
}

async fn dispatch(app: &App, account: &str, amount: u64) {
    let receipt = app.dispatch(deposit(account, amount)).await;
    receipt.expect("it is accepted");
}

fn of(amount: u64) -> impl Fn(&MoneyDeposited) -> bool {
    move |event| event.amount == amount
}

#[tokio::test]
async fn an_event_is_waited_for() {
    let app = started().await;
    dispatch(&app, "ann", 1).await;
    let seen = running(&app).wait_for_event(of(1)).await;
    assert_eq!((seen.event.amount, seen.recorded.stream.id()), (1, "ann"));
    let (seen, ()) = tokio::join!(running(&app).wait_for_event(of(2)), async {
        tokio::task::yield_now().await;
        dispatch(&app, "bob", 2).await;
    });
    assert_eq!(seen.recorded.position.get(), 2);
}

#[tokio::test]
async fn an_event_that_does_not_come_is_a_failure_that_shows_the_log() {
    let app = started().await;
    let wait = running(&app).within(SHORT);
    let text = failure(wait.wait_for_event(of(3))).await;
    assert!(
        text.starts_with("no `MoneyDeposited` that matches came within 50ms (at "),
        "{text}"
    );
    assert!(text.ends_with("the log is empty"), "{text}");
    for amount in 100..130 {
        dispatch(&app, "ann", amount).await;
    }
    let text = failure(wait.wait_for_event(of(3))).await;
    assert!(text.contains("running.rs:"), "{text}");
    let expected = "the log has 30 events, the last 20 are:\n  11: account-ann 11: MoneyDeposited {\"amount\":110}\n";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn an_event_that_cannot_be_read_is_a_failure() {
    let store = MemoryStore::new();
    let app = on(store).start().await.expect("it starts");
    let broken = NewEvent::new("MoneyDeposited", "{}");
    let stream = "account-ann".parse().expect("a stream");
    let append = Append::new(stream, ExpectedVersion::Any, vec![broken]);
    app.store().append(append).await.expect("it is stored");
    let text = failure(running(&app).wait_for_event(of(3))).await;
    assert!(text.contains("missing field `amount`"), "{text}");
    assert!(
        text.contains("1: account-ann 1: MoneyDeposited {}"),
        "{text}"
    );
}

#[tokio::test]
async fn subscriptions_are_waited_for() {
    let app = started().await;
    running(&app).wait_until_idle([Balances::NAME]).await;
    for amount in 1..10 {
        dispatch(&app, "ann", amount).await;
    }
    let names = [Receipts::NAME, Balances::NAME];
    running(&app).wait_until_idle(names).await;
    for name in names {
        let status = app.subscriptions().status(name).await.expect("it is known");
        assert_eq!(status.lag, 0);
    }
}

#[tokio::test]
async fn what_is_not_idle_is_described() {
    let app = started().await;
    let text = failure(running(&app).wait_until_idle(["letters"])).await;
    assert!(text.starts_with("`letters` is not idle (at "), "{text}");
    assert!(
        text.contains("there is no subscription `letters`"),
        "{text}"
    );
    assert!(
        text.contains("there are [\"balances\", \"receipts\"]"),
        "{text}"
    );

    app.subscriptions()
        .pause(Balances::NAME)
        .await
        .expect("it is known");
    dispatch(&app, "ann", 1).await;
    let text = failure(running(&app).wait_until_idle([Balances::NAME])).await;
    assert!(text.contains("`balances` is paused"), "{text}");
    assert!(text.contains("paused, at position 0 of 1"), "{text}");
}

/// Fails until it is let go on, and then waits to be told.
#[derive(Clone, EventHandler)]
#[event_handler(name = "reluctant", events(MoneyDeposited), options = Reluctant::options)]
struct Reluctant {
    goes_on: watch::Sender<bool>,
    tries_again: Arc<Notify>,
}

impl Reluctant {
    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new().attempts(1)
    }
}

impl Handle<MoneyDeposited> for Reluctant {
    async fn handle(&self, _: &MoneyDeposited, _: &EventContext) -> Result<(), BoxError> {
        if !*self.goes_on.borrow() {
            return Err("not yet".into());
        }
        self.tries_again.notified().await;
        Ok(())
    }
}

#[tokio::test]
async fn dead_letters_that_are_being_retried_are_waited_for() {
    let handler = Reluctant {
        goes_on: watch::Sender::new(false),
        tries_again: Arc::default(),
    };
    let app = on(MemoryStore::new()).event_handler(handler.clone());
    let app = app.start().await.expect("it starts");
    dispatch(&app, "ann", 1).await;
    let tolerant = running(&app).allow_dead_letters();
    tolerant.wait_until_idle([Reluctant::NAME]).await;
    handler.goes_on.send_replace(true);
    let retried = app.subscriptions().retry_all(Reluctant::NAME).await;
    assert_eq!(retried.expect("it is asked"), 1);
    let text = failure(
        running(&app)
            .within(SHORT)
            .wait_until_idle([Reluctant::NAME]),
    )
    .await;
    assert!(text.contains("dead letter account-ann"), "{text}");
    let idle = running(&app).wait_until_idle([Reluctant::NAME]);
    tokio::join!(idle, async {
        tokio::task::yield_now().await;
        handler.tries_again.notify_one();
    });
    let letters = app.subscriptions().dead_letters(Reluctant::NAME).await;
    assert!(letters.expect("they are read").is_empty());
}

#[tokio::test]
async fn dead_letters_are_shown_unless_they_are_allowed() {
    let app = started().await;
    app.subscriptions()
        .remove(Balances::NAME)
        .await
        .expect("the store works");
    dispatch(&app, "ann", 13).await;
    let text = failure(running(&app).wait_until_idle([Receipts::NAME])).await;
    assert!(
        text.starts_with("`receipts` passes over events (at "),
        "{text}"
    );
    assert!(
        text.ends_with("dead letter ann at position 1: 13 cannot be written on a receipt"),
        "{text}"
    );
    let tolerant = running(&app).allow_dead_letters();
    tolerant.wait_until_idle([Receipts::NAME]).await;
}

#[tokio::test]
async fn an_event_that_should_not_be_is_found() {
    let app = started().await;
    dispatch(&app, "ann", 1).await;
    let amount = running(&app)
        .refute_event(of(1), async || {
            dispatch(&app, "ann", 2).await;
            2
        })
        .await;
    assert_eq!(amount, 2);
    let refuted = running(&app).refute_event(of(3), async || dispatch(&app, "ann", 3).await);
    let text = failure(refuted).await;
    assert!(
        text.starts_with("there is a `MoneyDeposited` that should not be (at "),
        "{text}"
    );
    assert!(
        text.contains("\n  3: account-ann 3: MoneyDeposited {\"amount\":3}"),
        "{text}"
    );
}

#[tokio::test]
async fn correlation_is_checked() {
    let app = started().await;
    dispatch(&app, "ann", 1).await;
    dispatch(&app, "ann", 2).await;
    running(&app).assert_correlated(of(1), of(1)).await;
    let text = failure(running(&app).assert_correlated(of(1), of(2))).await;
    assert!(text.starts_with("not of one correlation id (at "), "{text}");
    assert!(
        text.contains(": 1: account-ann 1: MoneyDeposited"),
        "{text}"
    );
    assert!(
        text.contains(": 2: account-ann 2: MoneyDeposited"),
        "{text}"
    );
    let missing = |_: &MoneyWithdrawn| true;
    let wait = running(&app).within(SHORT);
    let text = failure(wait.assert_correlated(of(1), missing)).await;
    assert!(
        text.starts_with("no `MoneyWithdrawn` that matches"),
        "{text}"
    );
}
