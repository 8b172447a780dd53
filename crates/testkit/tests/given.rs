//! Given/when/then: what passes, and what the failures say.

mod bank;

use std::panic::{AssertUnwindSafe, catch_unwind};

use bank::{Account, AccountCommand, AccountError, AccountEvent, AddInterest, Interest};
use ordain_testkit::Test;

fn opened() -> AccountEvent {
    AccountEvent::Opened {
        owner: "Ann".into(),
    }
}

fn deposited(amount: u64) -> AccountEvent {
    AccountEvent::Deposited { amount }
}

fn withdrawn(amount: u64) -> AccountEvent {
    AccountEvent::Withdrawn { amount }
}

fn withdraw(amount: u64) -> AccountCommand {
    let account = "a".into();
    AccountCommand::Withdraw { account, amount }
}

fn deposit(amount: u64) -> AccountCommand {
    let account = "a".into();
    AccountCommand::Deposit { account, amount }
}

fn open() -> AccountCommand {
    AccountCommand::Open {
        account: "a".into(),
        owner: "Ann".into(),
    }
}

fn audit(account: &str) -> AccountCommand {
    let account = account.into();
    AccountCommand::Audit { account }
}

/// The text of the panic.
#[track_caller]
fn failure(test: impl FnOnce()) -> String {
    let panic = catch_unwind(AssertUnwindSafe(test)).expect_err("it does not fail");
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a text").to_string(),
    }
}

#[test]
fn commands_produce_events() {
    Test::<Account>::given((opened(), deposited(10)))
        .when(withdraw(4))
        .then_events(withdrawn(4))
        .then_state(|account| assert_eq!(account.balance, 6));
    Test::<Account>::new().when(open()).then_events(opened());
    Test::<Account>::given(opened())
        .when(deposit(0))
        .then_no_events();
    Test::<Account>::given(opened())
        .when(deposit(0))
        .then_events(());
}

#[test]
fn commands_are_refused() {
    Test::<Account>::given((opened(), deposited(10)))
        .when(withdraw(11))
        .then_error(AccountError::InsufficientFunds { balance: 10 })
        .then_error_matching(|error| matches!(error, AccountError::InsufficientFunds { .. }));
    Test::<Account>::new().when(withdraw(1)).then_not_found();
    Test::<Account>::given(opened()).when(open()).then_exists();
}

#[test]
fn commands_build_on_each_other() {
    Test::<Account>::given(opened())
        .and([deposited(1), deposited(2)])
        .when(deposit(3))
        .then_events(deposited(3))
        .and(withdrawn(1))
        .when(withdraw(5))
        .when(deposit(7))
        .then_state(|account| assert_eq!(account.balance, 7));
}

#[test]
fn commands_see_their_context() {
    Test::<Account>::given((opened(), deposited(1)))
        .actor("teller-7")
        .tenant("north")
        .metadata("why", 3)
        .when(audit("a"))
        .then_error(AccountError::Audited(
            "a of north at 2 by teller-7 (3)".into(),
        ));
    Test::<Account>::new()
        .when(audit("a"))
        .then_error(AccountError::Audited(
            "a of nobody at 0 by nobody (null)".into(),
        ));
}

#[tokio::test]
async fn handlers_outside_decide() {
    let interest = || AddInterest {
        account: "a".into(),
    };
    let handler = Interest { percent: 5 };
    Test::<Account>::given((opened(), deposited(100)))
        .when_handled_by(&handler, interest())
        .await
        .then_events(deposited(5))
        .when_handled_by(&Interest { percent: 10 }, interest())
        .await
        .then_events(deposited(10))
        .when(withdraw(115))
        .then_events(withdrawn(115));
    Test::<Account>::new()
        .when_handled_by(&handler, interest())
        .await
        .then_error(AccountError::InsufficientFunds { balance: 0 });
}

#[test]
fn other_events_are_shown_as_a_difference() {
    let text = failure(|| {
        Test::<Account>::given((opened(), deposited(10)))
            .when(withdraw(4))
            .then_events((deposited(1), withdrawn(5)));
    });
    assert!(
        text.starts_with("`Withdraw` did not produce the expected events:"),
        "{text}"
    );
    assert!(text.contains("-     \"MoneyDeposited\": {"), "{text}");
    assert!(text.contains("-         \"amount\": 5"), "{text}");
    assert!(text.contains("+         \"amount\": 4"), "{text}");
    assert!(text.contains("      \"MoneyWithdrawn\": {"), "{text}");
}

