#![doc = include_str!("../README.md")]

mod admin;
mod connect;
mod failure;
mod open;
mod options;
mod payload;
mod schema;
mod settings;
mod sql;
mod store;
mod url;

pub use self::admin::PostgresAdmin;
pub use self::options::PostgresOptions;
pub use self::payload::{Payload, UnknownPayload};
pub use self::schema::{MigrationState, MigrationStatus, Status, StoreStatus};
pub use self::store::PostgresStore;
