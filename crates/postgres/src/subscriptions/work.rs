//! Transactions in which read models and checkpoints move together.

use std::fmt;
use std::time::Instant;

use futures::FutureExt;
use futures::future::BoxFuture;
use ordain::store::{
    Append, Appended, Committed, Progress, ProjectionStore, Refusal, SubscriptionChange,
};
use ordain::{BoxError, StoreError};
use sqlx::postgres::{PgConnection, PgRow, Postgres};
use sqlx::{AssertSqlSafe, SqlSafeStr, SqlStr, Transaction};

use super::change;
use super::commit::{Call, Fate, overtaken};
use crate::PostgresStore;
use crate::backoff::Backoff;
use crate::failure;
use crate::read::column;
use crate::session::{Session, Statement, unless_stored};
use crate::settings::Settings;
use crate::sql;
use crate::store::Inner;
use crate::transaction::{self, PostgresTransaction, refusal};

/// A transaction for a read model, which is committed together with a progress.
///
/// Others go on while it is open. The server ends one that waits for its program for longer than the
/// [`work_idle_timeout`](crate::PostgresOptions::work_idle_timeout), so that a program that was stopped in
/// the middle does not hold up those who take over. Dropped, it is rolled back.
pub struct PostgresWork {
    transaction: Transaction<'static, Postgres>,
}

impl ProjectionStore for PostgresStore {
    type Connection = PgConnection;

    type Work = PostgresWork;

    fn is_transient(error: &BoxError) -> bool {
        failure::in_chain(error).is_some_and(failure::is_transient)
    }

    async fn begin_work(&self) -> Result<PostgresWork, StoreError> {
        let store = self.inner()?;
        let transaction = transaction::begin(store, begin_statement(&store.settings)).await?;
        Ok(PostgresWork { transaction })
    }

    fn connection(work: &mut PostgresWork) -> &mut PgConnection {
        &mut work.transaction
    }

    async fn commit_work(
        &self,
        mut work: PostgresWork,
        progress: Progress,
    ) -> Result<Committed, StoreError> {
        let store = self.inner()?;
        let call = Call::in_work(&progress);
        let result = work.run(store, call.statement(&store.statements)).await;
        if result.as_ref().is_ok_and(Vec::is_empty) && !work.is_open(store).await? {
            return Err(Refusal::TransactionEnded.into());
        }
        match call.answer(result) {
            Ok(Committed::Done) => {}
            refused => {
                work.roll_back(store).await;
                return refused.map_err(|error| work_refusal(store, &error));
            }
        }
        match work.commit(store).await {
            Ok(()) => Ok(Committed::Done),
            Err(error) if !failure::is_open(&error) => Err(work_refusal(store, &error)),
            Err(error) => settle_work(store, &call, &error).await,
        }
    }

    async fn commit_change(
        &self,
        mut work: PostgresWork,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        let store = self.inner()?;
        match work.change(store, &changes).await {
            Ok(true) => {}
            refused => {
                work.roll_back(store).await;
                return refused;
            }
        }
        match work.commit(store).await {
            Ok(()) => Ok(true),
            Err(error) if !failure::is_open(&error) => Err(refusal(&error)),
            Err(error) => settle_change(store, &changes, &error).await,
        }
    }

    async fn commit_append(
        &self,
        work: PostgresWork,
        append: Append,
    ) -> Result<Appended, StoreError> {
        let chain = append.chain.clone();
        let appended = self.append_last(work, append).await;
        if let (Err(_), Some(link)) = (&appended, chain) {
            link.break_off();
        }
        appended
    }
}

impl PostgresStore {
    async fn append_last(
        &self,
        work: PostgresWork,
        append: Append,
    ) -> Result<Appended, StoreError> {
        let mut transaction = PostgresTransaction::of(self.shared()?, work.transaction);
        transaction.append(append)?;
        let appended = transaction.commit().await?;
        let first = appended.into_iter().next();
        first.ok_or_else(|| failure::damaged("no verdict on an append"))
    }
}

