//! The connection of a transaction.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt, TryFutureExt, TryStreamExt};
use ordain::StoreError;
use sqlx::sqlite::{
    Sqlite, SqliteConnection, SqliteQueryResult, SqliteRow, SqliteStatement, SqliteTypeInfo,
};
use sqlx::{Describe, Either, Error, Execute, Executor, SqlStr};
use tokio::sync::{MappedMutexGuard, MutexGuard};

use crate::writer::Shared;

/// The connection of a transaction: lent by the store's writer, and taken back when its time is up.
///
/// It is an [`Executor`] as a connection of sqlx's is: `query.execute(&mut *connection)`. The rows of a
/// query are all read before the first is handed out. Statements that would end the transaction fail,
/// and so does every statement after the transaction was rolled back.
#[derive(Debug)]
pub struct LentConnection {
    shared: Arc<Shared>,
}

impl LentConnection {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// The connection itself, for one statement.
    pub(crate) fn lent(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, StoreError> {
        if self.shared.is_rolled_back() {
            return Err(self.shared.refusal());
        }
        // It is locked by somebody else only when it is taken back.
        let slot = self.shared.connection.try_lock();
        let slot = slot.map_err(|_| self.shared.refusal())?;
        MutexGuard::try_map(slot, Option::as_mut).map_err(|_| self.shared.refusal())
    }

    fn get(&self) -> Result<MappedMutexGuard<'_, SqliteConnection>, Error> {
        let lent = self.lent();
        lent.map_err(|refusal| Error::Io(std::io::Error::other(refusal)))
    }
}

impl<'c> Executor<'c> for &'c mut LentConnection {
    type Database = Sqlite;

    fn fetch_many<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxStream<'e, Result<Either<SqliteQueryResult, SqliteRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        // A stream that is read slowly would keep the connection from being taken back.
        let all = async move {
            let mut connection = self.get()?;
            let all = connection.fetch_many(query).try_collect::<Vec<_>>().await?;
            Ok(stream::iter(all).map(Ok))
        };
        all.try_flatten_stream().boxed()
    }

    fn fetch_optional<'e, 'q: 'e, E>(
        self,
        query: E,
    ) -> BoxFuture<'e, Result<Option<SqliteRow>, Error>>
    where
        'c: 'e,
        E: 'q + Execute<'q, Sqlite>,
    {
        async move { self.get()?.fetch_optional(query).await }.boxed()
    }

    fn prepare_with<'e>(
        self,
        sql: SqlStr,
        parameters: &'e [SqliteTypeInfo],
    ) -> BoxFuture<'e, Result<SqliteStatement, Error>>
    where
        'c: 'e,
    {
        async move { self.get()?.prepare_with(sql, parameters).await }.boxed()
    }

    fn describe<'e>(self, sql: SqlStr) -> BoxFuture<'e, Result<Describe<Sqlite>, Error>>
    where
        'c: 'e,
    {
        async move { self.get()?.describe(sql).await }.boxed()
    }
}
