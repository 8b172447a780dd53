//! The task, and how requests reach it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use ordain::StoreError;
use sqlx::Postgres;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use tokio::sync::{Notify, mpsc, oneshot, watch};

use super::optimism::Optimism;
use super::pending::{BatchBounds, Pending};
use super::request::{Answer, Request, Work};
use crate::arrivals::Announcer;
use crate::backoff::Backoff;
use crate::batch::{StreamEnds, Witness};
use crate::connect::Pool;
use crate::failure;
use crate::session::{Session, Statement};
use crate::settings::Settings;
use crate::statements::Statements;
use crate::stats::Counters;

enum Message {
    CarryOut(Request),
    Close,
}

/// The way to the appender. The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct AppenderHandle {
    queue: mpsc::Sender<Message>,
    /// Closed when the task has ended.
    running: watch::Receiver<()>,
    outage_timeout: std::time::Duration,
}

impl AppenderHandle {
    /// Has a request carried out.
    ///
    /// Requests are taken up in the order in which these futures were first polled. A dropped future
    /// leaves its request carried out or not.
    pub(crate) async fn carry_out(&self, work: Work) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let give_up_at = Instant::now() + self.outage_timeout;
        let unsent = Unsent(Some(work));
        let place = self.queue.reserve().await.map_err(|_| StoreError::Closed)?;
        if let Some(work) = unsent.send() {
            place.send(Message::CarryOut(Request {
                work,
                reply,
                give_up_at,
                in_doubt: false,
            }));
        }
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits until everything queued is carried out and the connection is given back.
    pub(crate) async fn close(&self) {
        // An error means that the task has ended already.
        let _ = self.queue.send(Message::Close).await;
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

/// Work that waits for a place in the queue. If it is dropped there, what rests on it fails.
struct Unsent(Option<Work>);

impl Unsent {
    fn send(mut self) -> Option<Work> {
        self.0.take()
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        if let Some(work) = &self.0 {
            work.break_chain();
        }
    }
}

/// The runtime went down, or the task with a defect.
fn lost() -> StoreError {
    StoreError::OutcomeUnknown {
        source: "the store's appender ended before it answered".into(),
    }
}

/// What the appender works with.
#[derive(Debug, Clone)]
pub(crate) struct Tools {
    pub(crate) settings: Arc<Settings>,
    pub(crate) pool: Pool,
    pub(crate) session: Session,
    pub(crate) statements: Arc<Statements>,
    pub(crate) counters: Arc<Counters>,
    /// For transactions of the caller's.
    pub(crate) generation: Arc<AtomicI64>,
    pub(crate) announcer: Announcer,
    /// Tells the eraser that there may be something to erase.
    pub(crate) erasure_wanted: Arc<Notify>,
}

/// Why a step failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no connection; nothing was sent.
    NoConnection(StoreError),
    /// A statement failed.
    Statement(sqlx::Error),
    /// The requests cannot be put into a statement.
    Unsendable(StoreError),
    /// What the server answered cannot be understood.
    Reply(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConnection(error) | Self::Unsendable(error) | Self::Reply(error) => {
                error.fmt(f)
            }
            Self::Statement(error) => f.write_str(&failure::said(error)),
        }
    }
}

/// Carries out what takes the order lock: one call at a time, on one connection.
pub(crate) struct Appender {
    pub(super) tools: Tools,
    queue: mpsc::Receiver<Message>,
    closing: bool,
    pub(super) pending: Pending,
    connection: Option<PoolConnection<Postgres>>,
    pub(super) ends: StreamEnds,
    /// `None` before the first call, and when it has to be read again.
    pub(super) witness: Option<Witness>,
    /// The last event that this process knows to have been committed.
    pub(super) seen: Option<Witness>,
    /// Whether a call was sent that may still come true.
    pub(super) has_orphan: bool,
    pub(super) optimism: Optimism,
    /// How many requests the next batch takes.
    pub(super) batch_requests: usize,
    backoff: Backoff,
    last_failure: Option<String>,
    /// Dropped when the task ends.
    _running: watch::Sender<()>,
}

impl Appender {
    /// Starts the task on the current runtime.
    pub(crate) fn start(tools: Tools) -> AppenderHandle {
        let settings = &tools.settings;
        let outage_timeout = settings.outage_timeout;
        let (queue, receiver) = mpsc::channel(settings.queue_len.max(1));
        let (running_sender, running) = watch::channel(());
        let appender = Self {
            queue: receiver,
            closing: false,
            pending: Pending::default(),
            connection: None,
            ends: StreamEnds::new(settings.streams_cached),
            witness: None,
            seen: None,
            has_orphan: false,
            optimism: Optimism::default(),
            batch_requests: settings.batch_requests_max,
            backoff: Backoff::default(),
            last_failure: None,
            _running: running_sender,
            tools,
        };
        tokio::spawn(appender.run());
        AppenderHandle {
            queue,
            running,
            outage_timeout,
        }
    }

