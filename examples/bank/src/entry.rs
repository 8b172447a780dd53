//! One line of a day's file: a command and its id.

use ordain::{Command, CommandId, CommandSet};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::{
    AccountCommand, AccountId, CloseAccount, Deposit, Money, OpenAccount, RequestTransfer,
    TransferId, Withdraw,
};

/// Keeps the keys of these files apart from those of others.
const NAMESPACE: Uuid = Uuid::from_u128(0x6261_6e6b_0064_4179_8000_6c69_6e65_6b65);

/// A command and its id, one line of a day's file.
#[derive(Debug)]
pub struct Entry {
    /// The key of the line: the same key for the same account, or transfer, is the same command.
    pub id: String,
    /// The command.
    pub command: DayCommand,
}

/// What a line can ask for.
#[derive(Debug)]
pub enum DayCommand {
    /// Something of one account.
    Account(AccountCommand),
    /// Something of two.
    Transfer(RequestTransfer),
}

/// What commands are carried out one after the other for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    /// An account.
    Account(AccountId),
    /// A transfer.
    Transfer(TransferId),
}

/// The line as JSON: `{"id":"..","command":"Deposit","account":"..","amount":1200}`.
#[derive(Serialize, Deserialize)]
#[serde(expecting = "an object")]
struct Wire {
    id: String,
    command: String,
    #[serde(flatten)]
    body: Map<String, Value>,
}

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It is too long.
    #[error("the line is longer than {max} bytes")]
    TooLong {
        /// What is allowed.
        max: usize,
    },
    /// It is no text.
    #[error("the line is not UTF-8 (byte {at})")]
    NotUtf8 {
        /// The first byte that is not, from 1.
        at: usize,
    },
    /// There is nothing in it.
    #[error("the line is empty")]
    Empty,
    /// It is no JSON object with the fields that all commands have.
    #[error("the line cannot be read: {problem}")]
    Unreadable {
        /// What is wrong with it.
        problem: String,
    },
    /// It has no key.
    #[error("the id is blank")]
    BlankId,
    /// There is no such command.
    #[error("there is no command `{name}`; there are {}", DayCommand::NAMES.join(", "))]
    UnknownCommand {
        /// The name.
        name: String,
    },
    /// The fields are not those of the command.
    #[error("this is no {name}: {problem}")]
    NoCommand {
        /// The command's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Its id is that of another command on the account.
    #[error("the id was used before, for another {name}")]
    IdReused {
        /// The other command.
        name: String,
    },
    /// The bank cannot take it as a command.
    #[error("{problem}")]
    Refused {
        /// What is wrong with it.
        problem: String,
    },
}

impl Entry {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        if text.trim().is_empty() {
            return Err(Malformed::Empty);
        }
        let wire: Wire = serde_json::from_str(text).map_err(|error| unreadable(&error))?;
        let Wire { id, command, body } = wire;
        if id.trim().is_empty() {
            return Err(Malformed::BlankId);
        }
        match DayCommand::from_json(&command, body.into()) {
            None => Err(Malformed::UnknownCommand { name: command }),
            Some(Ok(command)) => Ok(Self { id, command }),
            Some(Err(error)) => Err(Malformed::NoCommand {
                name: command,
                problem: error.to_string(),
            }),
        }
    }

    /// Writes the line, without its end.
    ///
    /// # Errors
    /// None in practice: every command of the bank can be written.
    pub fn to_line(&self) -> Result<String, serde_json::Error> {
        let body = match self.command.to_json()? {
            Value::Object(body) => body,
            _ => Map::new(),
        };
        let (id, command) = (self.id.clone(), self.name().to_owned());
        serde_json::to_string(&Wire { id, command, body })
    }

    /// The id under which the command is dispatched: the key itself if it is a UUID.
    pub fn command_id(&self) -> CommandId {
        match self.id.parse() {
            Ok(id) => id,
            Err(_) => CommandId::from_key(NAMESPACE, &self.id),
        }
    }

    /// The command's name.
    pub fn name(&self) -> &'static str {
        self.command.name()
    }

    /// The money that the command moves.
    pub fn amount(&self) -> Money {
        self.command.amount()
    }
}

