//! The account.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    AccountClosed, AccountError, AccountId, AccountOpened, CloseAccount, Deposit, Money,
    MoneyDeposited, MoneyWithdrawn, OpenAccount, Withdraw,
};

/// An account: money, and whose it is.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    id = AccountId,
    commands(OpenAccount, Deposit, Withdraw, CloseAccount),
    events(AccountOpened, MoneyDeposited, MoneyWithdrawn, AccountClosed),
    created_by(OpenAccount),
    error = AccountError,
    snapshot(every = 100, version = 1),
)]
pub struct Account {
    owner: String,
    balance: Money,
    closed: bool,
}

impl Account {
    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The money in it.
    pub fn balance(&self) -> Money {
        self.balance
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn check_open(&self) -> Result<(), AccountError> {
        if self.closed {
            return Err(AccountError::Closed);
        }
        Ok(())
    }
}

fn check_positive(amount: Money) -> Result<(), AccountError> {
    if amount.is_zero() {
        return Err(AccountError::AmountNotPositive);
    }
    Ok(())
}

impl Execute<OpenAccount> for Account {
    fn execute(&self, command: &OpenAccount) -> Decision<Self> {
        let owner = command.owner.trim().to_owned();
        if owner.is_empty() {
            return Err(AccountError::OwnerBlank);
        }
        Ok(AccountOpened { owner }.into())
    }
}

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let amount = command.amount;
        self.check_open()?;
        check_positive(amount)?;
        if self.balance.checked_add(amount).is_none() {
            return Err(AccountError::BalanceTooLarge);
        }
        Ok(MoneyDeposited { amount }.into())
    }
}

impl Execute<Withdraw> for Account {
    fn execute(&self, command: &Withdraw) -> Decision<Self> {
        let (amount, balance) = (command.amount, self.balance);
        self.check_open()?;
        check_positive(amount)?;
        if amount > balance {
            return Err(AccountError::InsufficientFunds { balance, amount });
        }
        Ok(MoneyWithdrawn { amount }.into())
    }
}

impl Execute<CloseAccount> for Account {
    fn execute(&self, _: &CloseAccount) -> Decision<Self> {
        let balance = self.balance;
        self.check_open()?;
        if !balance.is_zero() {
            return Err(AccountError::NotEmpty { balance });
        }
        Ok(AccountClosed {}.into())
    }
}

impl Apply<AccountOpened> for Account {
    fn apply(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }
}

impl Apply<MoneyDeposited> for Account {
    fn apply(&mut self, event: &MoneyDeposited) {
        self.balance = self.balance.saturating_add(event.amount);
    }
}

impl Apply<MoneyWithdrawn> for Account {
    fn apply(&mut self, event: &MoneyWithdrawn) {
        self.balance = self.balance.saturating_sub(event.amount);
    }
}

impl Apply<AccountClosed> for Account {
    fn apply(&mut self, _: &AccountClosed) {
        self.closed = true;
    }
}
