//! The writer's connection in the hands of a user.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ordain::StoreError;
use ordain::store::Refusal;
use sqlx::Connection;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{Mutex, oneshot};

use super::queue;
use super::work::{Answer, Work};

/// How many steps a statement takes before it notices that its time is up: about a millisecond's.
const STEPS: i32 = 10_000;

/// A transaction that is open. Dropped, it is rolled back.
#[derive(Debug)]
pub(crate) struct Loan {
    pub(crate) shared: Arc<Shared>,
    finish: oneshot::Sender<Finish>,
}

/// How the transaction is to end.
#[derive(Debug)]
pub(super) struct Finish {
    /// What is carried out before it is committed; `None` if it is to be rolled back.
    pub(super) works: Option<Vec<Work>>,
    pub(super) reply: oneshot::Sender<Result<Vec<Answer>, StoreError>>,
}

/// The writer's side of a loan.
pub(super) struct Lent {
    shared: Arc<Shared>,
    finish: oneshot::Receiver<Finish>,
}

/// What both sides have.
pub(crate) struct Shared {
    /// `None` when it was taken back. The user has it locked while a statement runs.
    pub(crate) connection: Mutex<Option<SqliteConnection>>,
    limit: Duration,
    flags: Arc<Flags>,
}

/// What SQLite asks in the middle of a statement, and tells.
#[derive(Default)]
struct Flags {
    /// The time is up, or the user has let go of it.
    over: AtomicBool,
    /// The transaction was rolled back, by a statement or by SQLite itself.
    rolled_back: AtomicBool,
}

/// Lends a connection with an open transaction.
pub(super) async fn lend(
    mut connection: SqliteConnection,
    limit: Duration,
) -> Result<(Lent, Loan), sqlx::Error> {
    let flags = Arc::<Flags>::default();
    flags.watch(&mut connection).await?;
    let shared = Arc::new(Shared {
        connection: Mutex::new(Some(connection)),
        limit,
        flags,
    });
    let (finish, finished) = oneshot::channel();
    let lent = Lent {
        shared: Arc::clone(&shared),
        finish: finished,
    };
    Ok((lent, Loan { shared, finish }))
}

impl Flags {
    async fn watch(self: &Arc<Self>, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut handle = connection.lock_handle().await?;
        let flags = Arc::clone(self);
        handle.set_progress_handler(STEPS, move || !flags.over.load(Ordering::Acquire));
        let flags = Arc::clone(self);
        handle.set_rollback_hook(move || flags.rolled_back.store(true, Ordering::Release));
        // Only the writer commits.
        handle.set_commit_hook(|| false);
        Ok(())
    }

    async fn unwatch(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut handle = connection.lock_handle().await?;
        handle.remove_progress_handler();
        handle.remove_rollback_hook();
        handle.remove_commit_hook();
        Ok(())
    }
}

impl Lent {
    /// Waits until the user is done; `None` if there is nothing to commit, or the time is up.
    pub(super) async fn ended(&mut self) -> Option<Finish> {
        let finish = match tokio::time::timeout(self.shared.limit, &mut self.finish).await {
            Ok(finish) => finish.ok(),
            Err(_) => {
                self.finish.close();
                self.finish.try_recv().ok()
            }
        };
        if finish.is_none() {
            self.shared.flags.over.store(true, Ordering::Release);
        }
        finish
    }

    /// Takes the connection back, when the statement that runs has ended.
    pub(super) async fn take_back(&self) -> Option<SqliteConnection> {
        let mut connection = self.shared.connection.lock().await.take()?;
        // A statement whose future was dropped may still wait for the connection's thread, and the handle
        // could be locked before it.
        connection.ping().await.ok()?;
        Flags::unwatch(&mut connection).await.ok()?;
        Some(connection)
    }

    /// Why the transaction cannot be committed any more, once the connection is back.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        self.shared.is_rolled_back().then(|| self.shared.refusal())
    }
}

impl Loan {
    /// Has these requests carried out in the transaction, and commits it if all of them hold.
    pub(crate) async fn commit(self, works: Vec<Work>) -> Result<Vec<Answer>, StoreError> {
        self.end(Some(works)).await
    }

    /// Undoes what was written.
    pub(crate) async fn roll_back(self) -> Result<(), StoreError> {
        self.end(None).await.map(drop)
    }

    async fn end(self, works: Option<Vec<Work>>) -> Result<Vec<Answer>, StoreError> {
        let (reply, answer) = oneshot::channel();
        if let Err(unsent) = self.finish.send(Finish { works, reply }) {
            unsent.break_chains();
            return Err(self.shared.refusal());
        }
        answer.await.unwrap_or_else(|_| Err(queue::lost()))
    }
}

impl Finish {
    /// Answers; after an error, what rests on its appends fails too.
    pub(super) fn answer(self, answer: Result<Vec<Answer>, StoreError>) {
        if answer.is_err() {
            self.break_chains();
        }
        // Nobody listens if the future was dropped.
        let _ = self.reply.send(answer);
    }

    fn break_chains(&self) {
        self.works.iter().flatten().for_each(Work::break_chain);
    }
}

impl Shared {
    pub(crate) fn is_rolled_back(&self) -> bool {
        self.flags.rolled_back.load(Ordering::Acquire)
    }

    /// Why the transaction cannot go on.
    pub(crate) fn refusal(&self) -> StoreError {
        if self.flags.over.load(Ordering::Acquire) {
            Refusal::TransactionExpired { limit: self.limit }.into()
        } else if self.is_rolled_back() {
            Refusal::TransactionFailed.into()
        } else {
            StoreError::Closed
        }
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}
