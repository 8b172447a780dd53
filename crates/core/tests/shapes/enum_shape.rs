use ordain::Existence;
use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, EventSet)]
pub enum AccountEvent {
    AccountOpened { owner: String },
    MoneyDeposited { amount: u64 },
    MoneyWithdrawn { amount: u64 },
}

#[derive(Debug, Clone, CommandSet)]
#[command(id = account, aggregate = Account)]
pub enum AccountCommand {
    OpenAccount { account: String, owner: String },
    Deposit { account: String, amount: u64 },
    Withdraw { account: String, amount: u64 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    #[error("the balance is only {balance}")]
    InsufficientFunds { balance: u64 },
}

#[derive(Debug, Default, Clone)]
pub struct Account {
    pub owner: String,
    pub balance: u64,
}

impl ordain::Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = AccountError;

    fn new(_: &String) -> Self {
        Self::default()
    }

    fn existence(command: &AccountCommand) -> Existence {
        match command {
            AccountCommand::OpenAccount { .. } => Existence::Absent,
            _ => Existence::Present,
        }
    }

    fn execute(&self, command: &AccountCommand, _: &Context<'_, Self>) -> Decision<Self> {
        let balance = self.balance;
        Ok(match command.clone() {
            AccountCommand::OpenAccount { owner, .. } => AccountEvent::AccountOpened { owner },
            AccountCommand::Deposit { amount, .. } => AccountEvent::MoneyDeposited { amount },
            AccountCommand::Withdraw { amount, .. } if amount > balance => {
                return Err(AccountError::InsufficientFunds { balance });
            }
            AccountCommand::Withdraw { amount, .. } => AccountEvent::MoneyWithdrawn { amount },
        }
        .into())
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::AccountOpened { owner } => self.owner.clone_from(owner),
            AccountEvent::MoneyDeposited { amount } => self.balance += amount,
            AccountEvent::MoneyWithdrawn { amount } => self.balance -= amount,
        }
    }
}
