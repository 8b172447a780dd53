//! The account as two enums, and the aggregate by hand.

use ordain::prelude::*;
use ordain::{
    Aggregate as _, Codec, CommandSet as _, Event as _, EventSet as _, EventType, EventTypeVisitor,
    RawData, RawEvent, Routed,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{decided, dispatch, run};

/// An event of its own.
#[derive(Debug, PartialEq, Serialize, Deserialize, Event)]
#[event(name = "LimitSet", version = 4)]
pub struct Limit {
    /// How much.
    pub limit: u64,
}

/// The events.
#[derive(Debug, PartialEq, EventSet)]
#[serde(rename_all_fields = "camelCase", deny_unknown_fields)]
pub enum AccountEvent {
    /// It is there.
    AccountOpened {
        /// Whose.
        owner_name: String,
    },
    /// Money came.
    #[event(name = "CashDeposited", alias = "CashIn", version = 2)]
    MoneyDeposited {
        /// How much.
        #[serde(rename = "cents", with = "text")]
        amount: u64,
        /// What for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        r#type: Option<String>,
    },
    /// A limit holds.
    Limit(Limit),
    /// It is gone.
    Closed,
}

mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
    pub(super) fn serialize<S: Serializer>(amount: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(amount)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

/// The commands; serde's derives may stand beside ours.
#[derive(Debug, Serialize, Deserialize, CommandSet)]
#[command(id = account, aggregate = Account, validate = check, fingerprint = AccountCommand::print)]
pub enum AccountCommand {
    /// Begin.
    OpenAccount {
        /// Which.
        account: String,
        /// For whom.
        owner: String,
    },
    /// Pay in.
    #[command(name = "PayIn", version = 3)]
    Deposit {
        /// Which.
        account: String,
        /// How much.
        #[serde(default)]
        amount: u64,
    },
    /// End.
    Close {
        /// Which.
        account: String,
    },
}

impl AccountCommand {
    fn print(&self) -> String {
        format!("{self:?}")
    }
}

fn check(command: &AccountCommand) -> Result<(), Invalid> {
    let mut invalid = Invalid::none();
    if let AccountCommand::Deposit { amount, .. } = command {
        invalid.require(*amount > 0, "amount", "nothing to deposit");
    }
    invalid.finish()
}

/// The state.
#[derive(Debug, Default, Clone)]
pub struct Account {
    open: bool,
    balance: u64,
}

impl ordain::EventOf<Account> for Limit {}

impl ordain::Aggregate for Account {
    const CATEGORY: &'static str = "account";
    type Id = String;
    type Command = AccountCommand;
    type Event = AccountEvent;
    type Error = ordain::NoError;

    fn new(_: &String) -> Self {
        Self::default()
    }

    fn execute(&self, command: &AccountCommand, _: &Context<'_, Self>) -> Decision<Self> {
        Ok(match command {
            AccountCommand::OpenAccount { owner, .. } => {
                let owner_name = owner.clone();
                (
                    AccountEvent::AccountOpened { owner_name },
                    Limit { limit: 7 },
                )
                    .into()
            }
            AccountCommand::Deposit { amount, .. } => deposited(*amount).into(),
            AccountCommand::Close { .. } => AccountEvent::Closed.into(),
        })
    }

    fn apply(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::AccountOpened { .. } => self.open = true,
            AccountEvent::MoneyDeposited { amount, .. } => self.balance += amount,
            AccountEvent::Limit(_) => {}
            AccountEvent::Closed => self.open = false,
        }
    }
}

fn deposited(amount: u64) -> AccountEvent {
    let r#type = None;
    AccountEvent::MoneyDeposited { amount, r#type }
}

fn read(event_type: &str, payload: &str) -> Option<Result<AccountEvent, ordain::CodecError>> {
    AccountEvent::decode(&RawEvent {
        event_type,
        schema_version: 1,
        data: RawData::Stored(payload.as_bytes(), &Codec::Json),
    })
}

#[test]
fn commands_run_and_find_their_aggregate() {
    let (mut account, id) = (Account::default(), "a".to_owned());
    let (opening, owner) = (id.clone(), "Ann".to_owned());
    let open = AccountCommand::OpenAccount {
        account: opening,
        owner,
    };
    assert_eq!(
        run(&mut account, &id, decided(dispatch(open)))
            .unwrap()
            .len(),
        2
    );
    let (paying, amount) = (id.clone(), 3);
    let deposit = AccountCommand::Deposit {
        account: paying,
        amount,
    };
    run(&mut account, &id, decided(dispatch(deposit))).unwrap();
    assert!(account.open && account.balance == 3);
    let close = AccountCommand::Close {
        account: id.clone(),
    };
    assert!(matches!(dispatch(close), Routed::<Account>::Decide(_)));
}

#[test]
fn payloads_are_the_objects_of_the_fields() {
    let opened = AccountEvent::AccountOpened {
        owner_name: "Ann".into(),
    };
    let cases = [
        (opened, "AccountOpened", r#"{"ownerName":"Ann"}"#),
        (deposited(5), "CashDeposited", r#"{"cents":"5"}"#),
        (Limit { limit: 9 }.into(), "LimitSet", r#"{"limit":9}"#),
        (AccountEvent::Closed, "Closed", "{}"),
    ];
    for (event, name, payload) in cases {
        assert_eq!(event.event_type().name, name);
        assert_eq!(event.encode(&Codec::Json).unwrap(), payload);
        assert_eq!(read(name, payload).unwrap().unwrap(), event);
    }
    assert_eq!(
        read("CashIn", r#"{"cents":"5"}"#).unwrap().unwrap(),
        deposited(5)
    );
    assert!(
        read("AccountOpened", r#"{"ownerName":"Ann","more":1}"#)
            .unwrap()
            .is_err()
    );
    assert!(read("Unheard", "{}").is_none());
    let error = read("Closed", "7").unwrap().unwrap_err().to_string();
    assert!(error.contains("expected the fields of `Closed`"), "{error}");
    let versions = AccountEvent::TYPES.iter().map(|listed| listed.version);
    assert_eq!(versions.collect::<Vec<_>>(), [1, 2, Limit::VERSION, 1]);
}

struct Names(Vec<&'static str>);

impl EventTypeVisitor for Names {
    fn event_type<P: DeserializeOwned>(&mut self, event_type: &'static EventType) {
        self.0.push(event_type.name);
    }
}

#[test]
fn a_visitor_sees_every_type() {
    let mut names = Names(Vec::new());
    AccountEvent::visit(&mut names);
    assert_eq!(
        names.0,
        ["AccountOpened", "CashDeposited", "LimitSet", "Closed"]
    );
}

#[test]
fn commands_go_through_json() {
    assert_eq!(AccountCommand::NAMES, ["OpenAccount", "PayIn", "Close"]);
    let command = AccountCommand::from_json("PayIn", json!({ "account": "a" }));
    let command = command.unwrap().unwrap();
    assert_eq!(
        (command.id().as_str(), command.name(), command.version()),
        ("a", "PayIn", 3)
    );
    assert!(command.validate().is_err());
    assert!(command.fingerprint().unwrap().starts_with("Deposit"));
    assert_eq!(
        command.to_json().unwrap(),
        json!({ "account": "a", "amount": 0 })
    );
    assert!(AccountCommand::from_json("Deposit", json!({})).is_none());
    assert_eq!(Account::CATEGORY, "account");
}
