//! An account, and those who read its events, by derives.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::panic::AssertUnwindSafe;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt as _;
use ordain::prelude::*;
use ordain::subscription::SubscriptionOptions;
use ordain::{Backoff, Failure, FailureAction, Ordering, ReadModels};
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct MoneyDeposited {
    pub amount: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
#[event(version = 2)]
pub struct MoneyWithdrawn {
    pub amount: u64,
    pub currency: String,
}

/// Its field is not written, so it cannot be read back.
#[derive(Debug, Clone, Serialize, Deserialize, Event)]
pub struct Flawed {
    #[serde(skip_serializing)]
    pub reason: String,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Deposit {
    #[command(id)]
    pub account: String,
    pub amount: u64,
}

#[derive(Debug, Clone, Default, Aggregate)]
#[aggregate(
    category = "account",
    commands(Deposit),
    events(MoneyDeposited, MoneyWithdrawn)
)]
pub struct Account;

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let amount = command.amount;
        Ok(MoneyDeposited { amount }.into())
    }
}

impl Apply<MoneyDeposited> for Account {
    fn apply(&mut self, _: &MoneyDeposited) {}
}

impl Apply<MoneyWithdrawn> for Account {
    fn apply(&mut self, _: &MoneyWithdrawn) {}
}

#[derive(Debug, thiserror::Error)]
#[error("{amount} cannot be written on a receipt")]
pub struct Unwritable {
    pub amount: u64,
}

/// Writes down what it is told, but not 13, and 14 at the second attempt only.
#[derive(Debug, Default, EventHandler)]
#[event_handler(
    name = "receipts",
    version = 2,
    events(MoneyDeposited, Flawed),
    options = Receipts::options,
    ordering = Receipts::ordering,
    on_failure = Receipts::on_failure
)]
pub struct Receipts {
    pub sent: Mutex<Vec<String>>,
}

impl Receipts {
    fn options(&self) -> SubscriptionOptions {
        let retry = Backoff::new(Duration::from_millis(1), Duration::from_millis(2));
        SubscriptionOptions::new().attempts(2).retry(retry)
    }

    fn ordering(&self, _: &ReceiptsEvent, context: &EventContext) -> Ordering {
        Ordering::Key(context.id().to_owned())
    }

    fn on_failure(&self, failure: &Failure) -> FailureAction {
        match failure.key.as_str() {
            "skipped" => FailureAction::Skip,
            _ => failure.default_action(),
        }
    }
}

impl Handle<MoneyDeposited> for Receipts {
    async fn handle(&self, event: &MoneyDeposited, context: &EventContext) -> Result<(), BoxError> {
        let amount = event.amount;
        if amount == 13 {
            return Err(Unwritable { amount }.into());
        }
        if amount == 14 && context.attempt() == 1 {
            return Err("not at once".into());
        }
        let (stream, version) = (context.stream(), context.version());
        let text = format!("{stream} {version}: {amount}");
        self.sent.lock().expect("no panic").push(text);
        Ok(())
    }
}

impl Handle<Flawed> for Receipts {
    async fn handle(&self, _: &Flawed, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Adds up; it may forget to empty its table, and fails for 13.
#[derive(Debug, Default, Projection)]
#[projection(name = "balances", events(MoneyDeposited), tables)]
pub struct Balances {
    pub is_forgetful: bool,
    pub has_no_tables: bool,
}

impl Project<MoneyDeposited, ReadModels> for Balances {
    async fn project(
        &self,
        event: &MoneyDeposited,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        if event.amount == 13 {
            let amount = event.amount;
            return Err(Unwritable { amount }.into());
        }
        let before: u64 = db.get(Self::NAME, context.id()).unwrap_or_default();
        db.put(Self::NAME, context.id(), before + event.amount);
        Ok(())
    }
}

impl ReadModel<ReadModels> for Balances {
    async fn setup(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        let is_there = db.get::<()>("tables", Self::NAME).is_some();
        if is_there && self.has_no_tables {
            return Err("the table is there already".into());
        }
        db.put("tables", Self::NAME, ());
        Ok(())
    }

    async fn reset(&self, db: &mut ReadModels) -> Result<(), BoxError> {
        if !self.is_forgetful {
            db.clear(Self::NAME);
        }
        Ok(())
    }
}

pub fn deposited(amount: u64) -> MoneyDeposited {
    MoneyDeposited { amount }
}

pub fn deposit(account: &str, amount: u64) -> Deposit {
    let account = account.into();
    Deposit { account, amount }
}

/// The text of the panic.
pub async fn failure<T>(test: impl Future<Output = T>) -> String {
    let Err(panic) = AssertUnwindSafe(test).catch_unwind().await else {
        panic!("it does not fail");
    };
    match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().expect("a text").to_string(),
    }
}
