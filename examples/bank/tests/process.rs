//! What is done about a transfer, step by step.

use std::time::Duration;

use bank::domain::{
    AccountError, AccountId, CompleteTransfer, ConfirmReservation, ExpireTransfer, FailTransfer,
    MoneyReceived, MoneyReserved, ReceiveMoney, ReleaseReservation, ReservationConfirmed,
    ReservationReleased, ReserveMoney, TransferApproved, TransferCompleted, TransferError,
    TransferExpired, TransferFailed, TransferId, TransferRequested, TransferState,
};
use bank::{ApprovalOverdue, TransferProcess};
use ordain_testkit::{Happened, ProcessTest};

const HOLD: Duration = Duration::from_secs(60);

fn transfer() -> TransferId {
    "T1".into()
}

fn from() -> AccountId {
    "A1".into()
}

fn to() -> AccountId {
    "A2".into()
}

fn requested(hold: Option<Duration>) -> TransferRequested {
    TransferRequested {
        from: from(),
        to: to(),
        amount: 300.into(),
        hold_seconds: hold.map(|hold| u32::try_from(hold.as_secs()).expect("a short time")),
    }
}

fn reserve() -> ReserveMoney {
    ReserveMoney {
        account: from(),
        transfer: transfer(),
        amount: 300.into(),
    }
}

fn reserved() -> MoneyReserved {
    MoneyReserved {
        transfer: transfer(),
        amount: 300.into(),
    }
}

fn receive() -> ReceiveMoney {
    ReceiveMoney {
        account: to(),
        transfer: transfer(),
        amount: 300.into(),
    }
}

fn received() -> MoneyReceived {
    MoneyReceived {
        transfer: transfer(),
        amount: 300.into(),
    }
}

fn confirm() -> ConfirmReservation {
    ConfirmReservation {
        account: from(),
        transfer: transfer(),
    }
}

fn release() -> ReleaseReservation {
    ReleaseReservation {
        account: from(),
        transfer: transfer(),
    }
}

fn released() -> ReservationReleased {
    ReservationReleased {
        transfer: transfer(),
        amount: 300.into(),
    }
}

fn expire() -> ExpireTransfer {
    let transfer = transfer();
    ExpireTransfer { transfer }
}

fn fail(reason: &str) -> FailTransfer {
    let (transfer, reason) = (transfer(), reason.to_owned());
    FailTransfer { transfer, reason }
}

fn failed(reason: &str) -> TransferFailed {
    let reason = reason.to_owned();
    TransferFailed { reason }
}

fn begun(hold: Option<Duration>) -> Happened<TransferProcess> {
    ProcessTest::new()
        .stream("transfer-T1")
        .when(requested(hold))
        .then_dispatched([reserve()])
        .then_instances(["T1"])
}

#[test]
fn money_is_reserved_paid_in_and_paid_out() {
    let confirmed = ReservationConfirmed {
        transfer: transfer(),
        amount: 300.into(),
    };
    let complete = CompleteTransfer {
        transfer: transfer(),
    };
    let completed = TransferCompleted {
        from: from(),
        to: to(),
        amount: 300.into(),
    };
    begun(None)
        .then_no_timers()
        .stream("account-A1")
        .when(reserved())
        .then_dispatched([receive()])
        .stream("account-A2")
        .when(received())
        .then_dispatched([confirm()])
        .stream("account-A1")
        .when(confirmed)
        .then_dispatched([complete])
        .stream("transfer-T1")
        .when(completed)
        .then_nothing()
        .then_stopped("T1");
}

#[test]
fn a_transfer_of_what_is_not_there_fails() {
    let refused = AccountError::InsufficientFunds {
        balance: 200.into(),
        amount: 300.into(),
    };
    let reason = format!("the command was rejected: {refused}");
    begun(None)
        .when_rejected(refused)
        .then_dispatched([fail(&reason)])
        .when(failed(&reason))
        .then_stopped("T1");
}

#[test]
fn what_cannot_be_paid_in_is_released() {
    let reason = "the command was rejected: the account is closed";
    begun(None)
        .stream("account-A1")
        .when(reserved())
        .when_rejected(AccountError::Closed)
        .then_dispatched([release()])
        .when(released())
        .then_dispatched([fail(reason)])
        .stream("transfer-T1")
        .when(failed(reason))
        .then_stopped("T1");
}

#[test]
fn a_transfer_that_is_held_waits_for_its_approval() {
    begun(Some(HOLD))
        .then_timer("approval", HOLD, ApprovalOverdue)
        .stream("account-A1")
        .when(reserved())
        .then_nothing()
        .when_time_passes(HOLD / 2)
        .stream("transfer-T1")
        .when(TransferApproved {})
        .then_dispatched([receive()])
        .then_no_timers()
        .when_time_passes(HOLD)
        .then_nothing();
}

#[test]
fn one_that_is_approved_before_it_is_reserved_goes_on_then() {
    begun(Some(HOLD))
        .when(TransferApproved {})
        .then_nothing()
        .then_no_timers()
        .stream("account-A1")
        .when(reserved())
        .then_dispatched([receive()]);
}

#[test]
fn one_that_nobody_approves_expires() {
    let reason = "nobody has approved it in time";
    begun(Some(HOLD))
        .stream("account-A1")
        .when(reserved())
        .when_time_passes(HOLD)
        .then_dispatched([expire()])
        .stream("transfer-T1")
        .when(TransferExpired {})
        .then_dispatched([release()])
        .stream("account-A1")
        .when(released())
        .then_dispatched([fail(reason)]);
}

#[test]
fn one_that_is_approved_at_the_last_moment_does_not_expire() {
    let state = TransferState::Underway;
    begun(Some(HOLD))
        .stream("account-A1")
        .when(reserved())
        .when_time_passes(HOLD)
        .then_dispatched([expire()])
        .when_rejected(TransferError::State { state })
        .then_nothing()
        .then_outstanding([])
        .stream("transfer-T1")
        .when(TransferApproved {})
        .then_dispatched([receive()]);
}

#[test]
fn what_comes_after_the_end_is_passed_over() {
    begun(None)
        .when(failed("no"))
        .then_stopped("T1")
        .stream("account-A1")
        .when(reserved())
        .then_passed_over();
}

#[test]
fn a_command_that_must_not_fail_puts_the_transfer_aside() {
    let attempt = |it: Happened<TransferProcess>| it.when_rejected(AccountError::NotReserved);
    let received = begun(None)
        .stream("account-A1")
        .when(reserved())
        .when(received())
        .then_dispatched([confirm()]);
    let retried = (1..5).fold(received, |it, _| attempt(it).then_retried());
    attempt(retried).then_put_aside("T1");
}
