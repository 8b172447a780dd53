//! What an account does with its commands.

use bank::domain::{
    Account, AccountClosed, AccountError, AccountEvent, AccountId, AccountOpened, CloseAccount,
    Deposit, Money, MoneyDeposited, MoneyWithdrawn, OpenAccount, Withdraw,
};
use ordain_testkit::{Test, assert_event_schemas};

fn account() -> AccountId {
    "A1".into()
}

fn open(owner: &str) -> OpenAccount {
    let (account, owner) = (account(), owner.into());
    OpenAccount { account, owner }
}

fn deposit(amount: impl Into<Money>) -> Deposit {
    let (account, amount) = (account(), amount.into());
    Deposit { account, amount }
}

fn withdraw(amount: u32) -> Withdraw {
    let (account, amount) = (account(), amount.into());
    Withdraw { account, amount }
}

fn close() -> CloseAccount {
    let account = account();
    CloseAccount { account }
}

fn opened() -> AccountOpened {
    let owner = "Ann".into();
    AccountOpened { owner }
}

fn deposited(amount: u32) -> MoneyDeposited {
    let amount = amount.into();
    MoneyDeposited { amount }
}

fn withdrawn(amount: u32) -> MoneyWithdrawn {
    let amount = amount.into();
    MoneyWithdrawn { amount }
}

#[test]
fn an_account_is_opened_once_and_by_somebody() {
    Test::<Account>::new()
        .when(open(" Ann "))
        .then_events(opened())
        .when(open("Ben"))
        .then_exists();
    Test::<Account>::new()
        .when(open(" "))
        .then_error(AccountError::OwnerBlank);
}

#[test]
fn an_account_that_was_never_opened_takes_nothing() {
    Test::<Account>::new().when(deposit(1)).then_not_found();
    Test::<Account>::new().when(withdraw(1)).then_not_found();
    Test::<Account>::new().when(close()).then_not_found();
}

#[test]
fn money_comes_in_and_goes_out() {
    Test::<Account>::given(opened())
        .when(deposit(1_000))
        .then_events(deposited(1_000))
        .when(withdraw(400))
        .then_events(withdrawn(400))
        .then_state(|account| assert_eq!(account.balance(), 600.into()))
        .when(withdraw(600))
        .then_events(withdrawn(600))
        .then_state(|account| assert_eq!(account.balance(), Money::ZERO));
}

#[test]
fn no_more_goes_out_than_there_is() {
    Test::<Account>::given((opened(), deposited(1_000)))
        .when(withdraw(1_001))
        .then_error(AccountError::InsufficientFunds {
            balance: 1_000.into(),
            amount: 1_001.into(),
        });
}

#[test]
fn nothing_cannot_be_moved() {
    let given = || Test::<Account>::given((opened(), deposited(1_000)));
    let refused = AccountError::AmountNotPositive;
    given().when(deposit(0)).then_error(refused.clone());
    given().when(withdraw(0)).then_error(refused);
}

#[test]
fn a_balance_stays_countable() {
    let largest = Money::try_from(i64::MAX).unwrap();
    Test::<Account>::given((opened(), deposited(1)))
        .when(deposit(largest))
        .then_error(AccountError::BalanceTooLarge);
}

#[test]
fn only_an_empty_account_is_closed() {
    let balance = 5.into();
    Test::<Account>::given((opened(), deposited(5)))
        .when(close())
        .then_error(AccountError::NotEmpty { balance });
    Test::<Account>::given((opened(), deposited(5), withdrawn(5)))
        .when(close())
        .then_events(AccountClosed {});
}

#[test]
fn a_closed_account_refuses_everything() {
    let given = || Test::<Account>::given((opened(), AccountClosed {}));
    given().when(open("Ann")).then_exists();
    given().when(deposit(1)).then_error(AccountError::Closed);
    given().when(withdraw(1)).then_error(AccountError::Closed);
    given().when(close()).then_error(AccountError::Closed);
}

#[test]
fn what_is_stored_keeps_its_shape() {
    assert_event_schemas::<AccountEvent>("events.lock");
}
