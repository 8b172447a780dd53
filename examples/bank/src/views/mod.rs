//! What the bank shows: read models, which follow the events.

mod balances;
mod daily_statement;
mod memory;
mod place;
mod postgres;
mod rows;
mod shelf;
mod sqlite;
mod tables;

pub use self::balances::Balances;
pub use self::daily_statement::DailyStatement;
pub use self::place::Place;
pub use self::rows::{Balance, StatementDay};
pub(crate) use self::rows::{day_of, is_day};
pub use self::shelf::{Shelf, ViewError};
pub use self::tables::Tables;
