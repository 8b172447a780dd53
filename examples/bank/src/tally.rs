//! What became of a day's commands.

use std::collections::BTreeMap;

use crate::domain::{AccountError, Money, TransferError};
use crate::entry::DayCommand;

/// A dispatch's error.
pub type DispatchError = ordain::DispatchError<Refusal>;

/// Why the bank says no.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The account says so.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The transfer says so.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

impl Refusal {
    /// The kind of refusal, in a few words and without amounts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(error) => error.kind(),
            Self::Transfer(error) => error.kind(),
        }
    }
}

/// What became of a day's commands. It depends on the day alone, not on how often or how fast it
/// was run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many lines there were.
    pub lines: u64,
    /// How many of them were no commands.
    pub malformed: u64,
    /// How many of them repeat an earlier line.
    pub repeated: u64,
    /// The commands by name.
    pub commands: BTreeMap<&'static str, Commands>,
    /// How many were refused, by reason.
    pub rejections: BTreeMap<String, u64>,
}

/// What became of the commands of one name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Commands {
    /// How many were done.
    pub done: u64,
    /// How many were refused.
    pub rejected: u64,
    /// The money moved by those that were done, in cents.
    pub cents: i128,
}

impl Tally {
    /// Takes in the answer to a command, unless it is none to be counted: that is given back.
    pub(crate) fn count<T>(
        &mut self,
        name: &'static str,
        amount: Money,
        answer: Result<T, DispatchError>,
    ) -> Result<(), DispatchError> {
        match answer {
            Ok(_) => {
                let commands = self.commands.entry(name).or_default();
                commands.done += 1;
                commands.cents += i128::from(amount.cents());
            }
            Err(error) => {
                let Some(reason) = reason(&error) else {
                    return Err(error);
                };
                self.commands.entry(name).or_default().rejected += 1;
                *self.rejections.entry(reason).or_default() += 1;
            }
        }
        Ok(())
    }

    /// The commands by name, those of accounts first.
    pub fn by_name(&self) -> impl Iterator<Item = (&'static str, Commands)> {
        let of = |name| self.commands.get(name).copied().unwrap_or_default();
        DayCommand::NAMES
            .into_iter()
            .map(move |name| (name, of(name)))
    }

    /// All commands together; the money is left out.
    pub fn total(&self) -> Commands {
        let mut total = Commands::default();
        for commands in self.commands.values() {
            total.done += commands.done;
            total.rejected += commands.rejected;
        }
        total
    }
}

/// Why the bank refused a command, if that is what it did.
fn reason(error: &DispatchError) -> Option<String> {
    match error {
        DispatchError::Rejected(error) => Some(error.kind().to_owned()),
        DispatchError::RejectedBefore { message, .. } => Some(message.clone()),
        DispatchError::NotFound { .. } => Some("no such account".to_owned()),
        DispatchError::AlreadyExists { stream } => {
            Some(format!("{} exists already", stream.category()))
        }
        _ => None,
    }
}
