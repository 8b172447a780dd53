//! The task, and how requests reach it.

use std::sync::Arc;

use ordain::StoreError;
use sqlx::sqlite::SqliteConnection;
use tokio::sync::{mpsc, oneshot, watch};

use super::batch::{self, Failure};
use super::work::{Answer, Request, Verdict, Work};
use crate::connection;
use crate::options::SqliteOptions;
use crate::stats::Counters;

enum Message {
    Carry(Request),
    Close,
}

/// The way to the writer. The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    queue: mpsc::Sender<Message>,
    /// Closed when the task has ended.
    running: watch::Receiver<()>,
}

impl WriterHandle {
    /// Has a request carried out.
    ///
    /// Requests are taken up in the order in which these futures were first polled. A dropped future
    /// leaves its request carried out or not.
    pub(crate) async fn carry_out(&self, work: Work) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let unsent = Unsent(Some(work));
        let place = self.queue.reserve().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        if let Some(work) = unsent.send() {
            place.send(Message::Carry(Request { work, reply }));
        }
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits until everything queued is carried out and the connection is closed.
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
        source: "the store's writer ended before it answered".into(),
    }
}

pub(crate) struct Writer {
    options: SqliteOptions,
    counters: Arc<Counters>,
    /// `None` after a failure that the connection may not have survived.
    connection: Option<SqliteConnection>,
    queue: mpsc::Receiver<Message>,
    /// Dropped when the task ends.
    _running: watch::Sender<()>,
}

impl Writer {
    /// Starts the task on the current runtime.
    pub(crate) fn start(
        options: &SqliteOptions,
        connection: SqliteConnection,
        counters: Arc<Counters>,
    ) -> WriterHandle {
        let (queue, receiver) = mpsc::channel(options.queue_len.max(1));
        let (running_sender, running) = watch::channel(());
        let writer = Self {
            options: options.clone(),
            counters,
            connection: Some(connection),
            queue: receiver,
            _running: running_sender,
        };
        tokio::spawn(writer.run());
        WriterHandle { queue, running }
    }

    async fn run(mut self) {
        while let Some(requests) = self.collect().await {
            self.carry_out(requests).await;
        }
        connection::checkpoint(&self.options).await;
        if let Some(connection) = self.connection.take() {
            connection::close(connection).await;
        }
    }

    /// Everything that waits, up to the bounds; `None` when nothing will come any more.
    async fn collect(&mut self) -> Option<Vec<Request>> {
        let mut requests = Vec::new();
        let mut bytes = 0;
        let mut message = Some(self.queue.recv().await?);
        while let Some(next) = message {
            match next {
                Message::Close => self.queue.close(),
                Message::Carry(request) if request.reply.is_closed() => request.work.break_chain(),
                Message::Carry(request) => {
                    bytes += request.work.bytes();
                    requests.push(request);
                }
            }
            if requests.len() >= self.options.batch_requests_max.max(1)
                || bytes >= self.options.batch_bytes_max
            {
                break;
            }
            message = self.queue.try_recv().ok();
        }
        Some(requests)
    }

    async fn carry_out(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        match self.attempt(&requests).await {
            Ok(verdicts) => {
                let accepted = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
                self.counters.committed(accepted);
                let erased = batch::erases(&requests, &verdicts);
                reply(requests, verdicts);
                if erased {
                    // What was erased stands in the write-ahead log too.
                    connection::checkpoint(&self.options).await;
                }
            }
            Err(failure) if requests.len() > 1 && failure.is_for_one() => {
                for request in requests {
                    Box::pin(self.carry_out(vec![request])).await;
                }
            }
            Err(failure) => {
                self.counters.failed();
                tracing::warn!(?failure, requests = requests.len(), "a write failed");
                let verdicts = self.refuse(&failure, requests.len()).await;
                reply(requests, verdicts);
            }
        }
    }

    /// Carries out the requests in one transaction; after an error none is open any more.
    async fn attempt(&mut self, requests: &[Request]) -> Result<Vec<Verdict>, Failure> {
        let mut connection = self.connect().await?;
        let result = batch::transact(&mut connection, requests, &self.options).await;
        if result.is_ok() || batch::roll_back(&mut connection).await {
            self.connection = Some(connection);
        } else {
            connection::close(connection).await;
        }
        result
    }

    async fn connect(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => connection::connect_writer(&self.options, false).await,
        }
    }

    /// What requests of a failed transaction are told.
    async fn refuse(&mut self, failure: &Failure, count: usize) -> Vec<Verdict> {
        let is_known = !failure.is_open() || self.settle().await;
        let verdict = || match failure {
            _ if is_known => Err(failure.to_error()),
            failure => Err(StoreError::OutcomeUnknown {
                source: failure.to_error().into(),
            }),
        };
        (0..count).map(|_| verdict()).collect()
    }

    /// Whether what a failed COMMIT left behind is out of the world.
    async fn settle(&mut self) -> bool {
        let Some(mut connection) = self.connection.take() else {
            return false;
        };
        let settled = batch::settle(&mut connection).await.is_ok();
        if settled || batch::roll_back(&mut connection).await {
            self.connection = Some(connection);
        }
        settled
    }
}

fn reply(requests: Vec<Request>, verdicts: Vec<Verdict>) {
    for (request, verdict) in requests.into_iter().zip(verdicts) {
        if verdict.is_err() {
            request.work.break_chain();
        }
        // Nobody listens if the future was dropped.
        let _ = request.reply.send(verdict);
    }
}
