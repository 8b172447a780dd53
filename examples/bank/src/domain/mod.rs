//! The domain: what an account is, and what can be done with it.

mod account;
mod commands;
mod error;
mod events;
mod money;

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

pub use self::account::{Account, AccountCommand, AccountEvent};
pub use self::commands::{CloseAccount, Deposit, OpenAccount, Withdraw};
pub use self::error::AccountError;
pub use self::events::{AccountClosed, AccountOpened, MoneyDeposited, MoneyWithdrawn};
pub use self::money::{Money, NegativeAmount};
pub(crate) use self::money::{decimal, grouped};

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
