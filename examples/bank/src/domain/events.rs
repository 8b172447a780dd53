//! What happens to an account, under the names by which it is stored.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Money, TransferId};

/// The account was opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "AccountOpened")]
pub struct AccountOpened {
    /// Whose it is.
    pub owner: String,
}

/// Money came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "MoneyDeposited")]
pub struct MoneyDeposited {
    /// How much.
    pub amount: Money,
}

/// Money went out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "MoneyWithdrawn")]
pub struct MoneyWithdrawn {
    /// How much.
    pub amount: Money,
}

/// The account was closed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "AccountClosed")]
pub struct AccountClosed {}

/// Money was kept aside for a transfer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "MoneyReserved")]
pub struct MoneyReserved {
    /// Which transfer.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// A transfer brought money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "MoneyReceived")]
pub struct MoneyReceived {
    /// Which transfer.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// What was kept aside went out, since the transfer had arrived.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "ReservationConfirmed")]
pub struct ReservationConfirmed {
    /// Which transfer.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}

/// What was kept aside is free again, since the transfer did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Event)]
#[event(name = "ReservationReleased")]
pub struct ReservationReleased {
    /// Which transfer.
    pub transfer: TransferId,
    /// How much.
    pub amount: Money,
}
