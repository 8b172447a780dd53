//! The domain: what an account is and what a transfer is, and what can be done with them.

mod account;
mod commands;
mod error;
mod events;
mod money;
mod transfer;

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::account::{Account, AccountCommand, AccountEvent};
pub use self::commands::{
    CloseAccount, ConfirmReservation, Deposit, OpenAccount, ReceiveMoney, ReleaseReservation,
    ReserveMoney, Withdraw,
};
pub use self::error::AccountError;
pub use self::events::{
    AccountClosed, AccountOpened, MoneyDeposited, MoneyReceived, MoneyReserved, MoneyWithdrawn,
    ReservationConfirmed, ReservationReleased,
};
pub use self::money::{Money, NegativeAmount};
pub(crate) use self::money::{decimal, grouped};
pub use self::transfer::{
    ApproveTransfer, CompleteTransfer, ExpireTransfer, FailTransfer, RequestTransfer, Transfer,
    TransferApproved, TransferCommand, TransferCompleted, TransferError, TransferEvent,
    TransferExpired, TransferFailed, TransferRequested, TransferState,
};

/// Which account.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, AggregateId)]
pub struct AccountId(String);

impl From<&str> for AccountId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for AccountId {
    fn from(text: String) -> Self {
        Self(text)
    }
}

/// Which transfer.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, AggregateId,
)]
pub struct TransferId(String);

impl From<&str> for TransferId {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for TransferId {
    fn from(text: String) -> Self {
        Self(text)
    }
}
