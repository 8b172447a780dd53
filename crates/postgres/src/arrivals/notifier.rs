//! Tells other processes, in transactions of its own, that this one has committed.

use std::sync::Arc;
use std::time::Duration;

use ordain::StoreError;
use tokio::task::AbortHandle;

use super::{Announcer, Channel};
use crate::backoff::Backoff;
use crate::session::Readers;
use crate::statements::Statements;

/// With so many requests told of at once, the whole interval passes until the next time.
const BUSY: u32 = 10;

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
            let requests = self.announcer.committed.take().await;
            let pause = match self.tell().await {
                Ok(()) => {
                    backoff.reset();
                    rest_after(requests, self.interval)
                }
                Err(error) => {
                    tracing::debug!(%error, "other processes could not be told of events");
                    self.announcer.committed.add(requests);
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

/// The more has been told of at once, the more can wait for the next time.
fn rest_after(requests: usize, interval: Duration) -> Duration {
    match u32::try_from(requests) {
        Ok(requests) if requests < BUSY => interval / BUSY * requests,
        _ => interval,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_append_is_told_of_soon_and_many_are_gathered() {
        let interval = Duration::from_millis(10);
        assert_eq!(rest_after(1, interval), Duration::from_millis(1));
        assert_eq!(rest_after(7, interval), Duration::from_millis(7));
        assert_eq!(rest_after(10, interval), interval);
        assert_eq!(rest_after(usize::MAX, Duration::MAX), Duration::MAX);
    }
}
