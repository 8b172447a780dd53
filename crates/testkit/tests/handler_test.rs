//! The test of an event handler: what passes, and what the failures say.

mod money;

use money::{Flawed, MoneyDeposited, Receipts, Unwritable, deposited, failure};
use ordain::prelude::*;
use ordain::{CorrelationId, Delivery, FailureAction};
use ordain_testkit::HandlerTest;

#[tokio::test]
async fn events_are_handled_in_their_places() {
    HandlerTest::new(Receipts::default())
        .stream("account-ann")
        .given(deposited(1))
        .given(deposited(2))
        .stream("account-bob")
        .version(7)
        .when(deposited(3))
        .await
        .then_ok()
        .stream("account-ann")
        .when(deposited(4))
        .await
        .then_ok()
        .then(|receipts| {
            let sent = receipts.sent.lock().expect("no panic");
            let expected = [
                "account-ann 1: 1",
                "account-ann 2: 2",
                "account-bob 7: 3",
                "account-ann 3: 4",
            ];
            assert_eq!(*sent, expected);
        });
}

/// Says what it is told about an event by failing.
#[derive(Debug, EventHandler)]
#[event_handler(name = "telling", version = 3, events(MoneyDeposited), replays)]
struct Telling;

impl Handle<MoneyDeposited> for Telling {
    async fn handle(&self, _: &MoneyDeposited, context: &EventContext) -> Result<(), BoxError> {
        let metadata = context.metadata();
        let text = format!(
            "{} {} {:?} attempt {} of {}: {:?} {:?} {:?} {} at {}",
            context.stream(),
            context.position(),
            context.delivery(),
            context.attempt(),
            context.subscription(),
            metadata.actor,
            metadata.tenant,
            metadata.custom.get("why"),
            context.correlation_id().is_some(),
            context.recorded_at(),
        );
        Err(text.into())
    }
}

#[tokio::test]
async fn what_is_known_about_an_event_can_be_said() {
    HandlerTest::new(Telling)
        .stream("account-ann")
        .position(40)
        .delivery(Delivery::Replay)
        .attempt(2)
        .actor("teller-7")
        .tenant("north")
        .metadata("why", 3)
        .correlation_id(CorrelationId::new())
        .when(deposited(1))
        .await
        .then_error(
            "account-ann 40 Replay attempt 2 of telling (version 3): Some(\"teller-7\") \
             Some(\"north\") Some(Number(3)) true at 2030-01-01 12:00:00.0 +00:00:00",
        );
}

#[tokio::test]
async fn failures_are_looked_at_and_tried_again() {
    HandlerTest::new(Receipts::default())
        .when(deposited(13))
        .await
        .then_error("13 cannot be written on a receipt")
        .then_error_matching(|error: &Unwritable| error.amount == 13)
        .then_action(FailureAction::Retry)
        .again()
        .await
        .then_action(FailureAction::DeadLetter);
    HandlerTest::new(Receipts::default())
        .stream("account-skipped")
        .when(deposited(13))
        .await
        .then_action(FailureAction::Skip);
    HandlerTest::new(Receipts::default())
        .when(deposited(14))
        .await
        .then_error("not at once")
        .again()
        .await
        .then_ok();
}

#[tokio::test]
async fn an_event_may_come_again() {
    HandlerTest::new(Receipts::default())
        .when(deposited(1))
        .await
        .again()
        .await
        .then_ok()
        .then(|receipts| {
            let sent = receipts.sent.lock().expect("no panic");
            assert_eq!(*sent, ["test-1 1: 1", "test-1 1: 1"]);
        });
}

#[tokio::test]
async fn another_outcome_is_named() {
    let handled = async || {
        HandlerTest::new(Receipts::default())
            .when(deposited(1))
            .await
    };
    let failed = async || {
        HandlerTest::new(Receipts::default())
            .when(deposited(13))
            .await
    };
    let text = failure(async { failed().await.then_ok() }).await;
    assert_eq!(
        text,
        "`MoneyDeposited`: expected that it is handled, but it failed: 13 cannot be written on a receipt"
    );
    let text = failure(async { handled().await.then_error("no") }).await;
    assert_eq!(
        text,
        "`MoneyDeposited`: expected the error \"no\", but it was handled"
    );
    let text = failure(async { failed().await.then_error("13 is not written") }).await;
    assert!(text.contains("- 13 is not written"), "{text}");
    assert!(
        text.contains("+ 13 cannot be written on a receipt"),
        "{text}"
    );
    let none = |_: &Unwritable| false;
    let text = failure(async { failed().await.then_error_matching(none) }).await;
    assert_eq!(
        text,
        "`MoneyDeposited` failed with an error that does not match: Unwritable { amount: 13 }"
    );
    let other = |_: &std::fmt::Error| true;
    let text = failure(async { failed().await.then_error_matching(other) }).await;
    assert!(
        text.starts_with("`MoneyDeposited`: expected a `core::fmt::Error`, but it failed"),
        "{text}"
    );
    let text = failure(async { failed().await.then_action(FailureAction::Stop) }).await;
    assert_eq!(
        text,
        "`MoneyDeposited` failed at attempt 1: 13 cannot be written on a receipt; expected `Stop`, but \
         the handler says `Retry`"
    );
    let text = failure(async { handled().await.then_action(FailureAction::Stop) }).await;
    assert_eq!(
        text,
        "`MoneyDeposited`: expected a failure followed by `Stop`, but it was handled"
    );
    let text = failure(async { failed().await.when(deposited(1)).await }).await;
    assert!(
        text.starts_with("`MoneyDeposited`: expected that it is handled, for the test to go on"),
        "{text}"
    );
}

#[tokio::test]
async fn what_is_given_has_to_make_sense() {
    let new = || HandlerTest::new(Receipts::default());
    let text = failure(async { new().given(deposited(13)).when(deposited(1)).await }).await;
    assert!(
        text.starts_with("`MoneyDeposited` is given, and could not be handled: 13 cannot"),
        "{text}"
    );
    let reason = String::new();
    let text = failure(async { new().given(Flawed { reason }) }).await;
    assert!(
        text.starts_with("the event `Flawed` cannot be read back"),
        "{text}"
    );
    let text = failure(async { new().stream("ann") }).await;
    assert!(text.starts_with("`ann` is not a stream"), "{text}");
}