    async fn run(mut self) {
        while self.collect().await {
            self.pending
                .expire(Instant::now(), self.last_failure.as_deref());
            if self.is_idle() {
                continue;
            }
            match self.advance().await {
                Ok(()) => self.note_success(),
                Err(failure) => self.back_off(failure).await,
            }
        }
    }

    /// Takes what was queued, and waits if there is nothing to do; false when nothing will come any more.
    async fn collect(&mut self) -> bool {
        self.pending.wake(Instant::now());
        if self.is_idle() && !self.wait().await {
            return false;
        }
        while self.pending.len() < self.tools.settings.queue_len {
            match self.queue.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => break,
            }
        }
        true
    }

    /// Waits for a request, or until those that were deferred are to be tried again; false when neither will
    /// come any more.
    async fn wait(&mut self) -> bool {
        self.rest();
        let Some(wake_at) = self.pending.wake_at() else {
            let message = match self.closing {
                true => None,
                false => self.queue.recv().await,
            };
            return message.map(|message| self.take(message)).is_some();
        };
        match tokio::time::timeout_at(wake_at.into(), self.queue.recv()).await {
            Ok(Some(message)) => self.take(message),
            Ok(None) => tokio::time::sleep_until(wake_at.into()).await,
            Err(_) => {}
        }
        self.pending.wake(Instant::now());
        true
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::CarryOut(request) => self.pending.push(request),
            Message::Close => {
                self.closing = true;
                self.queue.close();
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// A connection of a pool that others use too is not kept while there is nothing to do.
    fn rest(&mut self) {
        if !self.tools.pool.is_own() {
            self.connection = None;
        }
    }

    async fn advance(&mut self) -> Result<(), Failure> {
        self.connect().await?;
        self.settle_past().await?;
        // Settling takes time.
        self.pending
            .expire(Instant::now(), self.last_failure.as_deref());
        if self.pending.next_joins_batches() {
            self.append().await
        } else if let Some(request) = self.pending.pop() {
            self.carry_out_alone(request).await
        } else {
            Ok(())
        }
    }

    async fn connect(&mut self) -> Result<(), Failure> {
        if self.connection.is_some() {
            return Ok(());
        }
        let acquire = self.tools.pool.acquire();
        let acquired = match self.pending.next_expiry() {
            Some(expiry) => tokio::time::timeout_at(expiry.into(), acquire).await,
            None => Ok(acquire.await),
        };
        let late = |_| Err(StoreError::unavailable("there was no connection in time"));
        self.connection = Some(
            acquired
                .unwrap_or_else(late)
                .map_err(Failure::NoConnection)?,
        );
        Ok(())
    }

    /// Takes note of where the log ends.
    pub(super) fn know(&mut self, witness: Witness) {
        self.witness = Some(witness);
        self.tools
            .generation
            .store(witness.generation, Ordering::Relaxed);
    }

    /// Runs a statement on the appender's connection.
    pub(super) async fn call(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let Some(mut connection) = self.connection.take() else {
            return Err(sqlx::Error::WorkerCrashed);
        };
        let result = self.tools.session.fetch(&mut connection, statement).await;
        match &result {
            Err(error) if failure::loses_connection(error) => {
                self.tools.pool.note(error, connection);
            }
            _ => self.connection = Some(connection),
        }
        result
    }

    /// Runs a statement that gives one row.
    pub(super) async fn call_for_row(
        &mut self,
        statement: Statement<'_>,
    ) -> Result<PgRow, sqlx::Error> {
        let rows = self.call(statement).await?;
        rows.into_iter().next().ok_or(sqlx::Error::RowNotFound)
    }

    pub(super) fn bounds(&self) -> BatchBounds {
        BatchBounds {
            requests: self.batch_requests,
            bytes: self.tools.settings.batch_bytes_max,
        }
    }

    pub(super) fn lock_timeout_ms(&self) -> i32 {
        self.tools.settings.order_lock_timeout_ms()
    }

    fn note_success(&mut self) {
        if self.last_failure.take().is_some() {
            self.backoff.reset();
            tracing::info!("the event store appends again");
        }
    }

    /// Waits before the next attempt, but not beyond the time at which a request is given up.
    async fn back_off(&mut self, failure: Failure) {
        self.tools.counters.failed();
        if self.last_failure.is_none() {
            tracing::warn!(%failure, "the event store cannot append; it tries again");
        }
        self.last_failure = Some(failure.to_string());
        let end = Instant::now() + self.backoff.next();
        let expiry = self.pending.next_expiry().unwrap_or(end);
        tokio::time::sleep_until(end.min(expiry).into()).await;
    }
}
