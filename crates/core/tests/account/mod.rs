//! The account that the tests dispatch to.
#![allow(
    clippy::unwrap_used,
    dead_code,
    unreachable_pub,
    reason = "each test file uses a part of it"
)]

use ordain::App;
use ordain::prelude::*;
use ordain::store::SubscriptionStore;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
pub struct AccountOpened {
    pub owner: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
pub struct MoneyDeposited {
    pub amount: u64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
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
#[command(validate = check_deposit)]
pub struct Deposit {
    #[command(id)]
    pub account: String,
    pub amount: u64,
}

fn check_deposit(deposit: &Deposit) -> Result<(), Invalid> {
    let positive = deposit.amount > 0;
    Invalid::none()
        .require(positive, "amount", "must be more than nothing")
        .finish()
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Withdraw {
    #[command(id)]
    pub account: String,
    pub amount: u64,
}

/// Deposits several amounts in one command.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct DepositAll {
    #[command(id)]
    pub account: String,
    pub amounts: Vec<u64>,
}

/// Deposits and withdraws in steps, each on the state after the one before.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Exchange {
    #[command(id)]
    pub account: String,
    pub deposit: u64,
    pub withdraw: u64,
}

/// Panics where it is told to.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Misbehave {
    #[command(id)]
    pub account: String,
    pub in_apply: bool,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
pub struct Misbehaved {}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    #[error("balance is {balance} only")]
    InsufficientFunds { balance: u64 },
}

#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    commands(OpenAccount, Deposit, Withdraw, DepositAll, Exchange, Misbehave),
    events(AccountOpened, MoneyDeposited, MoneyWithdrawn, Misbehaved),
    created_by(OpenAccount),
    tolerates(Deposit(MoneyDeposited, MoneyWithdrawn)),
    error = AccountError,
    snapshot(every = 10, version = 1),
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
        Ok((amount > 0).then_some(MoneyDeposited { amount }).into())
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

impl Execute<DepositAll> for Account {
    fn execute(&self, command: &DepositAll) -> Decision<Self> {
        let deposits = command
            .amounts
            .iter()
            .map(|amount| MoneyDeposited { amount: *amount });
        Ok(deposits.collect::<Vec<_>>().into())
    }
}

impl Execute<Exchange> for Account {
    fn execute(&self, command: &Exchange) -> Decision<Self> {
        let mut steps = Events::after(self);
        steps.push(MoneyDeposited {
            amount: command.deposit,
        });
        let (account, amount) = (command.account.clone(), command.withdraw);
        steps.execute(&Withdraw { account, amount })?;
        steps.finish()
    }
}

impl Execute<Misbehave> for Account {
    fn execute(&self, command: &Misbehave) -> Decision<Self> {
        assert!(command.in_apply, "told to panic");
        Ok((MoneyDeposited { amount: 1_000 }, Misbehaved {}).into())
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

impl Apply<Misbehaved> for Account {
    fn apply(&mut self, _: &Misbehaved) {
        panic!("told to panic");
    }
}

pub fn open(account: &str) -> OpenAccount {
    OpenAccount {
        account: account.into(),
        owner: "Ann".into(),
    }
}

pub fn deposit(account: &str, amount: u64) -> Deposit {
    Deposit {
        account: account.into(),
        amount,
    }
}

pub fn withdraw(account: &str, amount: u64) -> Withdraw {
    Withdraw {
        account: account.into(),
        amount,
    }
}

pub async fn app_on<S: SubscriptionStore + Clone>(store: &S) -> App {
    App::builder(store.clone())
        .aggregate::<Account>()
        .start()
        .await
        .unwrap()
}

pub async fn balance(app: &App, account: &str) -> u64 {
    app.load::<Account>(&account.to_owned())
        .await
        .unwrap()
        .balance
}
