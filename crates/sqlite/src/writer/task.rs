//! The task that writes.

use std::sync::Arc;

use ordain::StoreError;
use ordain::store::{Arrivals, Refusal};
use sqlx::sqlite::SqliteConnection;

use super::batch::{self, Failure};
use super::loan::{self, Finish, Lent};
use super::queue::{self, LoanRequest, Message, Queue, WriterHandle};
use super::tell::tell;
use super::work::{self, Request, Verdict, Work};
use crate::connection;
use crate::failure::{self, Kind};
use crate::options::SqliteOptions;
use crate::stats::Counters;

pub(crate) struct Writer {
    options: SqliteOptions,
    counters: Arc<Counters>,
    arrivals: Arrivals,
    /// `None` after a failure that the connection may not have survived, and while it is lent.
    connection: Option<SqliteConnection>,
    queue: Queue,
}

/// What is done next: requests in one transaction, then a transaction of a user's.
#[derive(Default)]
struct Turn {
    requests: Vec<Request>,
    bytes: usize,
    loan: Option<LoanRequest>,
}

impl Writer {
    /// Starts the task on the current runtime.
    pub(crate) fn start(
        options: &SqliteOptions,
        connection: SqliteConnection,
        counters: Arc<Counters>,
        arrivals: Arrivals,
    ) -> WriterHandle {
        let (handle, queue) = queue::new(options);
        let writer = Self {
            options: options.clone(),
            counters,
            arrivals,
            connection: Some(connection),
            queue,
        };
        tokio::spawn(writer.run());
        handle
    }

    async fn run(mut self) {
        while let Some(turn) = self.collect().await {
            self.carry_out(turn.requests).await;
            if let Some(request) = turn.loan {
                self.lend(request).await;
            }
        }
        connection::checkpoint(&self.options).await;
        if let Some(connection) = self.connection.take() {
            connection::close(connection).await;
        }
    }

    /// Everything that waits, up to the bounds; `None` when nothing will come any more.
    async fn collect(&mut self) -> Option<Turn> {
        let mut turn = Turn::default();
        let mut message = Some(self.queue.next().await?);
        while let Some(next) = message {
            match next {
                Message::Close => self.queue.close(),
                Message::Carry(request) => turn.add(request),
                Message::Lend(request) => turn.loan = Some(request),
            }
            if turn.is_full(&self.options) {
                break;
            }
            message = self.queue.try_next();
        }
        Some(turn)
    }

    async fn carry_out(&mut self, requests: Vec<Request>) {
        if requests.is_empty() {
            return;
        }
        let works: Vec<_> = requests.iter().map(|request| &request.work).collect();
        match self.attempt(&works).await {
            Ok(verdicts) => {
                let erased = self.committed(&works, &verdicts);
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
                let verdicts = self.refuse(&failure, requests.len()).await;
                reply(requests, verdicts);
            }
        }
    }

    /// Takes note of what was committed; whether streams were erased.
    fn committed(&self, works: &[&Work], verdicts: &[Verdict]) -> bool {
        let accepted = verdicts.iter().filter(|verdict| verdict.is_ok()).count();
        self.counters.committed(accepted);
        tell(&self.arrivals, works, verdicts);
        batch::erases(works, verdicts)
    }

    /// Carries out the requests in one transaction; after an error none is open any more.
    async fn attempt(&mut self, works: &[&Work]) -> Result<Vec<Verdict>, Failure> {
        let mut connection = self.connect().await?;
        let result = batch::transact(&mut connection, works, &self.options).await;
        self.keep(connection, result.is_ok()).await;
        result
    }

