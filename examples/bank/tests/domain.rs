//! What an account does with its commands.

use bank::domain::{
    Account, AccountClosed, AccountError, AccountEvent, AccountId, AccountOpened, ApproveTransfer,
    CloseAccount, CompleteTransfer, ConfirmReservation, Deposit, ExpireTransfer, FailTransfer,
    Money, MoneyDeposited, MoneyReceived, MoneyReserved, MoneyWithdrawn, OpenAccount, ReceiveMoney,
    ReleaseReservation, RequestTransfer, ReservationConfirmed, ReservationReleased, ReserveMoney,
    Transfer, TransferApproved, TransferCompleted, TransferError, TransferEvent, TransferExpired,
    TransferFailed, TransferId, TransferRequested, TransferState, Withdraw,
};
use ordain_testkit::{EventSchemas, Test};

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

fn transfer() -> TransferId {
    "T1".into()
}

fn reserve(amount: u32) -> ReserveMoney {
    let (account, transfer, amount) = (account(), transfer(), amount.into());
    ReserveMoney {
        account,
        transfer,
        amount,
    }
}

fn reserved(amount: u32) -> MoneyReserved {
    let (transfer, amount) = (transfer(), amount.into());
    MoneyReserved { transfer, amount }
}

fn release() -> ReleaseReservation {
    let (account, transfer) = (account(), transfer());
    ReleaseReservation { account, transfer }
}

fn confirm() -> ConfirmReservation {
    let (account, transfer) = (account(), transfer());
    ConfirmReservation { account, transfer }
}

#[test]
fn what_is_reserved_is_in_the_account_and_cannot_be_spent() {
    Test::<Account>::given((opened(), deposited(1_000)))
        .when(reserve(300))
        .then_events(reserved(300))
        .then_state(|account| {
            assert_eq!(account.balance(), 1_000.into());
            assert_eq!(account.available(), 700.into());
        })
        .when(withdraw(701))
        .then_error(AccountError::InsufficientFunds {
            balance: 700.into(),
            amount: 701.into(),
        });
    Test::<Account>::given((opened(), deposited(1_000)))
        .when(reserve(1_001))
        .then_error(AccountError::InsufficientFunds {
            balance: 1_000.into(),
            amount: 1_001.into(),
        });
}

#[test]
fn a_reservation_is_confirmed_or_released_once() {
    let given = || Test::<Account>::given((opened(), deposited(1_000), reserved(300)));
    let (transfer, amount) = (transfer(), Money::from(300));
    given()
        .when(confirm())
        .then_events(ReservationConfirmed {
            transfer: transfer.clone(),
            amount,
        })
        .then_state(|account| assert_eq!(account.balance(), 700.into()))
        .when(release())
        .then_error(AccountError::NotReserved);
    given()
        .when(release())
        .then_events(ReservationReleased { transfer, amount })
        .then_state(|account| assert_eq!(account.available(), 1_000.into()))
        .when(confirm())
        .then_error(AccountError::NotReserved);
}

#[test]
fn a_transfer_is_paid_in_unless_the_account_takes_nothing() {
    let (account, transfer, amount) = (account(), transfer(), Money::from(300));
    let receive = || ReceiveMoney {
        account: account.clone(),
        transfer: transfer.clone(),
        amount,
    };
    let received = MoneyReceived {
        transfer: transfer.clone(),
        amount,
    };
    Test::<Account>::given(opened())
        .when(receive())
        .then_events(received)
        .then_state(|account| assert_eq!(account.balance(), 300.into()));
    Test::<Account>::given((opened(), AccountClosed {}))
        .when(receive())
        .then_error(AccountError::Closed);
}

fn request(hold_seconds: Option<u32>) -> RequestTransfer {
    RequestTransfer {
        transfer: transfer(),
        from: account(),
        to: "A2".into(),
        amount: 300.into(),
        hold_seconds,
    }
}

fn requested(hold_seconds: Option<u32>) -> TransferRequested {
    TransferRequested {
        from: account(),
        to: "A2".into(),
        amount: 300.into(),
        hold_seconds,
    }
}

fn complete() -> CompleteTransfer {
    let transfer = transfer();
    CompleteTransfer { transfer }
}

fn fail() -> FailTransfer {
    let (transfer, reason) = (transfer(), "no".to_owned());
    FailTransfer { transfer, reason }
}

#[test]
fn a_transfer_moves_money_between_two_accounts() {
    Test::<Transfer>::new()
        .when(request(None))
        .then_events(requested(None));
    let mut odd = request(None);
    odd.to = account();
    Test::<Transfer>::new()
        .when(odd)
        .then_error(TransferError::SameAccount);
    let mut odd = request(None);
    odd.amount = Money::ZERO;
    Test::<Transfer>::new()
        .when(odd)
        .then_error(TransferError::AmountNotPositive);
}

#[test]
fn a_transfer_ends_once() {
    let completed = TransferCompleted {
        from: account(),
        to: "A2".into(),
        amount: 300.into(),
    };
    let state = TransferState::Completed;
    Test::<Transfer>::given(requested(None))
        .when(complete())
        .then_events(completed)
        .when(fail())
        .then_error(TransferError::State { state });
    let state = TransferState::Failed;
    let reason = "no".to_owned();
    Test::<Transfer>::given(requested(None))
        .when(fail())
        .then_events(TransferFailed { reason })
        .when(complete())
        .then_error(TransferError::State { state });
}

#[test]
fn a_transfer_that_is_held_is_approved_or_expires() {
    let approve = || ApproveTransfer {
        transfer: transfer(),
    };
    let expire = || ExpireTransfer {
        transfer: transfer(),
    };
    let held = || Test::<Transfer>::given(requested(Some(9)));
    let refused = |state| TransferError::State { state };
    held()
        .when(complete())
        .then_error(refused(TransferState::Held));
    held()
        .when(approve())
        .then_events(TransferApproved {})
        .when(expire())
        .then_error(refused(TransferState::Underway));
    held()
        .when(expire())
        .then_events(TransferExpired {})
        .when(approve())
        .then_error(refused(TransferState::Expired));
    Test::<Transfer>::given(requested(None))
        .when(approve())
        .then_error(refused(TransferState::Underway));
}

#[test]
fn what_is_stored_keeps_its_shape() {
    EventSchemas::new()
        .set::<AccountEvent>()
        .set::<TransferEvent>()
        .assert("events.lock");
}
