//! The removal of what hard deletes have closed.

use std::sync::Arc;
use std::time::Duration;

use ordain::StoreError;
use sqlx::Row;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use crate::failure;
use crate::session::Readers;
use crate::statements::Statements;

/// How many entries are removed at a time.
const ERASED_AT_ONCE: i32 = 2_000;

/// How long to wait before an erasure that failed is tried again: at first, and at the most.
const PAUSES: [Duration; 2] = [Duration::from_millis(250), Duration::from_secs(60)];

/// Rounds of erasing: each goes on until nothing is left to erase.
#[derive(Debug, Clone, Default)]
struct Rounds {
    begun: u64,
    done: u64,
    /// Why the present one does not come to an end.
    failure: Option<String>,
}

/// The way to the eraser. The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Eraser {
    wanted: Arc<Notify>,
    rounds: watch::Receiver<Rounds>,
    task: AbortHandle,
}

impl Eraser {
    /// Starts the task on the current runtime. It begins with what an earlier process left.
    pub(crate) fn start(readers: Readers, statements: Arc<Statements>) -> Self {
        let wanted = Arc::new(Notify::new());
        wanted.notify_one();
        let (sender, rounds) = watch::channel(Rounds::default());
        let erasing = Erasing {
            readers,
            statements,
            rounds: sender,
        };
        let task = tokio::spawn(erasing.run(Arc::clone(&wanted))).abort_handle();
        Self {
            wanted,
            rounds,
            task,
        }
    }

    /// Lets others say that there may be something to erase.
    pub(crate) fn wanted(&self) -> Arc<Notify> {
        Arc::clone(&self.wanted)
    }

    /// Waits until everything is erased that was closed before this was called.
    pub(crate) async fn finish(&self, patience: Duration) -> Result<(), StoreError> {
        let mut rounds = self.rounds.clone();
        let next = rounds.borrow().begun + 1;
        self.wanted.notify_one();
        let done = rounds.wait_for(|rounds| rounds.done >= next);
        match tokio::time::timeout(patience, done).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(unfinished("the store was closed")),
            Err(_) => {
                let failure = self.rounds.borrow().failure.clone();
                Err(unfinished(failure.as_deref().unwrap_or("it takes long")))
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.task.abort();
    }
}

impl Drop for Eraser {
    fn drop(&mut self) {
        self.stop();
    }
}

fn unfinished(reason: &str) -> StoreError {
    StoreError::OutcomeUnknown {
        source: format!(
            "the stream is closed for good, but its entries are not removed yet: {reason}; the removal goes on"
        )
        .into(),
    }
}

struct Erasing {
    readers: Readers,
    statements: Arc<Statements>,
    rounds: watch::Sender<Rounds>,
}

impl Erasing {
    async fn run(self, wanted: Arc<Notify>) {
        loop {
            wanted.notified().await;
            self.rounds.send_modify(|rounds| rounds.begun += 1);
            self.erase_all().await;
            self.rounds.send_modify(|rounds| {
                rounds.done = rounds.begun;
                rounds.failure = None;
            });
        }
    }

    async fn erase_all(&self) {
        let mut pause = PAUSES[0];
        loop {
            match self.erase_some().await {
                Ok(0) | Err(StoreError::Closed) => return,
                Ok(_) => pause = PAUSES[0],
                Err(error) => {
                    self.tell(&error);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES[1]);
                }
            }
        }
    }

    /// Erases a part; 0 if nothing was left.
    async fn erase_some(&self) -> Result<i32, StoreError> {
        let statement = || self.statements.erase.query().bind(ERASED_AT_ONCE);
        let rows = self.readers.fetch(statement).await?;
        let left = rows.first().map_or(Ok(0), |row| row.try_get(0));
        left.map_err(failure::damaged)
    }

    fn tell(&self, error: &StoreError) {
        self.rounds.send_if_modified(|rounds| {
            let is_news = rounds.failure.is_none();
            if is_news {
                tracing::warn!(%error, "entries of erased streams cannot be removed; it is tried again");
            }
            rounds.failure = Some(error.to_string());
            is_news
        });
    }
}
