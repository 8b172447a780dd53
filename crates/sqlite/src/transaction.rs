//! Events beside the caller's own tables, and read models beside their checkpoints.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use ordain::store::{
    Append, Appended, Committed, NewLinks, Progress, ProjectionStore, Refusal, SubscriptionChange,
};
use ordain::{BoxError, StoreError};

use crate::SqliteStore;
use crate::failure;
use crate::lent::LentConnection;
use crate::writer::{Answer, Loan, SubscriptionWork, Work, carry_out_now};

/// A transaction for the caller's own SQL, and events that are committed with it.
///
/// It dereferences to a connection, for statements of the caller's. Events are kept here until
/// [`commit`](Self::commit), which appends them last. Dropped, the transaction is rolled back.
///
/// It *is* the store's writer: nothing else is written while it is open, by any process. So it may be open
/// only [for a while](crate::SqliteOptions::transaction_timeout); after that it is rolled back, and every
/// further use says so. What takes time belongs before it.
///
/// A command that is dispatched, or an append that is awaited, while the transaction is open waits for
/// it to end. In the task that began it, an append would wait for ever, and fails with
/// [`StoreError::WouldDeadlock`]; what cannot be told to come from there waits until the time is up.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # use ordain::{ExpectedVersion, NewEvent, StreamId, store::Append};
/// # let directory = tempfile::tempdir()?;
/// # let store = ordain_sqlite::SqliteStore::open(directory.path().join("shop.db")).await?;
/// # let placed = Append::new(StreamId::new("order", "1")?, ExpectedVersion::Any, vec![NewEvent::new("placed", "{}")]);
/// let mut tx = store.begin().await?;
/// sqlx::query("CREATE TABLE stock (item TEXT PRIMARY KEY, held INTEGER)")
///     .execute(&mut *tx)
///     .await?;
/// sqlx::query("INSERT INTO stock VALUES (?1, 1)")
///     .bind("anvil")
///     .execute(&mut *tx)
///     .await?;
/// tx.append(placed)?;
/// tx.commit().await?;
/// # Ok(())
/// # }
/// ```
pub struct SqliteTransaction {
    store: SqliteStore,
    connection: LentConnection,
    loan: Loan,
    writes: Vec<Work>,
    /// What came of the appends at once.
    at_once: AtOnce,
}

/// What came of the appends at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AtOnce {
    None,
    Appended,
    /// One was refused, or not waited for.
    Failed,
}

impl SqliteStore {
    /// Opens a transaction for the caller's own SQL, and events that are committed with it.
    ///
    /// # Errors
    /// [`StoreError::WouldDeadlock`] if this task has one open; otherwise if the store cannot work.
    pub async fn begin(&self) -> Result<SqliteTransaction, StoreError> {
        if self.would_deadlock() {
            return Err(StoreError::WouldDeadlock);
        }
        SqliteTransaction::begin(self.clone()).await
    }
}

impl SqliteTransaction {
    async fn begin(store: SqliteStore) -> Result<Self, StoreError> {
        let loan = store.borrow().await?;
        Ok(Self {
            store,
            connection: LentConnection::new(Arc::clone(&loan.shared)),
            loan,
            writes: Vec::new(),
            at_once: AtOnce::None,
        })
    }

    /// Has these events appended when the transaction commits, in the order of these calls.
    ///
    /// # Errors
    /// [`StoreError::Refused`] or [`StoreError::DuplicateEvent`] if no store would take them.
    pub fn append(&mut self, append: Append) -> Result<(), StoreError> {
        let options = self.store.settings();
        options.limits.check(&append, &options.codec)?;
        self.writes.push(Work::Append(append));
        Ok(())
    }

    /// Has these links appended when the transaction commits, in the order of these calls.
    ///
    /// # Errors
    /// [`StoreError::Refused`] or [`StoreError::DuplicateEvent`] if no store would take them.
    pub fn link(&mut self, links: NewLinks) -> Result<(), StoreError> {
        self.store.settings().limits.check_links(&links)?;
        self.writes.push(Work::Link(links));
        Ok(())
    }

