//! What a transfer needs done, step by step.

use std::time::Duration;

use ordain::prelude::*;
use ordain::{
    Command as _, CommandAction, CommandFailure, ProcessContext, Reaction, Route, TimerContext,
};
use serde::{Deserialize, Serialize};

use crate::domain::{
    AccountId, CompleteTransfer, ConfirmReservation, ExpireTransfer, FailTransfer, Money,
    MoneyReceived, MoneyReserved, ReceiveMoney, ReleaseReservation, ReservationConfirmed,
    ReservationReleased, ReserveMoney, TransferApproved, TransferCompleted, TransferExpired,
    TransferFailed, TransferId, TransferRequested,
};

const APPROVAL: &str = "approval";

/// What a transfer needs done, step by step: the money is reserved where it is, paid in where it is to
/// be, and only then paid out.
///
/// If it cannot be paid in, or nobody approves the transfer in time, the reservation is released. One
/// instance follows one transfer, and has its name.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "transfer_process",
    id = TransferId,
    events(
        TransferRequested, TransferApproved, TransferExpired, TransferCompleted, TransferFailed,
        MoneyReserved, MoneyReceived, ReservationConfirmed, ReservationReleased,
    ),
    timer = ApprovalOverdue,
    on_command_failure = TransferProcess::instead,
    apply_command_failure = TransferProcess::note,
)]
pub struct TransferProcess {
    course: Option<Course>,
    is_reserved: bool,
    /// Why the reservation is released.
    reason: Option<String>,
}

/// What a transfer wants, and whether it may go on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Course {
    from: AccountId,
    to: AccountId,
    amount: Money,
    stand: Stand,
}

/// Whether a transfer may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Stand {
    Held,
    Cleared,
    Expired,
}

/// The time for approving a transfer is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ApprovalOverdue;

impl TransferProcess {
    /// Does something about the transfer. Before it has begun there is nothing to do.
    fn with(&self, act: impl FnOnce(&Course) -> Reaction<Self>) -> Reaction<Self> {
        self.course.as_ref().map_or_else(Reaction::none, act)
    }

    fn stand(&mut self, stand: Stand) {
        if let Some(course) = &mut self.course {
            course.stand = stand;
        }
    }

    fn reserve(event: &TransferRequested, transfer: TransferId) -> Reaction<Self> {
        Reaction::dispatch(ReserveMoney {
            account: event.from.clone(),
            transfer,
            amount: event.amount,
        })
    }

    fn pay_in(&self, transfer: TransferId) -> Reaction<Self> {
        self.with(|course| {
            Reaction::dispatch(ReceiveMoney {
                account: course.to.clone(),
                transfer,
                amount: course.amount,
            })
        })
    }

    fn pay_out(&self, transfer: TransferId) -> Reaction<Self> {
        self.with(|course| {
            let account = course.from.clone();
            Reaction::dispatch(ConfirmReservation { account, transfer })
        })
    }

    fn release(&self, transfer: TransferId) -> Reaction<Self> {
        self.with(|course| {
            let account = course.from.clone();
            Reaction::dispatch(ReleaseReservation { account, transfer })
        })
    }

    /// What is done instead of a command that was refused.
    fn instead(&self, failure: &CommandFailure) -> CommandAction<Self> {
        if failure.error.is_transient() {
            return CommandAction::Retry;
        }
        let transfer = || TransferId::from(failure.instance.as_str());
        let reason = || failure.error.to_string();
        match failure.command.name() {
            ReserveMoney::NAME => CommandAction::Replace(fail(transfer(), reason())),
            ReceiveMoney::NAME => CommandAction::Replace(self.release(transfer())),
            // Somebody has approved it at the last moment, or it has failed.
            ExpireTransfer::NAME => CommandAction::Skip,
            _ => failure.default_action(),
        }
    }

    /// Keeps in mind why it could not be paid in.
    fn note(&mut self, failure: &CommandFailure) {
        if failure.command.name() == ReceiveMoney::NAME {
            self.reason = Some(failure.error.to_string());
        }
    }
}

fn fail(transfer: TransferId, reason: String) -> Reaction<TransferProcess> {
    Reaction::dispatch(FailTransfer { transfer, reason })
}

fn instance(context: &ProcessContext) -> TransferId {
    context.instance().into()
}

impl Process<TransferRequested> for TransferProcess {
    fn route(_: &TransferRequested, context: &EventContext) -> Route<TransferId> {
        Route::start(context.id())
    }

