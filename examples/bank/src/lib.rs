#![doc = include_str!("../README.md")]

mod bank;
mod books;
pub mod domain;
mod entry;
mod generate;
mod input;
mod lines;
mod report;
mod runner;
mod server_url;
mod tally;

pub use self::bank::{Bank, OpenError, StoreChoice, UnknownStore};
pub use self::books::{AccountLine, Books, BooksError};
pub use self::entry::{Entry, Malformed};
pub use self::generate::Day;
pub use self::input::{Input, InputError, Line, Place, read};
pub use self::report::Report;
pub use self::runner::{RunError, Watch, run};
pub use self::server_url::ServerUrl;
pub use self::tally::{Commands, Tally};
