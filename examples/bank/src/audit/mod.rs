//! Looks the whole log through, and holds the read models against it.

mod course;
mod ledger;

use std::collections::BTreeMap;

use futures::stream::TryStreamExt;
use ordain::store::{EventStoreExt, Filter, ReadAll};
use ordain::{Aggregate, DecodeError, Decoded, EventSet, RecordedEvent, StoreError};

use self::course::Course;
use self::ledger::Ledger;
use crate::bank::Bank;
use crate::domain::{Account, AccountEvent, Transfer, TransferEvent};
use crate::views::{Shelf, ViewError};

/// What the log says of transfers, and whether the read models say the same.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Audit {
    /// How many transfers were asked for.
    pub requested: u64,
    /// How many have arrived.
    pub completed: u64,
    /// How many have failed.
    pub failed: u64,
    /// The money that has arrived, in cents.
    pub moved: i128,
    /// What is wrong, in words; at most [`PROBLEMS_MAX`](Self::PROBLEMS_MAX) of it.
    pub problems: Vec<String>,
    /// How many rows the read model of balances has.
    pub balances: u64,
    /// What came in, by the daily statements, in cents.
    pub statement_in: i128,
    /// What went out, by the daily statements, in cents.
    pub statement_out: i128,
}

/// Why the log, or the read models, cannot be looked through.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// An event cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The read models cannot be read.
    #[error(transparent)]
    View(#[from] ViewError),
}

/// What the log says.
#[derive(Default)]
struct Log {
    ledger: Ledger,
    courses: BTreeMap<String, Course>,
    problems: Vec<String>,
}

impl Audit {
    /// How many problems are told.
    pub const PROBLEMS_MAX: usize = 10;

    /// Looks the log through from its first event to its last, and then the read models, which have to
    /// [have settled](Bank::settle).
    ///
    /// # Errors
    /// If something cannot be read.
    pub async fn of(bank: &Bank) -> Result<Self, AuditError> {
        let log = Log::of(bank).await?;
        let mut audit = Self {
            problems: log.problems,
            ..Self::default()
        };
        audit.take_courses(&log.courses);
        audit.compare(&log.ledger, bank.shelf()).await?;
        audit.problems.truncate(Self::PROBLEMS_MAX);
        Ok(audit)
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// How many transfers have not ended.
    pub fn under_way(&self) -> u64 {
        self.requested - self.completed - self.failed
    }

    fn take_courses(&mut self, courses: &BTreeMap<String, Course>) {
        for (transfer, course) in courses {
            self.requested += 1;
            self.completed += u64::from(course.is_completed());
            self.failed += u64::from(course.is_failed());
            self.moved += course.moved();
            if let Some(problem) = course.unfinished() {
                self.problems.push(format!("transfer {transfer} {problem}"));
            }
        }
    }

    async fn compare(&mut self, ledger: &Ledger, shelf: &Shelf) -> Result<(), AuditError> {
        let balances = shelf.balances().await?;
        let days = shelf.days().await?;
        self.balances = balances.len() as u64;
        for day in &days {
            self.statement_in += i128::from(day.money_in);
            self.statement_out += i128::from(day.money_out);
        }
        if balances != ledger.balances() {
            let problem = "the balances are not those of a replay";
            self.problems.push(problem.to_owned());
        }
        if days != ledger.days() {
            let problem = "the daily statements are not those of a replay";
            self.problems.push(problem.to_owned());
        }
        Ok(())
    }
}

impl Log {
    async fn of(bank: &Bank) -> Result<Self, AuditError> {
        let mut log = Self::default();
        let wanted = Filter::all().categories([Account::CATEGORY, Transfer::CATEGORY]);
        let read = ReadAll::forward().filter(wanted);
        let mut events = bank.store().stream_all(read);
        while let Some(recorded) = events.try_next().await? {
            log.add(bank, &recorded)?;
        }
        Ok(log)
    }

    fn add(&mut self, bank: &Bank, recorded: &RecordedEvent) -> Result<(), AuditError> {
        if recorded.stream.category() == Transfer::CATEGORY {
            for event in decode::<TransferEvent>(bank, recorded)? {
                let transfer = recorded.stream.id();
                let course = self.courses.entry(transfer.to_owned()).or_default();
                let taken = course.take(&event);
                self.note(transfer, taken);
            }
            return Ok(());
        }
        for event in decode::<AccountEvent>(bank, recorded)? {
            self.ledger.take(recorded, &event);
            if let Some(transfer) = course::transfer_of(&event) {
                let transfer = transfer.to_string();
                let course = self.courses.entry(transfer.clone()).or_default();
                let taken = course.take_money(recorded.stream.id(), &event);
                self.note(&transfer, taken);
            }
        }
        Ok(())
    }

    fn note(&mut self, transfer: &str, taken: Result<(), &'static str>) {
        if let Err(problem) = taken {
            self.problems.push(format!("transfer {transfer} {problem}"));
        }
    }
}

fn decode<E: EventSet>(bank: &Bank, recorded: &RecordedEvent) -> Result<Vec<E>, DecodeError> {
    Ok(match bank.app().decode(recorded)? {
        Decoded::One(event) => vec![event],
        Decoded::Many(events) => events,
        Decoded::Unlisted => Vec::new(),
    })
}