    /// Appends these events at once, for callers that need versions and positions before they commit.
    ///
    /// # Errors
    /// As [`EventStore::append`](ordain::EventStore::append). The transaction cannot be committed after
    /// one.
    pub async fn append_now(&mut self, append: Append) -> Result<Appended, StoreError> {
        let options = self.store.settings();
        options.limits.check(&append, &options.codec)?;
        // Until it is accepted, also if this future is dropped.
        let before = std::mem::replace(&mut self.at_once, AtOnce::Failed);
        if before == AtOnce::Failed {
            return Err(Refusal::TransactionFailed.into());
        }
        let mut connection = self.connection.lent()?;
        let append = Work::Append(append);
        let answer = carry_out_now(&mut connection, &append, options).await;
        let answer = answer.inspect_err(|_| append.break_chain())?;
        self.at_once = AtOnce::Appended;
        answer.try_into()
    }

    /// Commits the caller's changes together with the events and links, and says where these stand, in
    /// the order in which they were given.
    ///
    /// A dropped future leaves the transaction committed or not.
    ///
    /// # Errors
    /// If one of the appends is refused, a deferred constraint violated, or the transaction rolled back
    /// before, everything is undone.
    pub async fn commit(self) -> Result<Vec<Appended>, StoreError> {
        if self.at_once == AtOnce::Failed {
            self.writes.iter().for_each(Work::break_chain);
            return Err(Refusal::TransactionFailed.into());
        }
        let answers = self.loan.commit(self.writes).await?;
        if self.at_once == AtOnce::Appended {
            self.store.announce();
        }
        answers.into_iter().map(Appended::try_from).collect()
    }

    /// Undoes the caller's changes; no event is appended.
    ///
    /// # Errors
    /// If the store's writer has ended. Nothing is committed then either.
    pub async fn rollback(self) -> Result<(), StoreError> {
        self.loan.roll_back().await
    }

    /// Commits together with one request, and gives the answer to that.
    async fn commit_with(self, work: Work) -> Result<Answer, StoreError> {
        let answers = self.loan.commit(vec![work]).await?;
        let answer = answers.into_iter().next();
        answer.ok_or_else(|| StoreError::internal("the writer left a request unanswered"))
    }
}

impl Deref for SqliteTransaction {
    type Target = LentConnection;

    fn deref(&self) -> &Self::Target {
        &self.connection
    }
}

impl DerefMut for SqliteTransaction {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.connection
    }
}

impl fmt::Debug for SqliteTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteTransaction")
            .field("writes", &self.writes.len())
            .finish_non_exhaustive()
    }
}

/// A transaction *is* the store's writer, and may be open only
/// [for a while](crate::SqliteOptions::transaction_timeout).
impl ProjectionStore for SqliteStore {
    type Connection = LentConnection;
    type Work = SqliteTransaction;

    fn is_transient(error: &BoxError) -> bool {
        failure::in_chain(error).is_some_and(failure::is_transient)
    }

    async fn begin_work(&self) -> Result<SqliteTransaction, StoreError> {
        SqliteTransaction::begin(self.clone()).await
    }

    fn connection(work: &mut SqliteTransaction) -> &mut LentConnection {
        &mut work.connection
    }

    async fn commit_work(
        &self,
        work: SqliteTransaction,
        progress: Progress,
    ) -> Result<Committed, StoreError> {
        let progress = Work::Subscription(SubscriptionWork::Commit(progress));
        work.commit_with(progress).await?.try_into()
    }

    async fn commit_change(
        &self,
        work: SqliteTransaction,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        let changes = Work::Subscription(SubscriptionWork::Change(changes));
        work.commit_with(changes).await?.try_into()
    }

    async fn commit_append(
        &self,
        work: SqliteTransaction,
        append: Append,
    ) -> Result<Appended, StoreError> {
        let options = self.settings();
        if let Err(refused) = options.limits.check(&append, &options.codec) {
            append.break_chain();
            return Err(refused);
        }
        work.commit_with(Work::Append(append)).await?.try_into()
    }
}
