//! Looking out for what other processes append.

use std::time::Duration;

use ordain::store::Arrivals;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Executor, Row};
use tokio::sync::watch;

use crate::options::SqliteOptions;
use crate::{connection, sql};

/// How long to leave a file alone that could not be read.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// How many times as often the file is looked at while the log grows.
const HASTE: u32 = 10;

/// After so many looks in haste that found nothing, the log does not grow any more.
const QUIET_LOOKS: u32 = 100;

/// A task that looks at the file from time to time, while somebody follows the log.
#[derive(Debug)]
pub(crate) struct Lookout {
    /// The task ends when this says so, or is dropped.
    stop: watch::Sender<bool>,
}

struct Task {
    arrivals: Arrivals,
    options: SqliteConnectOptions,
    interval: Duration,
    stop: watch::Receiver<bool>,
}

/// What was seen last.
#[derive(Default, PartialEq, Eq)]
struct Seen {
    data_version: Option<i64>,
    head: Option<i64>,
}

impl Lookout {
    /// Starts the task on the current runtime.
    pub(crate) fn start(options: &SqliteOptions, arrivals: Arrivals) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = Task {
            arrivals,
            options: connection::connect_options(options),
            interval: options.poll_interval,
            stop: stopped,
        };
        tokio::spawn(task.run());
        Self { stop }
    }

    /// Ends the task, and waits until its connection is closed.
    pub(crate) async fn close(&self) {
        self.stop.send_replace(true);
        self.stop.closed().await;
    }
}

impl Task {
    async fn run(mut self) {
        while !self.is_stopped() {
            tokio::select! {
                () = self.arrivals.until_followed(true) => self.watch().await,
                _ = self.stop.changed() => {}
            }
        }
    }

    /// Looks until nobody follows any more, or the store ends.
    async fn watch(&mut self) {
        while self.is_wanted() {
            if let Err(error) = self.connect_and_watch().await {
                tracing::warn!(%error, "the store's file could not be watched");
                self.pause(PAUSE_AFTER_FAILURE).await;
            }
        }
    }

    async fn connect_and_watch(&mut self) -> Result<(), sqlx::Error> {
        let mut connection = connection::connect_reader(&self.options).await?;
        let watched = self.watch_with(&mut connection).await;
        connection::close(connection).await;
        watched
    }

    async fn watch_with(&mut self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let mut seen = Seen::default();
        let mut quiet: u32 = 0;
        while self.is_wanted() {
            quiet = quiet.saturating_add(1);
            let grown_to = seen.look(connection).await?;
            if grown_to.is_some_and(|head| head > self.arrivals.last().to_i64()) {
                self.arrivals.announce();
                quiet = 0;
            }
            let interval = match quiet < QUIET_LOOKS {
                true => self.interval / HASTE,
                false => self.interval,
            };
            self.pause(interval).await;
        }
        Ok(())
    }

    async fn pause(&mut self, time: Duration) {
        // It ends early when the store does.
        let _ = tokio::time::timeout(time, self.stop.changed()).await;
    }

    fn is_wanted(&self) -> bool {
        self.arrivals.is_followed() && !self.is_stopped()
    }

    fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }
}

impl Seen {
    /// The end of the log, if it has changed, or this is the first look.
    ///
    /// The version also changes with what is no event, and with this process's own commits.
    async fn look(
        &mut self,
        connection: &mut SqliteConnection,
    ) -> Result<Option<i64>, sqlx::Error> {
        let version = number(connection, sql::DATA_VERSION).await?;
        if self.data_version.replace(version) == Some(version) {
            return Ok(None);
        }
        let head = number(connection, sql::HEAD).await?;
        let is_known = self.head.replace(head) == Some(head);
        Ok((!is_known).then_some(head))
    }
}

async fn number(connection: &mut SqliteConnection, sql: &'static str) -> Result<i64, sqlx::Error> {
    connection.fetch_one(sql).await?.try_get(0)
}
