//! A transfer of money from one account to another.

mod commands;
mod events;

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::commands::{
    ApproveTransfer, CompleteTransfer, ExpireTransfer, FailTransfer, RequestTransfer,
};
pub use self::events::{
    TransferApproved, TransferCompleted, TransferExpired, TransferFailed, TransferRequested,
};
use super::{AccountId, Money, TransferId};

/// A transfer: from where, to where, how much, and how far it has come.
///
/// It says what is wanted and how it ended. The money is moved by the accounts, and the
/// [process](crate::TransferProcess) tells them to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "transfer",
    id = TransferId,
    commands(RequestTransfer, ApproveTransfer, ExpireTransfer, CompleteTransfer, FailTransfer),
    events(TransferRequested, TransferApproved, TransferExpired, TransferCompleted, TransferFailed),
    created_by(RequestTransfer),
    error = TransferError,
)]
pub struct Transfer {
    from: AccountId,
    to: AccountId,
    amount: Money,
    state: TransferState,
    reason: Option<String>,
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// It was asked for, and waits for somebody to approve it.
    Held,
    /// The money is on its way.
    #[default]
    Underway,
    /// Nobody approved it in time; what was reserved is released.
    Expired,
    /// The money has arrived.
    Completed,
    /// The money is where it was.
    Failed,
}

/// Why a transfer says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum TransferError {
    /// Money stays where it is.
    #[error("the money would stay in its account")]
    SameAccount,
    /// Nothing cannot be moved.
    #[error("the amount has to be more than zero")]
    AmountNotPositive,
    /// It has ended, or is not in the state that the command is for.
    #[error("the transfer is {}", state.as_str())]
    State {
        /// Its state.
        state: TransferState,
    },
}

impl TransferError {
    /// The kind of refusal, in a few words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::SameAccount => "transfer to itself",
            Self::AmountNotPositive => "amount is zero",
            Self::State { .. } => "transfer has gone on",
        }
    }
}

impl TransferState {
    /// The state in a word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Underway => "underway",
            Self::Expired => "expired",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Whether nothing more happens.
    pub fn has_ended(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl Default for Transfer {
    fn default() -> Self {
        let nowhere = || AccountId::from("");
        Self {
            from: nowhere(),
            to: nowhere(),
            amount: Money::ZERO,
            state: TransferState::default(),
            reason: None,
        }
    }
}

impl Transfer {
    /// Whose money it is.
    pub fn from(&self) -> &AccountId {
        &self.from
    }

    /// Who gets it.
    pub fn to(&self) -> &AccountId {
        &self.to
    }

    /// How much.
    pub fn amount(&self) -> Money {
        self.amount
    }

    /// How far it has come.
    pub fn state(&self) -> TransferState {
        self.state
    }

    /// Why it failed, if it did.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }

    fn check_is(&self, wanted: TransferState) -> Result<(), TransferError> {
        let state = self.state;
        if state != wanted {
            return Err(TransferError::State { state });
        }
        Ok(())
    }
}

impl Execute<RequestTransfer> for Transfer {
    fn execute(&self, command: &RequestTransfer) -> Decision<Self> {
        if command.from == command.to {
            return Err(TransferError::SameAccount);
        }
        if command.amount.is_zero() {
            return Err(TransferError::AmountNotPositive);
        }
        let requested = TransferRequested {
            from: command.from.clone(),
            to: command.to.clone(),
            amount: command.amount,
            hold_seconds: command.hold_seconds,
        };
        Ok(requested.into())
    }
}

impl Execute<ApproveTransfer> for Transfer {
    fn execute(&self, _: &ApproveTransfer) -> Decision<Self> {
        self.check_is(TransferState::Held)?;
        Ok(TransferApproved {}.into())
    }
}

impl Execute<ExpireTransfer> for Transfer {
    fn execute(&self, _: &ExpireTransfer) -> Decision<Self> {
        self.check_is(TransferState::Held)?;
        Ok(TransferExpired {}.into())
    }
}

impl Execute<CompleteTransfer> for Transfer {
    fn execute(&self, _: &CompleteTransfer) -> Decision<Self> {
        self.check_is(TransferState::Underway)?;
        let completed = TransferCompleted {
            from: self.from.clone(),
            to: self.to.clone(),
            amount: self.amount,
        };
        Ok(completed.into())
    }
}

impl Execute<FailTransfer> for Transfer {
    fn execute(&self, command: &FailTransfer) -> Decision<Self> {
        let (state, reason) = (self.state, command.reason.clone());
        if state.has_ended() {
            return Err(TransferError::State { state });
        }
        Ok(TransferFailed { reason }.into())
    }
}

impl Apply<TransferRequested> for Transfer {
    fn apply(&mut self, event: &TransferRequested) {
        self.from.clone_from(&event.from);
        self.to.clone_from(&event.to);
        self.amount = event.amount;
        self.state = match event.hold_seconds {
            Some(_) => TransferState::Held,
            None => TransferState::Underway,
        };
    }
}

impl Apply<TransferApproved> for Transfer {
    fn apply(&mut self, _: &TransferApproved) {
        self.state = TransferState::Underway;
    }
}

impl Apply<TransferExpired> for Transfer {
    fn apply(&mut self, _: &TransferExpired) {
        self.state = TransferState::Expired;
    }
}

impl Apply<TransferCompleted> for Transfer {
    fn apply(&mut self, _: &TransferCompleted) {
        self.state = TransferState::Completed;
    }
}

impl Apply<TransferFailed> for Transfer {
    fn apply(&mut self, event: &TransferFailed) {
        self.state = TransferState::Failed;
        self.reason = Some(event.reason.clone());
    }
}
