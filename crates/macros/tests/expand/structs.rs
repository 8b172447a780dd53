//! The account as structs.

use ordain::prelude::*;
use ordain::{Aggregate as _, Codec, CommandSet as _, EventSet as _, Existence, RawData, RawEvent};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{decided, dispatch, run};

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
pub struct AccountOpened {
    /// Whose.
    pub owner: String,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
#[event(
    name = "CashDeposited",
    alias = "CashIn",
    alias = "MoneyIn",
    version = 3,
    first_version = 2
)]
pub struct MoneyDeposited {
    /// How much.
    pub amount: u64,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Event)]
pub struct MoneyWithdrawn {
    /// How much.
    pub amount: u64,
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct OpenAccount {
    /// Which.
    #[command(id)]
    pub account: String,
    /// For whom.
    pub owner: String,
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
#[command(name = "PayIn", version = 2, validate = Deposit::check, fingerprint = fingerprint)]
pub struct Deposit {
    /// Which.
    #[command(id)]
    pub account: String,
    /// How much.
    pub amount: u64,
}

impl Deposit {
    fn check(&self) -> Result<(), Invalid> {
        Invalid::none()
            .require(self.amount > 0, "amount", "nothing to deposit")
            .finish()
    }
}

fn fingerprint(command: &Deposit) -> String {
    format!("{} to {}", command.amount, command.account)
}

/// A command.
#[derive(Debug, Clone, Serialize, Deserialize, Command)]
pub struct Withdraw(#[command(id)] pub String, pub u64);

/// Why not.
#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    /// Too little.
    #[error("the balance is only {balance}")]
    InsufficientFunds {
        /// What there is.
        balance: u64,
    },
}

/// An account.
#[derive(Debug, Default, Clone, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    commands(OpenAccount, Deposit, Withdraw),
    events(AccountOpened, MoneyDeposited, MoneyWithdrawn),
    created_by(OpenAccount),
    error = AccountError,
    snapshot(every = 100, version = 2),
    tolerates(Deposit(MoneyDeposited, MoneyWithdrawn), Withdraw(AccountOpened)),
)]
pub struct Account {
    owner: String,
    balance: u64,
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

impl ExecuteWith<Withdraw> for Account {
    fn execute_with(&self, command: &Withdraw, context: &Context<'_, Self>) -> Decision<Self> {
        assert_eq!(*context.id(), command.0);
        let (amount, balance) = (command.1, self.balance);
        if amount > balance {
            return Err(AccountError::InsufficientFunds { balance });
        }
        let mut steps = Events::after(self);
        steps.push(MoneyWithdrawn { amount });
        let rest = steps.state().balance;
        steps.push((rest == 0).then_some(MoneyDeposited { amount: 1 }));
        steps.finish()
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

fn deposit(amount: u64) -> Deposit {
    let account = "a".into();
    Deposit { account, amount }
}

#[test]
fn commands_run_and_find_their_aggregate() {
    let (mut account, id) = (Account::default(), "a".to_owned());
    let open = OpenAccount {
        account: id.clone(),
        owner: "Ann".into(),
    };
    run(&mut account, &id, decided(dispatch(open))).unwrap();
    run(&mut account, &id, decided(dispatch(deposit(10)))).unwrap();
    assert_eq!((account.owner.as_str(), account.balance), ("Ann", 10));

    let refused = run(
        &mut account,
        &id,
        decided(dispatch(Withdraw(id.clone(), 11))),
    );
    assert_eq!(
        refused.unwrap_err(),
        AccountError::InsufficientFunds { balance: 10 }
    );
    let events = run(
        &mut account,
        &id,
        decided(dispatch(Withdraw(id.clone(), 10))),
    )
    .unwrap();
    assert_eq!(events.len(), 2);
    assert_eq!(account.balance, 1);
}

#[test]
fn events_are_stored_under_their_names_and_found_by_old_ones() {
    let codec = Codec::Json;
    let event = AccountEvent::from(MoneyDeposited { amount: 5 });
    let stored = event.event_type();
    assert_eq!(
        (stored.name, stored.version, stored.first_version),
        ("CashDeposited", 3, 2)
    );
    let bytes = event.encode(&codec).unwrap();
    assert_eq!(bytes, r#"{"amount":5}"#);
    for event_type in ["CashDeposited", "CashIn", "MoneyIn"] {
        let raw = RawEvent {
            event_type,
            schema_version: 3,
            data: RawData::Stored(&bytes, &codec),
        };
        let read = AccountEvent::decode(&raw).unwrap().unwrap();
        assert!(matches!(read, AccountEvent::MoneyDeposited(event) if event.amount == 5));
        let other = RawEvent {
            event_type: "MoneyDeposited",
            ..raw
        };
        assert!(AccountEvent::decode(&other).is_none());
    }
    assert_eq!(format!("{event:?}"), "MoneyDeposited");
}

#[test]
fn commands_go_through_json() {
    assert_eq!(AccountCommand::NAMES, ["OpenAccount", "PayIn", "Withdraw"]);
    let command = AccountCommand::Deposit(deposit(0));
    let body = command.to_json().unwrap();
    assert_eq!(body, json!({ "account": "a", "amount": 0 }));
    let read = AccountCommand::from_json("PayIn", body).unwrap().unwrap();
    assert_eq!(
        (read.id().as_str(), read.name(), read.version()),
        ("a", "PayIn", 2)
    );
    assert!(read.validate().is_err());
    assert_eq!(read.fingerprint().as_deref(), Some("0 to a"));
    assert!(matches!(
        decided(dispatch(read)),
        AccountCommand::Deposit(_)
    ));
    assert!(AccountCommand::from_json("Deposit", json!({})).is_none());
    assert!(
        AccountCommand::from_json("PayIn", json!({}))
            .unwrap()
            .is_err()
    );
}

#[test]
fn the_aggregate_says_what_its_attribute_says() {
    let open = AccountCommand::OpenAccount(OpenAccount {
        account: "a".into(),
        owner: "Ann".into(),
    });
    let deposit = AccountCommand::Deposit(deposit(1));
    assert_eq!(Account::CATEGORY, "account");
    assert_eq!(Account::existence(&open), Existence::Absent);
    assert_eq!(Account::existence(&deposit), Existence::Present);
    let snapshots = Account::SNAPSHOTS.unwrap();
    assert_eq!((snapshots.interval(), snapshots.schema_version()), (100, 2));

    let deposited = AccountEvent::from(MoneyDeposited { amount: 1 });
    let opened = AccountEvent::from(AccountOpened {
        owner: "Ann".into(),
    });
    assert!(Account::tolerates(&deposit, &deposited));
    assert!(!Account::tolerates(&deposit, &opened));
    assert!(!Account::tolerates(&open, &deposited));
}

#[test]
fn a_list_of_the_sets_events_converts() {
    let list = vec![
        AccountEvent::from(MoneyDeposited { amount: 1 }),
        AccountEvent::from(MoneyWithdrawn { amount: 1 }),
    ];
    assert_eq!(Events::<Account>::from(list).len(), 2);
}
