//! Making, migrating and removing a store, each in one transaction under the schema's lock.

use std::time::Duration;

use ordain::StoreError;
use sqlx::postgres::PgConnection;
use sqlx::{Connection, Executor, PgTransaction, Row};
use uuid::Uuid;

use super::SchemaName;
use super::applied::{self, Applied};
use super::facts::LogHead;
use super::migrations::{MIGRATIONS, Migration, lock_key};
use crate::failure::{self, Kind, state};
use crate::payload::Payload;
use crate::settings::Settings;
use crate::sql::{self, Sql};

/// What runs the migrations of one schema.
#[derive(Debug, Clone)]
pub(crate) struct Runner<'a> {
    migrations: &'a [Migration],
    schema: &'a SchemaName,
    payload: Payload,
    codec: &'a str,
    timeout: Duration,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(settings: &'a Settings) -> Self {
        Self {
            migrations: MIGRATIONS,
            schema: &settings.schema,
            payload: settings.payload,
            codec: settings.codec.name(),
            timeout: settings.migration_timeout,
        }
    }

    /// Makes the store, or brings it up to date; returns the versions that were applied.
    pub(crate) async fn init(&self, connection: &mut PgConnection) -> Result<Vec<u32>, StoreError> {
        let mut transaction = self.begin(connection).await?;
        let applied = self.applied(&mut transaction).await?;
        let versions = if applied.is_empty() {
            self.make(&mut transaction, 1).await?
        } else {
            self.bring_up_to_date(&mut transaction, &applied).await?
        };
        self.commit(transaction).await?;
        Ok(versions)
    }

    /// Brings the store up to date; returns the versions that were applied.
    pub(crate) async fn migrate(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<u32>, StoreError> {
        let mut transaction = self.begin(connection).await?;
        let applied = self.applied_to_store(&mut transaction).await?;
        let versions = self.bring_up_to_date(&mut transaction, &applied).await?;
        self.commit(transaction).await?;
        Ok(versions)
    }

    /// Removes the store and makes it anew, under another identity and the next generation.
    pub(crate) async fn reset(&self, connection: &mut PgConnection) -> Result<(), StoreError> {
        let mut transaction = self.begin(connection).await?;
        let applied = self.applied_to_store(&mut transaction).await?;
        self.run(&mut transaction, sql::LOCK_ORDER).await?;
        let head = LogHead::read(&mut transaction, self.schema).await?;
        self.remove(&mut transaction, &applied).await?;
        self.make(&mut transaction, head.generation + 1).await?;
        self.commit(transaction).await
    }

    /// Removes the store; returns whether there was one.
    pub(crate) async fn drop_store(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin(connection).await?;
        let dropped = self.remove_if_any(&mut transaction).await?;
        self.commit(transaction).await?;
        Ok(dropped)
    }

    /// Removes the store, and the schema if nothing is left in it; returns whether the schema is gone.
    pub(crate) async fn drop_schema(
        &self,
        connection: &mut PgConnection,
    ) -> Result<bool, StoreError> {
        let mut transaction = self.begin(connection).await?;
        self.remove_if_any(&mut transaction).await?;
        let empty = self.ask(&mut transaction, sql::SCHEMA_IS_EMPTY).await?;
        if empty == Some(true) {
            self.run(&mut transaction, sql::DROP_SCHEMA).await?;
        }
        self.commit(transaction).await?;
        Ok(empty != Some(false))
    }

    /// Begins a transaction and takes the schema's lock, which ends with it.
    ///
    /// At a higher isolation level what is seen would be older than the lock.
    async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<PgTransaction<'c>, StoreError> {
        let begun = connection.begin_with(sql::BEGIN_MIGRATION).await;
        let mut transaction = begun.map_err(|error| self.failed(&error))?;
        let prepared = sql::once(sql::PREPARE_MIGRATION)
            .bind(self.timeout.as_millis().to_string())
            .execute(&mut *transaction)
            .await;
        prepared.map_err(|error| self.failed(&error))?;
        let locked = sql::once(sql::LOCK_MIGRATIONS)
            .bind(lock_key(self.schema))
            .execute(&mut *transaction)
            .await;
        locked.map_err(|error| self.failed(&error))?;
        Ok(transaction)
    }

    async fn commit(&self, transaction: PgTransaction<'_>) -> Result<(), StoreError> {
        let committed = transaction.commit().await;
        committed.map_err(|error| self.failed(&error))
    }

    async fn applied(&self, connection: &mut PgConnection) -> Result<Vec<Applied>, StoreError> {
        let applied = applied::read(connection, self.schema).await;
        applied.map_err(|error| self.failed(&error))
    }

    async fn applied_to_store(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Applied>, StoreError> {
        let applied = self.applied(connection).await?;
        if applied.is_empty() {
            return Err(applied::absent(self.schema));
        }
        Ok(applied)
    }

    async fn make(
        &self,
        connection: &mut PgConnection,
        generation: i64,
    ) -> Result<Vec<u32>, StoreError> {
        // A role that may not make schemas may use one that is there.
        if self.ask(connection, sql::SCHEMA_EXISTS).await? != Some(true) {
            self.run(connection, sql::CREATE_SCHEMA).await?;
        }
        self.run(connection, sql::CREATE_MIGRATIONS).await?;
        for migration in self.migrations {
            self.apply(connection, migration, self.payload).await?;
            if migration.version == 1 {
                self.found(connection, generation).await?;
            }
        }
        Ok(versions(self.migrations))
    }

    async fn bring_up_to_date(
        &self,
        connection: &mut PgConnection,
        applied: &[Applied],
    ) -> Result<Vec<u32>, StoreError> {
        let pending = applied::pending(self.migrations, applied, self.schema)?;
        if pending.is_empty() {
            return Ok(Vec::new());
        }
        let payload = LogHead::read(connection, self.schema).await?.payload()?;
        for migration in pending {
            self.apply(connection, migration, payload).await?;
        }
        Ok(versions(pending))
    }

    async fn apply(
        &self,
        connection: &mut PgConnection,
        migration: &Migration,
        payload: Payload,
    ) -> Result<(), StoreError> {
        let text = Sql::migration(migration.text, self.schema, payload);
        let ran = connection.execute(text.raw()).await;
        ran.map_err(|error| self.failed(&error))?;
        let recorded = Sql::new(sql::RECORD_MIGRATION, self.schema)
            .query()
            .persistent(false)
            .bind(migration.version)
            .bind(migration.name)
            .bind(migration.checksum())
            .execute(connection)
            .await;
        recorded.map_err(|error| self.failed(&error))?;
        Ok(())
    }

    /// Records what the store is made with.
    async fn found(
        &self,
        connection: &mut PgConnection,
        generation: i64,
    ) -> Result<(), StoreError> {
        let created_by = concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"));
        let founded = Sql::new(sql::FOUND_STORE, self.schema)
            .query()
            .persistent(false)
            .bind(Uuid::now_v7())
            .bind(generation)
            .bind(self.payload.name())
            .bind(self.codec)
            .bind(created_by)
            .execute(connection)
            .await;
        founded.map_err(|error| self.failed(&error))?;
        Ok(())
    }

    async fn remove_if_any(&self, connection: &mut PgConnection) -> Result<bool, StoreError> {
        let applied = self.applied(connection).await?;
        if applied.is_empty() {
            return Ok(false);
        }
        self.run(connection, sql::LOCK_ORDER).await?;
        self.remove(connection, &applied).await?;
        Ok(true)
    }

    async fn remove(
        &self,
        connection: &mut PgConnection,
        applied: &[Applied],
    ) -> Result<(), StoreError> {
        let known = self.migrations.get(..applied.len());
        let known = known.ok_or_else(|| applied::too_new(self.migrations, applied, self.schema))?;
        for migration in known.iter().rev() {
            self.run(connection, migration.drop).await?;
        }
        self.run(connection, sql::DROP_MIGRATIONS).await
    }

    /// Asks a question about the schema that is answered by yes, no or nothing.
    async fn ask(
        &self,
        connection: &mut PgConnection,
        question: &'static str,
    ) -> Result<Option<bool>, StoreError> {
        let row = sql::once(question)
            .bind(self.schema.as_str())
            .fetch_optional(connection)
            .await;
        let answer = row.and_then(|row| row.map(|row| row.try_get(0)).transpose());
        answer.map_err(|error| self.failed(&error))
    }

    async fn run(&self, connection: &mut PgConnection, text: &str) -> Result<(), StoreError> {
        let text = Sql::new(text, self.schema);
        let ran = connection.execute(text.raw()).await;
        ran.map_err(|error| self.failed(&error))?;
        Ok(())
    }

    fn failed(&self, error: &sqlx::Error) -> StoreError {
        let schema = self.schema.quoted();
        if failure::kind(error) == Kind::Busy {
            return StoreError::unavailable(format!(
                "another session migrates or uses the store in {schema} for longer than {:?} ({error}); try again when it has ended",
                self.timeout
            ));
        }
        let (problem, advice) = if state::EXISTS.contains(&&*failure::code(error)) {
            (
                "has other objects with the names of the store's",
                "choose another schema",
            )
        } else if failure::has_code(error, state::DEPENDED_ON) {
            (
                "has objects of the store that others depend on",
                "drop those first",
            )
        } else {
            return failure::store_error(error);
        };
        StoreError::Incompatible {
            problem: format!("the schema {schema} {problem} ({error})"),
            advice: advice.into(),
        }
    }
}

fn versions(migrations: &[Migration]) -> Vec<u32> {
    let versions = migrations
        .iter()
        .map(|migration| migration.version.cast_unsigned());
    versions.collect()
}

#[cfg(test)]
mod tests;
