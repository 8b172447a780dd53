use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct AccountOpened {
    pub owner: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct MoneyDeposited {
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct MoneyWithdrawn {
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct OpenAccount {
    #[command(id)]
    pub account: String,
    pub owner: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Deposit {
    #[command(id)]
    pub account: String,
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Withdraw {
    #[command(id)]
    pub account: String,
    pub amount: u64,
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    #[error("the balance is only {balance}")]
    InsufficientFunds { balance: u64 },
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(
    category = "account",
    commands(OpenAccount, Deposit, Withdraw),
    events(AccountOpened, MoneyDeposited, MoneyWithdrawn),
    created_by(OpenAccount),
    error = AccountError,
)]
pub struct Account {
    pub owner: String,
    pub balance: u64,
}

impl Execute<OpenAccount> for Account {
    fn execute(&self, command: &OpenAccount) -> Decision<Self> {
        let owner = command.owner.clone();
        Ok(AccountOpened { owner }.into())
    }
}

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let amount = command.amount;
        Ok(MoneyDeposited { amount }.into())
    }
}

impl Execute<Withdraw> for Account {
    fn execute(&self, command: &Withdraw) -> Decision<Self> {
        let (amount, balance) = (command.amount, self.balance);
        if amount > balance {
            return Err(AccountError::InsufficientFunds { balance });
        }
        Ok(MoneyWithdrawn { amount }.into())
    }
}

impl Apply<AccountOpened> for Account {
    fn apply(&mut self, event: &AccountOpened) {
        self.owner = event.owner.clone();
    }
}

impl Apply<MoneyDeposited> for Account {
    fn apply(&mut self, event: &MoneyDeposited) {
        self.balance += event.amount;
    }
}

impl Apply<MoneyWithdrawn> for Account {
    fn apply(&mut self, event: &MoneyWithdrawn) {
        self.balance -= event.amount;
    }
}
