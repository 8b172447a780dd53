//! What a store was made with, and whether it is opened so.

use ordain::StoreError;
use sqlx::Row;
use sqlx::postgres::{PgConnection, PgRow};
use time::OffsetDateTime;
use uuid::Uuid;

use super::migrations::MIGRATIONS;
use super::{SchemaName, applied};
use crate::failure;
use crate::payload::Payload;
use crate::settings::Settings;
use crate::sql::{self, Sql};

/// What is known about a store when it is opened.
#[derive(Debug, Clone)]
pub(crate) struct Facts {
    pub(crate) identity: Uuid,
    pub(crate) generation: i64,
}

/// The row of `log_head`, and where the log ends.
#[derive(Debug, Clone)]
pub(crate) struct LogHead {
    pub(crate) identity: Uuid,
    pub(crate) generation: i64,
    pub(crate) payload: String,
    pub(crate) codec: String,
    pub(crate) created_by: String,
    pub(crate) created_at: OffsetDateTime,
    pub(crate) head: i64,
}

/// Looks at a store that is to be opened.
///
/// # Errors
/// If it is missing, or cannot be opened with these settings.
pub(crate) async fn inspect(
    connection: &mut PgConnection,
    settings: &Settings,
) -> Result<Facts, StoreError> {
    let schema = &settings.schema;
    let applied = applied::read(connection, schema).await;
    let applied = applied.map_err(|error| failure::store_error(&error))?;
    applied::check_current(MIGRATIONS, &applied, schema)?;
    let head = LogHead::read(connection, schema).await?;
    head.check(settings)?;
    Ok(Facts {
        identity: head.identity,
        generation: head.generation,
    })
}

impl LogHead {
    pub(crate) async fn read(
        connection: &mut PgConnection,
        schema: &SchemaName,
    ) -> Result<Self, StoreError> {
        let row = Sql::new(sql::LOG_HEAD, schema)
            .query()
            .persistent(false)
            .fetch_optional(connection)
            .await
            .map_err(|error| failure::store_error(&error))?;
        let row = row.ok_or_else(|| failure::damaged("`log_head` is empty"))?;
        Self::from_row(&row).map_err(failure::damaged)
    }

    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            identity: row.try_get(0)?,
            generation: row.try_get(1)?,
            payload: row.try_get(2)?,
            codec: row.try_get(3)?,
            created_by: row.try_get(4)?,
            created_at: row.try_get(5)?,
            head: row.try_get(6)?,
        })
    }

    pub(crate) fn payload(&self) -> Result<Payload, StoreError> {
        self.payload.parse().map_err(failure::damaged)
    }

    fn check(&self, settings: &Settings) -> Result<(), StoreError> {
        let compared = [
            ("payload", self.payload.as_str(), settings.payload.name()),
            ("codec", self.codec.as_str(), settings.codec.name()),
        ];
        let differs = compared.iter().find(|(_, recorded, told)| recorded != told);
        let Some((what, recorded, told)) = differs else {
            return Ok(());
        };
        Err(StoreError::Incompatible {
            problem: format!(
                "the store in {} was made with the {what} `{recorded}`, and it was opened with `{told}`",
                settings.schema.quoted()
            ),
            advice: format!("open it with the {what} `{recorded}`"),
        })
    }
}
