//! What can be asked of a transfer.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, Money, TransferId};

/// Moves money from one account to another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct RequestTransfer {
    /// The new transfer.
    #[command(id)]
    pub transfer: TransferId,
    /// Whose money it is.
    pub from: AccountId,
    /// Who gets it.
    pub to: AccountId,
    /// How much.
    pub amount: Money,
    /// How long it waits for somebody to approve it, in seconds; it waits for nobody without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_seconds: Option<u32>,
}

/// Lets a transfer go on that waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct ApproveTransfer {
    /// Which.
    #[command(id)]
    pub transfer: TransferId,
}

/// Gives a transfer up that nobody has approved in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct ExpireTransfer {
    /// Which.
    #[command(id)]
    pub transfer: TransferId,
}

/// Says that the money has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct CompleteTransfer {
    /// Which.
    #[command(id)]
    pub transfer: TransferId,
}

/// Says that the money is where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Command)]
#[serde(deny_unknown_fields)]
pub struct FailTransfer {
    /// Which.
    #[command(id)]
    pub transfer: TransferId,
    /// Why.
    pub reason: String,
}
