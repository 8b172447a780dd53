//! Why an account says no.

use serde::{Deserialize, Serialize};

use super::Money;

/// Why an account says no.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum AccountError {
    /// More was asked for than there is.
    #[error("{amount} were asked for, and the balance is {balance}")]
    InsufficientFunds {
        /// What there is.
        balance: Money,
        /// What was asked for.
        amount: Money,
    },
    /// A closed account takes no command.
    #[error("the account is closed")]
    Closed,
    /// Only an empty account can be closed.
    #[error("the account still holds {balance}")]
    NotEmpty {
        /// What it holds.
        balance: Money,
    },
    /// Nothing cannot be moved.
    #[error("the amount has to be more than zero")]
    AmountNotPositive,
    /// The balance would be more than can be counted.
    #[error("the balance would be too large to count")]
    BalanceTooLarge,
    /// Every account has an owner.
    #[error("the owner has no name")]
    OwnerBlank,
    /// The transfer reserves nothing here.
    #[error("the transfer has reserved nothing here")]
    NotReserved,
}

impl AccountError {
    /// The kind of refusal, in a few words and without amounts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::InsufficientFunds { .. } => "insufficient funds",
            Self::Closed => "account is closed",
            Self::NotEmpty { .. } => "account is not empty",
            Self::AmountNotPositive => "amount is zero",
            Self::BalanceTooLarge => "balance too large",
            Self::OwnerBlank => "owner is blank",
            Self::NotReserved => "nothing is reserved",
        }
    }
}