impl DayCommand {
    /// The names of all.
    pub const NAMES: [&'static str; 5] = [
        OpenAccount::NAME,
        Deposit::NAME,
        Withdraw::NAME,
        CloseAccount::NAME,
        RequestTransfer::NAME,
    ];

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Account(command) => command.name(),
            Self::Transfer(_) => RequestTransfer::NAME,
        }
    }

    /// What no other command is carried out for at the same time. The first is what its key counts for.
    pub fn keys(&self) -> Vec<Key> {
        match self {
            Self::Account(command) => vec![Key::Account(command.id().clone())],
            Self::Transfer(command) => {
                let (from, to) = (command.from.clone(), command.to.clone());
                let mut keys = vec![
                    Key::Transfer(command.transfer.clone()),
                    Key::Account(from),
                    Key::Account(to),
                ];
                keys.dedup();
                keys
            }
        }
    }

    /// The money that it moves.
    pub fn amount(&self) -> Money {
        match self {
            Self::Account(AccountCommand::Deposit(deposit)) => deposit.amount,
            Self::Account(AccountCommand::Withdraw(withdraw)) => withdraw.amount,
            Self::Account(_) => Money::ZERO,
            Self::Transfer(transfer) => transfer.amount,
        }
    }

    fn to_json(&self) -> Result<Value, serde_json::Error> {
        match self {
            Self::Account(command) => command.to_json(),
            Self::Transfer(command) => serde_json::to_value(command),
        }
    }

    /// `None` if no command of a day has this name.
    fn from_json(name: &str, body: Value) -> Option<Result<Self, serde_json::Error>> {
        if !Self::NAMES.contains(&name) {
            return None;
        }
        if name == RequestTransfer::NAME {
            return Some(transfer(body).map(Self::Transfer));
        }
        let command = AccountCommand::from_json(name, body)?;
        Some(command.map(Self::Account))
    }
}

impl From<AccountCommand> for DayCommand {
    fn from(command: AccountCommand) -> Self {
        Self::Account(command)
    }
}

/// Nobody is there to approve what a file asks for.
fn transfer(body: Value) -> Result<RequestTransfer, serde_json::Error> {
    let transfer: RequestTransfer = serde_json::from_value(body)?;
    if transfer.hold_seconds.is_some() {
        return Err(serde::de::Error::custom(
            "a transfer in a file waits for nobody",
        ));
    }
    Ok(transfer)
}

/// Says where in the line, and leaves out that to JSON it is the first line.
fn unreadable(error: &serde_json::Error) -> Malformed {
    let text = error.to_string();
    let problem = match (text.rsplit_once(" at line "), error.column()) {
        (Some((problem, _)), 0) => problem.to_owned(),
        (Some((problem, _)), column) => format!("{problem} (column {column})"),
        (None, _) => text,
    };
    Malformed::Unreadable { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"id":"a-7","command":"Deposit","account":"A1","amount":1200}"#;

    #[test]
    fn a_line_is_read_and_written() {
        let entry = Entry::parse(LINE).unwrap();
        assert_eq!(entry.id, "a-7");
        assert_eq!(entry.name(), "Deposit");
        assert_eq!(entry.command.keys(), [Key::Account("A1".into())]);
        assert_eq!(entry.amount(), 1_200.into());
        assert_eq!(entry.to_line().unwrap(), LINE);
    }

    #[test]
    fn a_transfer_is_a_command_too() {
        let line = r#"{"id":"a-8","command":"RequestTransfer","amount":7,"from":"A1","to":"A2","transfer":"T1"}"#;
        let entry = Entry::parse(line).unwrap();
        assert_eq!(entry.amount(), 7.into());
        assert_eq!(entry.command.keys().len(), 3);
        assert_eq!(entry.to_line().unwrap(), line);
        let held = line.replace("7,", "7,\"hold_seconds\":9,");
        let refused = Entry::parse(&held).unwrap_err().to_string();
        assert!(refused.contains("waits for nobody"), "{refused}");
        let inner = line.replace("RequestTransfer", "ReserveMoney");
        let unknown = Entry::parse(&inner).unwrap_err();
        assert!(matches!(unknown, Malformed::UnknownCommand { .. }));
    }

    #[test]
    fn a_key_is_an_id_and_a_uuid_is_its_own() {
        let uuid = "018f3f2e-7b1c-4c2a-9d55-0242ac120002";
        let entry = Entry::parse(&LINE.replace("a-7", uuid)).unwrap();
        assert_eq!(entry.command_id().to_string(), uuid);
        let (first, same) = (Entry::parse(LINE).unwrap(), Entry::parse(LINE).unwrap());
        let other = Entry::parse(&LINE.replace("a-7", "a-8")).unwrap();
        assert_eq!(first.command_id(), same.command_id());
        assert_ne!(first.command_id(), other.command_id());
    }

    #[test]
    fn what_is_wrong_is_said() {
        let said = |line: &str| Entry::parse(line).unwrap_err().to_string();
        assert_eq!(said("  "), "the line is empty");
        assert_eq!(
            said("{"),
            "the line cannot be read: EOF while parsing an object (column 1)"
        );
        assert_eq!(
            said(r#"{"command":"Deposit"}"#),
            "the line cannot be read: missing field `id` (column 21)"
        );
        assert_eq!(said(&LINE.replace("a-7", " ")), "the id is blank");
        assert_eq!(
            said(&LINE.replace("Deposit", "Donate")),
            "there is no command `Donate`; there are OpenAccount, Deposit, Withdraw, CloseAccount, RequestTransfer"
        );
        assert_eq!(
            said(&LINE.replace(",\"amount\":1200", "")),
            "this is no Deposit: missing field `amount`"
        );
        assert_eq!(
            said(&LINE.replace("1200", "-1200")),
            "this is no Deposit: an amount cannot be negative, and -1200 is"
        );
    }
}
