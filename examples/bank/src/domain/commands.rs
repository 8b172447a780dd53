//! What can be asked of an account.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use super::{AccountId, Money, TransferId};

/// Opens an account, without money in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct OpenAccount {
    /// The new account.
    #[command(id)]
    pub account: AccountId,
    /// Whose it is.
    pub owner: String,
}

/// Pays money in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct Deposit {
    /// To which account.
    #[command(id)]
    pub account: AccountId,
    /// How much.
    pub amount: Money,
}

/// Pays money out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct Withdraw {
    /// From which account.
    #[command(id)]
    pub account: AccountId,
    /// How much.
    pub amount: Money,
}

/// Closes an account for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct CloseAccount {
    /// Which.
    #[command(id)]
    pub account: AccountId,
}

/// Keeps money aside for a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct ReserveMoney {
    /// In which account.
    #[command(id)]
    pub account: AccountId,
    /// For which transfer.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// Pays in what a transfer brings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct ReceiveMoney {
    /// To which account.
    #[command(id)]
    pub account: AccountId,
    /// Which transfer.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// Pays out what was reserved, since the transfer has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct ConfirmReservation {
    /// From which account.
    #[command(id)]
    pub account: AccountId,
    /// Which transfer.
    pub transfer: TransferId,
}

/// Frees what was reserved, since the transfer will not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct ReleaseReservation {
    /// In which account.
    #[command(id)]
    pub account: AccountId,
    /// Which transfer.
    pub transfer: TransferId,
}