impl PostgresWork {
    async fn run(
        &mut self,
        store: &Inner,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let session = &store.session;
        session
            .fetch_in_transaction(&mut self.transaction, statement)
            .await
    }

    /// Changes subscriptions. Without changes it makes sure that the transaction has not failed, or COMMIT
    /// would roll it back and report no error.
    async fn change(
        &mut self,
        store: &Inner,
        changes: &[SubscriptionChange],
    ) -> Result<bool, StoreError> {
        let statement = match changes {
            [] => sql::once(sql::CHECK_CONSTRAINTS),
            changes => change::statement(&store.statements.change_subscriptions, changes),
        };
        let rows = self.run(store, statement).await;
        let rows = rows.map_err(|error| refusal(&error))?;
        match changes {
            [] => Ok(true),
            _ => change::answer(&rows),
        }
    }

    /// Whether it is still the transaction that was begun, and not one of the user's, or none.
    async fn is_open(&mut self, store: &Inner) -> Result<bool, StoreError> {
        let rows = self.run(store, sql::once(sql::WORK_IS_OPEN)).await;
        let rows = rows.map_err(|error| refusal(&error))?;
        rows.first().map_or(Ok(false), |row| column(row, 0))
    }

    async fn commit(self, store: &Inner) -> Result<(), sqlx::Error> {
        store.session.limit(self.transaction.commit()).await
    }

    async fn roll_back(self, store: &Inner) {
        // Nothing is committed, whether this succeeds or not.
        let _ = store.session.limit(self.transaction.rollback()).await;
    }
}

fn begin_statement(settings: &Settings) -> SqlStr {
    let millis = settings.work_idle_timeout.as_millis();
    let begin = Session::BEGIN;
    let limit = format!("SET LOCAL idle_in_transaction_session_timeout = {millis}");
    let text = format!("{begin}; {limit}; SET LOCAL ordain_work.state = 'open'");
    // It is made of a number.
    AssertSqlSafe(text).into_sql_str()
}

/// Why a transaction was not committed.
fn work_refusal(store: &Inner, error: &sqlx::Error) -> StoreError {
    match failure::has_expired(error) {
        true => {
            let limit = store.settings.work_idle_timeout;
            Refusal::TransactionExpired { limit }.into()
        }
        false => refusal(error),
    }
}

/// Finds out whether a COMMIT took place whose answer did not come.
async fn settle_work(
    store: &Inner,
    call: &Call<'_>,
    error: &sqlx::Error,
) -> Result<Committed, StoreError> {
    match in_time(store, || call.fate(store).boxed()).await? {
        Fate::Made => Ok(Committed::Done),
        Fate::NotMade => Err(failure::store_error(error)),
        Fate::Unknown => Err(overtaken()),
    }
}

/// Likewise, of a COMMIT with changes of subscriptions.
async fn settle_change(
    store: &Inner,
    changes: &[SubscriptionChange],
    error: &sqlx::Error,
) -> Result<bool, StoreError> {
    if changes.is_empty() {
        return Err(unless_stored(failure::store_error(error), true));
    }
    let made = in_time(store, || change::fate(&store.reader, changes).boxed());
    match made.await? {
        true => Ok(true),
        false => Err(failure::store_error(error)),
    }
}

/// Asks until there is an answer, or the time for it is over.
async fn in_time<'a, T>(
    store: &Inner,
    ask: impl Fn() -> BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let end = Instant::now() + store.settings.outage_timeout;
    let mut backoff = Backoff::default();
    loop {
        match ask().await {
            Err(error) if error.is_unavailable() && Instant::now() < end => {
                tokio::time::sleep(backoff.next()).await;
            }
            Err(error) => return Err(unless_stored(error, true)),
            Ok(answer) => return Ok(answer),
        }
    }
}

impl fmt::Debug for PostgresWork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresWork").finish_non_exhaustive()
    }
}
