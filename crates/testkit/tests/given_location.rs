//! A failure points at the line of the test, not into the testkit. A file of its own, since the panic
//! hook is the whole process's.

mod bank;
mod money;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use bank::{Account, AccountCommand, AccountError, AccountEvent};
use money::{Receipts, Unwritable, deposited};
use ordain::FailureAction;
use ordain_testkit::{HandlerTest, Test, UpcasterTest};
use serde_json::json;

fn deposit(amount: u64) -> AccountCommand {
    let account = "a".into();
    AccountCommand::Deposit { account, amount }
}

#[test]
fn failures_point_at_the_line_of_the_test() {
    let places = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&places);
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map(|place| place.file().to_owned());
        seen.lock().unwrap().extend(place);
    }));
    let decided = || Test::<Account>::new().when(deposit(1));
    let other = || AccountEvent::Deposited { amount: 2 };
    let handled = || {
        let test = HandlerTest::new(Receipts::default()).when(deposited(1));
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        runtime.expect("a runtime").block_on(test)
    };
    let read = || UpcasterTest::<AccountEvent>::new([]).given("Unheard", 1, json!({}));
    let reason = String::new();
    let tests: Vec<Box<dyn FnOnce()>> = vec![
        Box::new(move || drop(handled().then_error("no"))),
        Box::new(move || drop(handled().then_error_matching(|_: &Unwritable| true))),
        Box::new(move || drop(handled().then_action(FailureAction::Skip))),
        Box::new(move || drop(HandlerTest::new(Receipts::default()).stream("?"))),
        Box::new(move || drop(read().then_event(other()))),
        Box::new(move || drop(read().then_dropped())),
        Box::new(move || drop(read().then_unreadable(|_| true))),
        Box::new(move || drop(decided().then_events(other()))),
        Box::new(move || drop(decided().then_no_events())),
        Box::new(move || drop(decided().then_error(AccountError::Audited(String::new())))),
        Box::new(move || drop(decided().then_error_matching(|_| true))),
        Box::new(move || drop(decided().then_not_found())),
        Box::new(move || drop(decided().then_exists())),
        Box::new(move || drop(Test::<Account>::given(AccountEvent::Flawed { reason }))),
        Box::new(move || {
            let account = "b".into();
            drop(
                decided()
                    .when(AccountCommand::Audit { account })
                    .when(deposit(1)),
            );
        }),
    ];
    let count = tests.len();
    for test in tests {
        catch_unwind(AssertUnwindSafe(test)).expect_err("it does not fail");
    }
    drop(std::panic::take_hook());
    let places = places.lock().unwrap();
    assert_eq!(places.len(), count);
    for place in &*places {
        assert!(place.ends_with("given_location.rs"), "{place}");
    }
}
