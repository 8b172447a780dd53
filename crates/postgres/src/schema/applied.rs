//! The migrations that a schema has, compared with those that this program knows.

use ordain::StoreError;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::SchemaName;
use super::migrations::Migration;
use crate::sql::{self, Sql};

/// A migration that was applied.
#[derive(Debug, Clone)]
pub(crate) struct Applied {
    pub(crate) version: i32,
    pub(crate) name: String,
    pub(crate) checksum: Uuid,
    pub(crate) at: OffsetDateTime,
}

/// The migrations that were applied, none if there is no store.
pub(crate) async fn read(
    connection: &mut PgConnection,
    schema: &SchemaName,
) -> Result<Vec<Applied>, sqlx::Error> {
    let exists: bool = sql::once(sql::STORE_EXISTS)
        .bind(schema.as_str())
        .fetch_one(&mut *connection)
        .await?
        .try_get(0)?;
    if !exists {
        return Ok(Vec::new());
    }
    let rows = Sql::new(sql::APPLIED, schema)
        .query()
        .persistent(false)
        .fetch_all(connection)
        .await?;
    rows.iter().map(Applied::read).collect()
}

impl Applied {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            version: row.try_get(0)?,
            name: row.try_get(1)?,
            checksum: row.try_get(2)?,
            at: row.try_get(3)?,
        })
    }

    pub(crate) fn is(&self, migration: &Migration) -> bool {
        self.version == migration.version && self.checksum == migration.checksum()
    }
}

/// Which migrations are missing.
///
/// # Errors
/// If the schema has migrations that this program does not know.
pub(crate) fn pending<'a>(
    migrations: &'a [Migration],
    applied: &[Applied],
    schema: &SchemaName,
) -> Result<&'a [Migration], StoreError> {
    let altered = migrations
        .iter()
        .zip(applied)
        .find(|(known, it)| !it.is(known));
    if let Some((known, _)) = altered {
        return Err(StoreError::Incompatible {
            problem: format!(
                "migration {} of the store in {} is another than this program's",
                known.version,
                schema.quoted()
            ),
            advice:
                "use the program that applied it, or reset the store with `PostgresAdmin::reset`"
                    .into(),
        });
    }
    let pending = migrations.get(applied.len()..);
    pending.ok_or_else(|| too_new(migrations, applied, schema))
}

/// Checks that there is a store, and that no migration is missing.
pub(crate) fn check_current(
    migrations: &[Migration],
    applied: &[Applied],
    schema: &SchemaName,
) -> Result<(), StoreError> {
    if applied.is_empty() {
        return Err(absent(schema));
    }
    if pending(migrations, applied, schema)?.is_empty() {
        return Ok(());
    }
    Err(StoreError::Incompatible {
        problem: format!(
            "the store in {} has schema version {}, and this program needs version {}",
            schema.quoted(),
            applied.len(),
            migrations.len()
        ),
        advice: "bring it up to date with `PostgresAdmin::migrate`, or open it with `migrate_on_connect`"
            .into(),
    })
}

/// There is no store.
pub(crate) fn absent(schema: &SchemaName) -> StoreError {
    StoreError::Incompatible {
        problem: format!("there is no store in the schema {}", schema.quoted()),
        advice: "make one with `PostgresAdmin::init`, or open it with `migrate_on_connect`".into(),
    }
}

/// The store has migrations beyond those that this program knows.
pub(crate) fn too_new(
    migrations: &[Migration],
    applied: &[Applied],
    schema: &SchemaName,
) -> StoreError {
    StoreError::Incompatible {
        problem: format!(
            "the store in {} has schema version {}, and this program knows versions up to {}",
            schema.quoted(),
            applied.len(),
            migrations.len()
        ),
        advice: "update the program".into(),
    }
}
