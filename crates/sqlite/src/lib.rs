#![doc = include_str!("../README.md")]

mod connection;
mod failure;
mod micros;
mod open;
mod options;
mod read;
mod readers;
mod schema;
mod sql;
mod stats;
mod store;
mod url;
mod writer;

pub use self::options::SqliteOptions;
pub use self::stats::SqliteStats;
pub use self::store::SqliteStore;