    fn handle(&self, event: &TransferRequested, context: &ProcessContext) -> Reaction<Self> {
        let reserve = Self::reserve(event, instance(context));
        match event.hold_seconds {
            None => reserve,
            Some(seconds) => {
                let wait = Duration::from_secs(seconds.into());
                reserve.timer(APPROVAL, wait, ApprovalOverdue)
            }
        }
    }

    fn apply(&mut self, event: &TransferRequested) {
        self.course = Some(Course {
            from: event.from.clone(),
            to: event.to.clone(),
            amount: event.amount,
            stand: match event.hold_seconds {
                Some(_) => Stand::Held,
                None => Stand::Cleared,
            },
        });
    }
}

impl Process<MoneyReserved> for TransferProcess {
    fn route(event: &MoneyReserved, _: &EventContext) -> Route<TransferId> {
        Route::continue_with(event.transfer.clone())
    }

    fn handle(&self, _: &MoneyReserved, context: &ProcessContext) -> Reaction<Self> {
        self.with(|course| match course.stand {
            Stand::Held => Reaction::none(),
            Stand::Cleared => self.pay_in(instance(context)),
            Stand::Expired => self.release(instance(context)),
        })
    }

    fn apply(&mut self, _: &MoneyReserved) {
        self.is_reserved = true;
    }
}

impl Process<TransferApproved> for TransferProcess {
    fn route(_: &TransferApproved, context: &EventContext) -> Route<TransferId> {
        Route::continue_with(context.id())
    }

    fn handle(&self, _: &TransferApproved, context: &ProcessContext) -> Reaction<Self> {
        let next = match self.is_reserved {
            true => self.pay_in(instance(context)),
            false => Reaction::none(),
        };
        next.cancel_timer(APPROVAL)
    }

    fn apply(&mut self, _: &TransferApproved) {
        self.stand(Stand::Cleared);
    }
}

impl OnTimer<ApprovalOverdue> for TransferProcess {
    fn on_timer(&self, _: &ApprovalOverdue, context: &TimerContext) -> Reaction<Self> {
        let transfer = context.instance().into();
        Reaction::dispatch(ExpireTransfer { transfer })
    }
}

impl Process<TransferExpired> for TransferProcess {
    fn route(_: &TransferExpired, context: &EventContext) -> Route<TransferId> {
        Route::continue_with(context.id())
    }

    fn handle(&self, _: &TransferExpired, context: &ProcessContext) -> Reaction<Self> {
        match self.is_reserved {
            true => self.release(instance(context)),
            false => Reaction::none(),
        }
    }

    fn apply(&mut self, _: &TransferExpired) {
        self.stand(Stand::Expired);
        self.reason = Some("nobody has approved it in time".to_owned());
    }
}

impl Process<MoneyReceived> for TransferProcess {
    fn route(event: &MoneyReceived, _: &EventContext) -> Route<TransferId> {
        Route::continue_with(event.transfer.clone())
    }

    fn handle(&self, _: &MoneyReceived, context: &ProcessContext) -> Reaction<Self> {
        self.pay_out(instance(context))
    }
}

impl Process<ReservationConfirmed> for TransferProcess {
    fn route(event: &ReservationConfirmed, _: &EventContext) -> Route<TransferId> {
        Route::continue_with(event.transfer.clone())
    }

    fn handle(&self, _: &ReservationConfirmed, context: &ProcessContext) -> Reaction<Self> {
        let transfer = instance(context);
        Reaction::dispatch(CompleteTransfer { transfer })
    }
}

impl Process<ReservationReleased> for TransferProcess {
    fn route(event: &ReservationReleased, _: &EventContext) -> Route<TransferId> {
        Route::continue_with(event.transfer.clone())
    }

    fn handle(&self, _: &ReservationReleased, context: &ProcessContext) -> Reaction<Self> {
        let reason = self.reason.clone().unwrap_or_default();
        fail(instance(context), reason)
    }
}

impl Process<TransferCompleted> for TransferProcess {
    fn route(_: &TransferCompleted, context: &EventContext) -> Route<TransferId> {
        Route::stop(context.id())
    }
}

impl Process<TransferFailed> for TransferProcess {
    fn route(_: &TransferFailed, context: &EventContext) -> Route<TransferId> {
        Route::stop(context.id())
    }
}