    async fn connect(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => connection::connect_writer(&self.options, false).await,
        }
    }

    /// Keeps the connection for what comes next, after it has ended its transaction.
    async fn keep(&mut self, mut connection: SqliteConnection, ended: bool) {
        if ended || batch::roll_back(&mut connection).await {
            self.connection = Some(connection);
        } else {
            connection::close(connection).await;
        }
    }

    /// Lends the connection for a transaction, and waits until that is over.
    async fn lend(&mut self, request: LoanRequest) {
        if request.reply.is_closed() {
            return;
        }
        let (lent, loan) = match self.begin().await {
            Ok(both) => both,
            Err(error) => {
                let refused = self.refuse(&error.into(), 1).await;
                let refused = refused.into_iter().find_map(Result::err);
                // Nobody listens if the future was dropped.
                let _ = request.reply.send(Err(refused.unwrap_or_else(queue::lost)));
                return;
            }
        };
        self.queue.holder.set(request.task);
        // A loan that nobody takes is dropped, and so ends at once.
        let _ = request.reply.send(Ok(loan));
        self.wait_for(lent).await;
        self.queue.holder.set(None);
    }

    async fn begin(&mut self) -> Result<(Lent, loan::Loan), sqlx::Error> {
        let mut connection = self.connect().await?;
        if let Err(error) = batch::begin(&mut connection).await {
            self.keep(connection, false).await;
            return Err(error);
        }
        loan::lend(connection, self.options.transaction_timeout).await
    }

    async fn wait_for(&mut self, mut lent: Lent) {
        let finish = lent.ended().await;
        let connection = lent.take_back().await;
        match (finish, lent.refusal(), connection) {
            (None, refusal, Some(connection)) => self.keep(connection, refusal.is_some()).await,
            (None, _, None) => {}
            (Some(finish), None, Some(connection)) => self.finish(connection, finish).await,
            (Some(finish), Some(refusal), connection) => {
                self.connection = connection;
                finish.answer(Err(refusal));
            }
            (Some(finish), None, None) => finish.answer(Err(crashed())),
        }
    }

    /// Carries out what ends a transaction, and commits or undoes it.
    async fn finish(&mut self, mut connection: SqliteConnection, finish: Finish) {
        let Some(works) = &finish.works else {
            self.keep(connection, false).await;
            return finish.answer(Ok(Vec::new()));
        };
        let works: Vec<_> = works.iter().collect();
        let result = batch::finish(&mut connection, &works, &self.options).await;
        self.keep(connection, result.is_ok()).await;
        let answer = match result {
            Ok(verdicts) => {
                if verdicts.iter().all(work::holds) {
                    self.committed(&works, &verdicts);
                }
                verdicts.into_iter().collect()
            }
            Err(failure) => Err(self.refuse_finish(&failure).await),
        };
        finish.answer(answer);
    }

    /// What the user of a transaction is told of its failure: a violated constraint is mostly its own.
    async fn refuse_finish(&mut self, failure: &Failure) -> StoreError {
        if let Failure::Statement(error) | Failure::Commit(error) = failure
            && failure::kind(error) == Kind::Data
        {
            let source = error.to_string().into();
            return Refusal::Unstorable { source }.into();
        }
        let verdicts = self.refuse(failure, 1).await;
        let refused = verdicts.into_iter().find_map(Result::err);
        refused.unwrap_or_else(queue::lost)
    }

    /// What requests of a failed transaction are told.
    async fn refuse(&mut self, failure: &Failure, count: usize) -> Vec<Verdict> {
        self.counters.failed();
        tracing::warn!(?failure, requests = count, "a write failed");
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

/// The connection's thread is gone, and with it the transaction.
fn crashed() -> StoreError {
    failure::store_error(&sqlx::Error::WorkerCrashed)
}

impl Turn {
    fn add(&mut self, request: Request) {
        if request.reply.is_closed() {
            return request.work.break_chain();
        }
        self.bytes += request.work.bytes();
        self.requests.push(request);
    }

    fn is_full(&self, options: &SqliteOptions) -> bool {
        self.loan.is_some()
            || self.requests.len() >= options.batch_requests_max.max(1)
            || self.bytes >= options.batch_bytes_max
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
