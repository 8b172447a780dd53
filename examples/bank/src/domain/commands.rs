//! What can be asked of an account.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use super::{AccountId, Money};

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
