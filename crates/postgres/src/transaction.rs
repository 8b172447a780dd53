//! Events beside the caller's own tables.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use ordain::StoreError;
use ordain::store::{Append, Appended, NewLinks, Refusal};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::{Executor, SqlSafeStr, SqlStr, Transaction};

use crate::appender::{Link, Verdict, Work, Written};
use crate::batch::{self, Caution, Plan, Reply, StreamEnds, Witness};
use crate::failure::{self, Kind};
use crate::session::{Session, Statement};
use crate::sql;
use crate::store::Inner;

/// A transaction for the caller's own SQL, and events that are committed with it.
///
/// It dereferences to sqlx's transaction, for statements of the caller's. Events are kept here until
/// [`commit`](Self::commit), which appends them last: so no statement of the caller's runs under the lock
/// that all appends take, and no other lock is taken after it. Dropped, the transaction is rolled back.
///
/// ```no_run
/// # async fn example(store: ordain_postgres::PostgresStore, placed: ordain::store::Append) -> Result<(), Box<dyn std::error::Error>> {
/// let mut tx = store.begin().await?;
/// sqlx::query("UPDATE stock SET held = held + 1 WHERE item = $1")
///     .bind("anvil")
///     .execute(&mut **tx)
///     .await?;
/// tx.append(placed)?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
///
/// A command that is dispatched while the transaction is open is carried out on another connection. It
/// waits for the caller's locks, so it must not be awaited here if it needs a row that was changed.
pub struct PostgresTransaction {
    store: Arc<Inner>,
    transaction: Transaction<'static, Postgres>,
    writes: Vec<Work>,
    /// Whether an append at once was refused.
    failed: bool,
    /// The first entries of what was appended.
    written: Vec<Written>,
}

impl PostgresTransaction {
    pub(crate) async fn begin(store: Arc<Inner>) -> Result<Self, StoreError> {
        let transaction = begin(&store, Session::BEGIN.into_sql_str()).await?;
        Ok(Self::of(store, transaction))
    }

    /// One that was begun already.
    pub(crate) fn of(store: Arc<Inner>, transaction: Transaction<'static, Postgres>) -> Self {
        Self {
            store,
            transaction,
            writes: Vec::new(),
            failed: false,
            written: Vec::new(),
        }
    }

    /// Has these events appended when the transaction commits, in the order of these calls.
    ///
    /// # Errors
    /// [`StoreError::Refused`] or [`StoreError::DuplicateEvent`] if no store would take them.
    pub fn append(&mut self, append: Append) -> Result<(), StoreError> {
        let settings = &self.store.settings;
        settings.limits.check(&append, &settings.codec)?;
        self.writes.push(Work::Append(append));
        Ok(())
    }

    /// Has these links appended when the transaction commits, in the order of these calls.
    ///
    /// # Errors
    /// [`StoreError::Refused`] or [`StoreError::DuplicateEvent`] if no store would take them.
    pub fn link(&mut self, links: NewLinks) -> Result<(), StoreError> {
        self.store.settings.limits.check_links(&links)?;
        self.writes.push(Work::Link(Link::new(links)));
        Ok(())
    }

    /// Appends these events at once, for callers that need versions and positions before they commit.
    ///
    /// From here on the transaction holds the lock that all appends to the store wait for, in all
    /// processes, until it ends; one that idles for 5 seconds is ended by the server. Whoever takes
    /// other locks after this one may deadlock with those who take them before.
    ///
    /// # Errors
    /// As [`EventStore::append`](ordain::EventStore::append). The transaction cannot go on after one.
    pub async fn append_now(&mut self, append: Append) -> Result<Appended, StoreError> {
        let settings = &self.store.settings;
        settings.limits.check(&append, &settings.codec)?;
        if self.failed {
            return Err(Refusal::TransactionFailed.into());
        }
        // Until it is accepted, also if this future is dropped.
        self.failed = true;
        let verdicts = self.write(&[Work::Append(append)]).await?;
        let answer = verdicts
            .into_iter()
            .next()
            .unwrap_or_else(|| Err(no_verdict()))?;
        self.failed = false;
        answer.try_into()
    }

    /// Commits the caller's changes together with the events and links, and says where these stand, in
    /// the order in which they were given.
    ///
    /// Deferred constraints are checked first. A dropped future leaves the transaction committed or not.
    ///
    /// # Errors
    /// If one of the appends is refused, or a constraint violated, everything is rolled back.
    /// [`StoreError::OutcomeUnknown`] if the connection was lost during the commit and whether it took
    /// place could not be found out in time.
    pub async fn commit(mut self) -> Result<Vec<Appended>, StoreError> {
        let writes = std::mem::take(&mut self.writes);
        let committed = self.commit_with(&writes).await;
        if committed.is_err() {
            writes.iter().for_each(Work::break_chain);
        }
        committed
    }

    async fn commit_with(mut self, writes: &[Work]) -> Result<Vec<Appended>, StoreError> {
        let appended = match self.write_last(writes).await {
            Ok(appended) => appended,
            Err(refused) => {
                // Nothing is committed, whether this succeeds or not.
                let _ = self.rollback().await;
                return Err(refused);
            }
        };
        let Self {
            store,
            transaction,
            written,
            ..
        } = self;
        let grown = !written.is_empty();
        let committed = match store.session.limit(transaction.commit()).await {
            Ok(()) => Ok(()),
            Err(error) if !failure::is_open(&error) => Err(refusal(&error)),
            Err(error) => settle(&store, &error, written).await,
        };
        committed?;
        if grown {
            store.announcer.committed(1, Vec::new());
        }
        Ok(appended)
    }