#[test]
fn another_kind_of_answer_is_named() {
    let given = || Test::<Account>::given((opened(), deposited(10)));
    let text = failure(|| drop(given().when(withdraw(11)).then_events(withdrawn(11))));
    assert_eq!(
        text,
        "`Withdraw`: expected the events [\"MoneyWithdrawn\"], but it was refused: only 10 are left \
         (InsufficientFunds { balance: 10 })"
    );
    let text = failure(|| {
        given()
            .when(withdraw(1))
            .then_error(AccountError::InsufficientFunds { balance: 10 });
    });
    assert!(
        text.starts_with(
            "`Withdraw`: expected the error `InsufficientFunds { balance: 10 }`, but it produced the \
             events [\"MoneyWithdrawn\"]:"
        ),
        "{text}"
    );
    let text = failure(|| drop(given().when(open()).then_events(opened())));
    assert!(
        text.ends_with("it needs an absent aggregate, and there are events"),
        "{text}"
    );
    let text = failure(|| drop(Test::<Account>::new().when(withdraw(1)).then_no_events()));
    assert!(
        text.ends_with("it needs an existing aggregate, and there are no events"),
        "{text}"
    );
    let text = failure(|| drop(given().when(deposit(0)).then_events(deposited(0))));
    assert!(text.ends_with("but it produced no events"), "{text}");
    let text = failure(|| drop(given().when(deposit(1)).then_not_found()));
    assert!(
        text.starts_with("`Deposit`: expected that the aggregate does not exist"),
        "{text}"
    );
}

#[test]
fn another_error_is_shown_as_a_difference() {
    let text = failure(|| {
        Test::<Account>::given((opened(), deposited(10)))
            .when(withdraw(11))
            .then_error(AccountError::InsufficientFunds { balance: 9 });
    });
    assert!(
        text.contains("-     balance: 9,") && text.contains("+     balance: 10,"),
        "{text}"
    );
    let text = failure(|| {
        Test::<Account>::given(opened())
            .when(withdraw(11))
            .then_error_matching(|error| matches!(error, AccountError::Audited(_)));
    });
    assert!(
        text.contains("does not match: InsufficientFunds { balance: 0 }"),
        "{text}"
    );
}

#[test]
fn a_command_after_a_refused_one_is_a_mistake() {
    let text = failure(|| {
        let _ = Test::<Account>::given(opened())
            .when(withdraw(1))
            .when(deposit(1));
    });
    assert_eq!(
        text,
        "`Withdraw` had to succeed for the test to go on, and it was refused: only 0 are left \
         (InsufficientFunds { balance: 0 })"
    );
}

#[test]
fn an_event_that_does_not_survive_storage_is_a_mistake() {
    let text = failure(|| {
        let account = "a".into();
        let _ = Test::<Account>::new().when(AccountCommand::Flaw { account });
    });
    assert!(
        text.starts_with("the event `Flawed` cannot be read back: "),
        "{text}"
    );
    assert!(text.contains("missing field `reason`"), "{text}");
    assert!(text.ends_with("stored was {\"Flawed\":{}}"), "{text}");
    let text = failure(|| {
        let reason = "x".into();
        let _ = Test::<Account>::given(AccountEvent::Flawed { reason });
    });
    assert!(
        text.starts_with("the event `Flawed` cannot be read back"),
        "{text}"
    );
}

#[test]
fn a_panic_of_execute_shows_as_itself() {
    let text = failure(|| {
        let _ = Test::<Account>::new().when(deposit(u64::MAX));
    });
    assert_eq!(text, "the vault is full");
}

#[test]
fn commands_for_two_aggregates_are_a_mistake() {
    let text = failure(|| {
        let _ = Test::<Account>::new()
            .when(open())
            .when(AccountCommand::Deposit {
                account: "b".into(),
                amount: 1,
            });
    });
    assert!(
        text.contains("this one is for `b`, those before were for `a`"),
        "{text}"
    );
}

#[test]
fn a_command_decided_outside_is_pointed_to_its_method() {
    let text = failure(|| {
        let account = "a".into();
        let _ = Test::<Account>::new().when(AddInterest { account });
    });
    assert!(
        text.contains("write `.when_handled_by(&handler, command).await`"),
        "{text}"
    );
}
