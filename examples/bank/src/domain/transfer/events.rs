//! What happens to a transfer, under the names by which it is stored.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use crate::domain::{AccountId, Money};

/// Somebody wants money to be moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "TransferRequested")]
pub struct TransferRequested {
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

/// Somebody has let it go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "TransferApproved")]
pub struct TransferApproved {}

/// Nobody has approved it in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "TransferExpired")]
pub struct TransferExpired {}

/// The money has arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "TransferCompleted")]
pub struct TransferCompleted {
    /// Whose money it was.
    pub from: AccountId,
    /// Who got it.
    pub to: AccountId,
    /// How much.
    pub amount: Money,
}

/// The money is where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "TransferFailed")]
pub struct TransferFailed {
    /// Why.
    pub reason: String,
}