    /// Undoes the caller's changes; no event is appended.
    ///
    /// # Errors
    /// If the server cannot be reached. Nothing is committed then either.
    pub async fn rollback(self) -> Result<(), StoreError> {
        let rolled_back = self.store.session.limit(self.transaction.rollback()).await;
        rolled_back.map_err(|error| refusal(&error))
    }

    async fn write_last(&mut self, writes: &[Work]) -> Result<Vec<Appended>, StoreError> {
        if self.failed {
            return Err(Refusal::TransactionFailed.into());
        }
        writes.iter().try_for_each(Work::check_start)?;
        // Also without events: a transaction that failed would answer COMMIT by rolling back, and no error.
        let session = self.store.session.clone();
        let check = self.transaction.execute(sql::CHECK_TRANSACTION);
        let checked = session.limit(check).await;
        checked.map_err(|error| refusal(&error))?;
        let mut appended = Vec::with_capacity(writes.len());
        for part in writes.chunk_by(|left, right| left.joins_batches() && right.joins_batches()) {
            for verdict in self.write(part).await? {
                appended.push(verdict?.try_into()?);
            }
        }
        Ok(appended)
    }

    /// Writes appends, or one request for links, in this transaction.
    async fn write(&mut self, writes: &[Work]) -> Result<Vec<Verdict>, StoreError> {
        let mut generation = self.store.generation.load(Ordering::Relaxed);
        loop {
            let reply = match writes {
                [Work::Link(link)] => self.call_link(link, generation).await?,
                appends => self.call_append(appends, generation).await?,
            };
            match reply {
                Reply::CarriedOut(verdicts, _) => {
                    for (work, verdict) in writes.iter().zip(&verdicts) {
                        let answer = verdict.as_ref().ok();
                        self.written
                            .extend(answer.and_then(|answer| Written::first_of(work, answer)));
                    }
                    return Ok(verdicts);
                }
                // The order lock is held now, so the generation stays.
                Reply::Stale(found) => generation = found.generation,
            }
        }
    }

    async fn call_link(&mut self, link: &Link, generation: i64) -> Result<Reply, StoreError> {
        let timeout_ms = self.store.settings.order_lock_timeout_ms();
        let query = batch::link(&self.store.statements.link, link, generation, timeout_ms);
        let row = self.fetch_row(query).await?;
        batch::read_link(&row, link)
    }

    async fn call_append(
        &mut self,
        appends: &[Work],
        generation: i64,
    ) -> Result<Reply, StoreError> {
        let mut ends = StreamEnds::new(0);
        let caution = Caution::Thorough;
        let plan = Plan::new(appends.iter(), &ends, caution);
        let settings = &self.store.settings;
        let query = batch::query(
            &self.store.statements,
            &plan,
            Witness::of_generation(generation),
            caution,
            settings.order_lock_timeout_ms(),
            settings.payload.element_type(),
        )?;
        let row = self.fetch_row(query).await?;
        batch::read(&row, &plan, &mut ends)
    }

    async fn fetch_row(&mut self, statement: Statement<'_>) -> Result<PgRow, StoreError> {
        let session = self.store.session.clone();
        let rows = session
            .fetch_in_transaction(&mut self.transaction, statement)
            .await;
        let rows = rows.map_err(|error| refusal(&error))?;
        rows.into_iter().next().ok_or_else(no_verdict)
    }
}

/// Begins a transaction on a connection of its own.
pub(crate) async fn begin(
    store: &Inner,
    statement: SqlStr,
) -> Result<Transaction<'static, Postgres>, StoreError> {
    let connection = store.pool.acquire().await?;
    let session = store.session.clone();
    // In a task of its own: sqlx does not roll back a BEGIN whose future is dropped, and the connection would go
    // back to the pool with a transaction open, in which the statements of others were never committed.
    let begin = tokio::spawn(async move {
        let begin = Transaction::begin(connection, Some(statement));
        session.limit(begin).await
    });
    let begun = begin.await.map_err(StoreError::internal)?;
    begun.map_err(|error| refusal(&error))
}

/// Finds out whether a COMMIT took place whose answer did not come.
async fn settle(
    store: &Inner,
    error: &sqlx::Error,
    written: Vec<Written>,
) -> Result<(), StoreError> {
    let unknown = |source: StoreError| StoreError::OutcomeUnknown {
        source: source.into(),
    };
    if written.is_empty() {
        return Err(unknown(failure::store_error(error)));
    }
    let settled = store.appender.carry_out(Work::Settle(written)).await;
    match settled.and_then(bool::try_from) {
        Ok(true) => Ok(()),
        Ok(false) => Err(failure::store_error(error)),
        Err(unsettled) => Err(unknown(unsettled)),
    }
}

/// What the caller is told of an error of its transaction, where a violated constraint is mostly its own.
pub(crate) fn refusal(error: &sqlx::Error) -> StoreError {
    match failure::kind(error) {
        Kind::Data | Kind::Unique { .. } => Refusal::Unstorable {
            source: failure::said(error).into(),
        }
        .into(),
        _ if failure::is_ended(error) => Refusal::TransactionEnded.into(),
        _ if failure::is_aborted(error) => Refusal::TransactionFailed.into(),
        _ => failure::store_error(error),
    }
}

fn no_verdict() -> StoreError {
    failure::damaged("no verdict on an append")
}

impl Deref for PostgresTransaction {
    type Target = Transaction<'static, Postgres>;

    fn deref(&self) -> &Self::Target {
        &self.transaction
    }
}

impl DerefMut for PostgresTransaction {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.transaction
    }
}

impl fmt::Debug for PostgresTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresTransaction")
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}
