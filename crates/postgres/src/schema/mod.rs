//! The schema of a store: its name, its migrations, and what is in it.

mod applied;
mod facts;
mod migrations;
mod name;
mod runner;
mod status;

pub(crate) use self::facts::{Facts, inspect};
pub(crate) use self::name::SchemaName;
pub(crate) use self::runner::Runner;
pub use self::status::{MigrationState, MigrationStatus, Status, StoreStatus};
