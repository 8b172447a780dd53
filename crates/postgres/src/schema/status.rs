//! What a schema has, for people and programs.

use std::fmt;

use ordain::{GlobalPosition, StoreError};
use sqlx::postgres::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use super::SchemaName;
use super::applied::{self, Applied};
use super::facts::LogHead;
use super::migrations::{MIGRATIONS, Migration};
use crate::failure;
use crate::payload::Payload;

/// The migrations of a schema, and the store in it. Its `Display` is a list for people.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Status {
    /// The schema.
    pub schema: String,
    /// The migrations that this program knows, then those it does not, by version.
    pub migrations: Vec<MigrationStatus>,
    /// The store, if there is one that this program can read.
    pub store: Option<StoreStatus>,
}

/// One migration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct MigrationStatus {
    /// Its number, from 1.
    pub version: u32,
    /// Its name.
    pub name: String,
    /// Whether it was applied.
    pub state: MigrationState,
}

/// Whether a migration was applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MigrationState {
    /// It is yet to be applied.
    Pending,
    /// It was applied.
    Completed {
        /// When.
        at: OffsetDateTime,
    },
    /// It was applied with another text than this program's.
    Altered {
        /// When.
        at: OffsetDateTime,
    },
    /// It was applied, and this program does not know it.
    Unknown {
        /// When.
        at: OffsetDateTime,
    },
}

/// What a store was made with, and how far it is.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreStatus {
    /// What tells this store from every other.
    pub identity: Uuid,
    /// The type of the payload column.
    pub payload: Payload,
    /// The name of the codec.
    pub codec: String,
    /// The last position.
    pub head: GlobalPosition,
    /// The program that made the store.
    pub created_by: String,
    /// When that was.
    pub created_at: OffsetDateTime,
}

impl Status {
    /// Whether a migration is yet to be applied; all are if there is no store.
    pub fn has_pending(&self) -> bool {
        self.has(|state| matches!(state, MigrationState::Pending))
    }

    /// Whether a migration was applied that this program does not know, or knows otherwise.
    pub fn has_unknown(&self) -> bool {
        use MigrationState::{Altered, Unknown};
        self.has(|state| matches!(state, Altered { .. } | Unknown { .. }))
    }

    /// Whether the schema is the one that this program works with.
    pub fn is_current(&self) -> bool {
        !self.has_pending() && !self.has_unknown()
    }

    fn has(&self, wanted: impl Fn(&MigrationState) -> bool) -> bool {
        self.migrations.iter().any(|it| wanted(&it.state))
    }

    pub(crate) async fn read(
        connection: &mut PgConnection,
        schema: &SchemaName,
    ) -> Result<Self, StoreError> {
        let applied = applied::read(connection, schema).await;
        let applied = applied.map_err(|error| failure::store_error(&error))?;
        let mut status = Self {
            schema: schema.as_str().into(),
            migrations: list(MIGRATIONS, &applied),
            store: None,
        };
        if !applied.is_empty() && !status.has_unknown() {
            status.store = Some(LogHead::read(connection, schema).await?.try_into()?);
        }
        Ok(status)
    }
}

fn list(migrations: &[Migration], applied: &[Applied]) -> Vec<MigrationStatus> {
    let state = |index: usize, migration: &Migration| match applied.get(index) {
        None => MigrationState::Pending,
        Some(it) if it.is(migration) => MigrationState::Completed { at: it.at },
        Some(it) => MigrationState::Altered { at: it.at },
    };
    let known = migrations.iter().enumerate();
    let known = known.map(|(index, migration)| MigrationStatus {
        version: migration.version.cast_unsigned(),
        name: migration.name.into(),
        state: state(index, migration),
    });
    let unknown = applied.iter().skip(migrations.len());
    let unknown = unknown.map(|it| MigrationStatus {
        version: it.version.cast_unsigned(),
        name: it.name.clone(),
        state: MigrationState::Unknown { at: it.at },
    });
    known.chain(unknown).collect()
}

impl TryFrom<LogHead> for StoreStatus {
    type Error = StoreError;

    fn try_from(head: LogHead) -> Result<Self, StoreError> {
        Ok(Self {
            identity: head.identity,
            payload: head.payload()?,
            codec: head.codec,
            head: GlobalPosition::new(head.head.cast_unsigned()),
            created_by: head.created_by,
            created_at: head.created_at,
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "schema {}", self.schema)?;
        for MigrationStatus {
            version,
            name,
            state,
        } in &self.migrations
        {
            writeln!(f, "  {version:04} {name}: {state}")?;
        }
        match &self.store {
            Some(store) => write!(f, "  {store}"),
            None => f.write_str("  no store"),
        }
    }
}

impl fmt::Display for MigrationState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pending => f.write_str("pending"),
            Self::Completed { at } => write!(f, "completed {at}"),
            Self::Altered { at } => {
                write!(f, "completed {at}, in another form than this program's")
            }
            Self::Unknown { at } => write!(f, "completed {at}, unknown to this program"),
        }
    }
}

impl fmt::Display for StoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "store {} at position {}, payload {}, codec {}, made by {} {}",
            self.identity, self.head, self.payload, self.codec, self.created_by, self.created_at
        )
    }
}
