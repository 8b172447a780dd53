#![doc = include_str!("../README.md")]

mod audit;
mod bank;
mod books;
mod counter;
pub mod domain;
mod entry;
mod generate;
mod input;
mod lines;
mod process;
mod queues;
mod receipts;
mod report;
mod runner;
mod serve;
mod server_url;
mod tally;
mod views;

pub use self::audit::{Audit, AuditError};
pub use self::bank::{Bank, BankOptions, OpenError, SettleError, StoreChoice, UnknownStore};
pub use self::books::{AccountLine, Books, BooksError};
pub use self::entry::{DayCommand, Entry, Key, Malformed};
pub use self::generate::Day;
pub use self::input::{Input, InputError, Line, Place, read};
pub use self::process::{ApprovalOverdue, TransferProcess};
pub use self::receipts::Receipts;
pub use self::report::Report;
pub use self::runner::{RunError, Watch, run};
pub use self::serve::serve;
pub use self::server_url::ServerUrl;
pub use self::tally::{Commands, DispatchError, Refusal, Tally};
pub use self::views::{
    Balance, Balances, DailyStatement, Place as TablesPlace, Shelf, StatementDay, Tables, ViewError,
};
