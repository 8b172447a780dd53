//! What happens to an account, under the names by which it is stored.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use super::Money;

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
