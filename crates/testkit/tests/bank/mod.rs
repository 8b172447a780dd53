//! The example domain, written by hand.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use bytes::Bytes;
use ordain::{
    Aggregate, Codec, CodecError, Command, CommandHandler, CommandOf, CommandSet, Context,
    Decision, EventSet, EventType, EventTypeVisitor, Events, Existence, OutsideCommand, RawEvent,
    Routed,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Debug, Clone, Default)]
pub struct Account {
    pub owner: String,
    pub balance: u64,
    pub last_actor: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AccountEvent {
    Opened {
        owner: String,
    },
    Deposited {
        amount: u64,
    },
    Withdrawn {
        amount: u64,
    },
    /// Its field is not written, so it cannot be read back.
    Flawed {
        #[serde(skip_serializing)]
        reason: String,
    },
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum AccountCommand {
    Open {
        account: String,
        owner: String,
    },
    Deposit {
        account: String,
        amount: u64,
    },
    Withdraw {
        account: String,
        amount: u64,
    },
    /// Asks the context: who, in which version.
    Audit {
        account: String,
    },
    Flaw {
        account: String,
    },
}

/// Decided by a handler outside the account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AddInterest {
    pub account: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
pub enum AccountError {
    #[error("only {balance} are left")]
    InsufficientFunds { balance: u64 },
    #[error("{0}")]
    Audited(String),
}

const TYPES: &[EventType] = &[
    event_type("AccountOpened"),
    event_type("MoneyDeposited"),
    event_type("MoneyWithdrawn"),
    event_type("Flawed"),
];

const fn event_type(name: &'static str) -> EventType {
    EventType {
        name,
        version: 1,
        first_version: 1,
        aliases: &[],
    }
}

impl EventSet for AccountEvent {
    const TYPES: &'static [EventType] = TYPES;

    fn event_type(&self) -> &'static EventType {
        match self {
            Self::Opened { .. } => &TYPES[0],
            Self::Deposited { .. } => &TYPES[1],
            Self::Withdrawn { .. } => &TYPES[2],
            Self::Flawed { .. } => &TYPES[3],
        }
    }

    fn encode(&self, codec: &Codec) -> Result<Bytes, CodecError> {
        codec.encode(self)
    }

    fn decode(raw: &RawEvent<'_>) -> Option<Result<Self, CodecError>> {
        let known = TYPES.iter().any(|known| known.is_called(raw.event_type));
        known.then(|| raw.decode())
    }

    fn visit<V: EventTypeVisitor>(visitor: &mut V) {
        TYPES
            .iter()
            .for_each(|known| visitor.event_type::<Self>(known));
    }
}

impl CommandSet<String> for AccountCommand {
    const NAMES: &'static [&'static str] = &["Open", "Deposit", "Withdraw", "Audit", "Flaw"];

    fn id(&self) -> &String {
        match self {
            Self::Open { account, .. }
            | Self::Deposit { account, .. }
            | Self::Withdraw { account, .. }
            | Self::Audit { account }
            | Self::Flaw { account } => account,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "Open",
            Self::Deposit { .. } => "Deposit",
            Self::Withdraw { .. } => "Withdraw",
            Self::Audit { .. } => "Audit",
            Self::Flaw { .. } => "Flaw",
        }
    }

    fn from_json(_name: &str, body: Value) -> Option<Result<Self, serde_json::Error>> {
        Some(serde_json::from_value(body))
    }

    fn to_json(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self)
    }
}

impl CommandOf<Account> for AccountCommand {
    fn route(self) -> Routed<Account> {
        Routed::Decide(self)
    }
}

impl Command for AddInterest {
    const NAME: &'static str = "AddInterest";
    type Id = String;

    fn id(&self) -> &String {
        &self.account
    }
}

impl CommandOf<Account> for AddInterest {
    fn route(self) -> Routed<Account> {
        Routed::Outside(OutsideCommand::new(self))
    }
}

impl From<AccountEvent> for Events<Account> {
    fn from(event: AccountEvent) -> Self {
        Self::one(event)
    }
}

impl Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = AccountError;

    fn new(_id: &String) -> Self {
        Self::default()
    }

    fn existence(command: &AccountCommand) -> Existence {
        match command {
            AccountCommand::Open { .. } => Existence::Absent,
            AccountCommand::Withdraw { .. } => Existence::Present,
            _ => Existence::Any,
        }
    }

    fn execute(&self, command: &AccountCommand, context: &Context<'_, Self>) -> Decision<Self> {
        match command {
            AccountCommand::Open { owner, .. } => Ok(AccountEvent::Opened {
                owner: owner.clone(),
            }
            .into()),
            AccountCommand::Deposit { amount: 0, .. } => Ok(Events::none()),
            AccountCommand::Deposit {
                amount: u64::MAX, ..
            } => panic!("the vault is full"),
            AccountCommand::Deposit { amount, .. } => {
                Ok(AccountEvent::Deposited { amount: *amount }.into())
            }
            AccountCommand::Withdraw { amount, .. } if *amount > self.balance => {
                Err(AccountError::InsufficientFunds {
                    balance: self.balance,
                })
            }
            AccountCommand::Withdraw { amount, .. } => {
                Ok(AccountEvent::Withdrawn { amount: *amount }.into())
            }
            AccountCommand::Audit { .. } => Err(AccountError::Audited(format!(
                "{} of {} at {} by {} ({})",
                context.id(),
                context.tenant().unwrap_or("nobody"),
                context.version(),
                context.actor().unwrap_or("nobody"),
                context.metadata().custom.get("why").unwrap_or(&Value::Null),
            ))),
            AccountCommand::Flaw { .. } => Ok(AccountEvent::Flawed { reason: "x".into() }.into()),
        }
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::Opened { owner } => self.owner.clone_from(owner),
            AccountEvent::Deposited { amount } => self.balance += amount,
            AccountEvent::Withdrawn { amount } => self.balance -= amount,
            AccountEvent::Flawed { .. } => {}
        }
    }
}

/// Adds interest at a rate that it knows.
#[derive(Debug)]
pub struct Interest {
    pub percent: u64,
}

impl CommandHandler<AddInterest> for Interest {
    type Aggregate = Account;

    async fn handle(
        &self,
        _command: &AddInterest,
        state: &Account,
        context: &Context<'_, Account>,
    ) -> Decision<Account> {
        tokio::task::yield_now().await;
        if !context.exists() {
            return Err(AccountError::InsufficientFunds { balance: 0 });
        }
        Ok(AccountEvent::Deposited {
            amount: state.balance * self.percent / 100,
        }
        .into())
    }
}
