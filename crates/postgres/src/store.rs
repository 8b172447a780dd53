//! The store.

use ordain::StoreError;

use crate::connect::Pool;
use crate::options::PostgresOptions;
use crate::schema::Facts;
use crate::settings::Settings;

/// A store in a schema of a PostgreSQL database.
#[derive(Debug, Clone)]
pub struct PostgresStore {
    settings: Settings,
    pool: Pool,
    facts: Facts,
}

impl PostgresStore {
    /// How to open a store, to be filled in.
    pub fn options() -> PostgresOptions {
        PostgresOptions::new()
    }

    pub(crate) async fn start(
        settings: Settings,
        pool: Pool,
        facts: Facts,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            settings,
            pool,
            facts,
        })
    }
}
