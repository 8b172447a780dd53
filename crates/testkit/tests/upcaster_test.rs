//! The test of upcasters: what passes, and what the failures say.

mod money;

use money::{AccountEvent, MoneyWithdrawn, deposited, failure};
use ordain::{DecodeProblem, Upcaster};
use ordain_testkit::{Upcasted, UpcasterTest};
use serde_json::json;

fn test() -> UpcasterTest<AccountEvent> {
    UpcasterTest::new([
        Upcaster::map("MoneyWithdrawn", 1, 2, |mut json| {
            if json["amount"].is_null() {
                return Err("there is no amount".into());
            }
            json["currency"] = "EUR".into();
            Ok(json)
        }),
        Upcaster::rename(("CashIn", 1), ("MoneyDeposited", 1)),
        Upcaster::split(
            ("Exchanged", 1),
            [("MoneyDeposited", 1), ("MoneyWithdrawn", 1)],
            |json| Ok(vec![json["in"].clone(), json["out"].clone()]),
        ),
        Upcaster::drop("Obsolete", 1),
    ])
}

fn withdrawn(amount: u64) -> MoneyWithdrawn {
    let currency = "EUR".into();
    MoneyWithdrawn { amount, currency }
}

fn old_withdrawal() -> Upcasted<AccountEvent> {
    test().given("MoneyWithdrawn", 1, json!({ "amount": 3 }))
}

#[test]
fn stored_events_become_those_of_now() {
    old_withdrawal()
        .then_event(withdrawn(3))
        .given("MoneyDeposited", 1, json!({ "amount": 4 }))
        .then_event(deposited(4))
        .given("CashIn", 1, json!({ "amount": 4 }))
        .then_event(deposited(4))
        .given(
            "Exchanged",
            1,
            json!({ "in": { "amount": 1 }, "out": { "amount": 2 } }),
        )
        .then_events([deposited(1).into(), withdrawn(2).into()])
        .given("Obsolete", 1, json!({}))
        .then_dropped()
        .given("Unheard", 1, json!({}))
        .then_unlisted()
        .given("MoneyWithdrawn", 1, json!({}))
        .then_unreadable(|problem| matches!(problem, DecodeProblem::Upcaster(_)))
        .given("MoneyWithdrawn", 3, json!({}))
        .then_unreadable(|problem| matches!(problem, DecodeProblem::Newer { known: 2 }));
}

#[tokio::test]
async fn failures_say_what_was_read() {
    let text = failure(async { old_withdrawal().then_event(withdrawn(4)) }).await;
    assert!(
        text.starts_with("`MoneyWithdrawn` 1 is read as other events:"),
        "{text}"
    );
    assert!(text.contains("-       \"amount\": 4,"), "{text}");
    assert!(text.contains("+       \"amount\": 3,"), "{text}");

    let text = failure(async { old_withdrawal().then_dropped() }).await;
    assert!(
        text.starts_with(
            "`MoneyWithdrawn` 1: expected that it is left out, but it is read as the events \
             [\"MoneyWithdrawn\"]:"
        ),
        "{text}"
    );
    let text = failure(async { old_withdrawal().then_unlisted() }).await;
    assert!(
        text.contains("expected that its type is not listed"),
        "{text}"
    );
    let text = failure(async { old_withdrawal().then_unreadable(|_| true) }).await;
    assert!(text.contains("expected that it cannot be read"), "{text}");

    let broken = || test().given("MoneyWithdrawn", 1, json!({}));
    let text = failure(async { broken().then_event(withdrawn(1)) }).await;
    assert_eq!(
        text,
        "`MoneyWithdrawn` 1: expected the events [\"MoneyWithdrawn\"], but it cannot be read: its \
         upcaster failed: there is no amount"
    );
    let text = failure(async { broken().then_unreadable(|_| false) }).await;
    assert_eq!(
        text,
        "`MoneyWithdrawn` 1: that does not match: its upcaster failed: there is no amount"
    );
    let unheard = test().given("Unheard", 1, json!({}));
    let text = failure(async { unheard.then_dropped() }).await;
    assert!(
        text.ends_with("but the set does not list its type"),
        "{text}"
    );
    let obsolete = test().given("Obsolete", 1, json!({}));
    let text = failure(async { obsolete.then_unlisted() }).await;
    assert!(text.ends_with("but it is left out"), "{text}");
}
