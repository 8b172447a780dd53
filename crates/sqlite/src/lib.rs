#![doc = include_str!("../README.md")]

mod connection;
mod failure;
mod lent;
mod lookout;
mod micros;
mod open;
mod options;
mod read;
mod readers;
mod schema;
mod sql;
mod stats;
mod store;
mod subscriptions;
mod transaction;
mod url;
mod writer;

pub use self::lent::LentConnection;
pub use self::options::SqliteOptions;
pub use self::stats::SqliteStats;
pub use self::store::SqliteStore;
pub use self::transaction::SqliteTransaction;
