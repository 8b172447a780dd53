#![doc = include_str!("../README.md")]

mod admin;
mod appender;
mod arrivals;
mod backoff;
mod batch;
mod connect;
mod eraser;
mod failure;
mod metadata;
mod open;
mod options;
mod payload;
mod read;
mod schema;
mod session;
mod settings;
mod sql;
mod statements;
mod stats;
mod store;
mod subscriptions;
mod transaction;
mod url;

pub use self::admin::PostgresAdmin;
pub use self::options::PostgresOptions;
pub use self::payload::{Payload, UnknownPayload};
pub use self::schema::{MigrationState, MigrationStatus, Status, StoreStatus};
pub use self::stats::PostgresStats;
pub use self::store::PostgresStore;
pub use self::subscriptions::PostgresWork;
pub use self::transaction::PostgresTransaction;
