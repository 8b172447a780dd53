//! Tells other processes, in transactions of its own, that this one has committed.

use std::sync::Arc;
use std::time::Duration;

use ordain::StoreError;
use tokio::task::AbortHandle;

use super::{Announcer, Channel};
use crate::backoff::Backoff;
use crate::session::Readers;
use crate::statements::Statements;

/// The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Notifier(AbortHandle);

impl Notifier {
    /// Starts the task on the current runtime.
    pub(crate) fn start(
        announcer: Announcer,
        channel: Channel,
        readers: Readers,
        statements: Arc<Statements>,
        interval: Duration,
    ) -> Self {
        let notifying = Notifying {
            announcer,
            channel,
            readers,
            statements,
            interval,
        };
        Self(tokio::spawn(notifying.run()).abort_handle())
    }

    pub(crate) fn stop(&self) {
        self.0.abort();
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Notifying {
    announcer: Announcer,
    channel: Channel,
    readers: Readers,
    statements: Arc<Statements>,
    interval: Duration,
}

impl Notifying {
    /// Tells of all that was committed since it last told, and then rests a while.
    async fn run(self) {
        let mut backoff = Backoff::default();
        loop {
            self.announcer.committed.notified().await;
            let pause = match self.tell().await {
                Ok(()) => {
                    backoff.reset();
                    self.interval
                }
                Err(error) => {
                    tracing::debug!(%error, "other processes could not be told of events");
                    self.announcer.committed.notify_one();
                    backoff.next().max(self.interval)
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn tell(&self) -> Result<(), StoreError> {
        let statement = || {
            let query = self.statements.notify.query();
            query
                .bind(self.channel.name.clone())
                .bind(self.channel.caller.clone())
        };
        self.readers.fetch(statement).await?;
        Ok(())
    }
}
