//! The account that is measured.

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub(crate) struct MoneyDeposited {
    pub(crate) amount: u64,
    pub(crate) reference: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub(crate) struct Deposit {
    #[command(id)]
    pub(crate) account: u64,
    pub(crate) amount: u64,
    pub(crate) reference: String,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "account", commands(Deposit), events(MoneyDeposited))]
pub(crate) struct Account {
    pub(crate) balance: u64,
}

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let (amount, reference) = (command.amount, command.reference.clone());
        Ok(MoneyDeposited { amount, reference }.into())
    }
}

impl Apply<MoneyDeposited> for Account {
    fn apply(&mut self, event: &MoneyDeposited) {
        self.balance += event.amount;
    }
}

pub(crate) fn deposit(account: u64) -> Deposit {
    let reference = "invoice 2026-0815, thank you for your patience".repeat(3);
    Deposit {
        account,
        amount: 100,
        reference,
    }
}

/// The payload of one event.
pub(crate) fn payload() -> Result<String, serde_json::Error> {
    serde_json::to_string(&deposit(0))
}
