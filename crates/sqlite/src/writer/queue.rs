//! How requests reach the writer.

use std::sync::{Arc, Mutex, PoisonError};

use ordain::StoreError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task;

use super::loan::Loan;
use super::work::{Answer, Request, Work};
use crate::options::SqliteOptions;

pub(super) enum Message {
    Carry(Request),
    Lend(LoanRequest),
    Close,
}

/// A transaction of the user's, on its way to the writer.
pub(super) struct LoanRequest {
    pub(super) reply: oneshot::Sender<Result<Loan, StoreError>>,
    /// The task that asks for it.
    pub(super) task: Option<task::Id>,
}

/// The way to the writer. The task ends when this is dropped.
#[derive(Debug)]
pub(crate) struct WriterHandle {
    queue: mpsc::Sender<Message>,
    urgent: mpsc::Sender<Message>,
    holder: Arc<Holder>,
    /// Closed when the task has ended.
    running: watch::Receiver<()>,
}

/// The other end.
pub(super) struct Queue {
    queue: mpsc::Receiver<Message>,
    urgent: mpsc::Receiver<Message>,
    pub(super) holder: Arc<Holder>,
    /// Dropped when the task ends.
    _running: watch::Sender<()>,
}

/// The task that has a transaction open.
#[derive(Debug, Default)]
pub(super) struct Holder(Mutex<Option<task::Id>>);

pub(super) fn new(options: &SqliteOptions) -> (WriterHandle, Queue) {
    let len = options.queue_len.max(1);
    let (queue, queue_receiver) = mpsc::channel(len);
    let (urgent, urgent_receiver) = mpsc::channel(len);
    let (running_sender, running) = watch::channel(());
    let holder = Arc::<Holder>::default();
    let receiver = Queue {
        queue: queue_receiver,
        urgent: urgent_receiver,
        holder: Arc::clone(&holder),
        _running: running_sender,
    };
    let handle = WriterHandle {
        queue,
        urgent,
        holder,
        running,
    };
    (handle, receiver)
}

impl WriterHandle {
    /// Has a request carried out.
    ///
    /// Requests are taken up in the order in which these futures were first polled, but urgent ones
    /// first. A dropped future leaves its request carried out or not.
    pub(crate) async fn carry_out(&self, work: Work) -> Result<Answer, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = if work.is_urgent() {
            &self.urgent
        } else {
            &self.queue
        };
        let unsent = Unsent(Some(work));
        let place = queue.reserve().await;
        let place = place.map_err(|_| StoreError::Closed)?;
        if let Some(work) = unsent.send() {
            place.send(Message::Carry(Request { work, reply }));
        }
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// Waits for its turn, and has the connection lent for a transaction.
    pub(crate) async fn borrow(&self) -> Result<Loan, StoreError> {
        let (reply, answer) = oneshot::channel();
        let task = task::try_id();
        let request = Message::Lend(LoanRequest { reply, task });
        let sent = self.queue.send(request).await;
        sent.map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Whether this very task has a transaction open, so that it would wait for itself.
    pub(crate) fn would_deadlock(&self) -> bool {
        let task = task::try_id();
        task.is_some() && self.holder.get() == task
    }

    /// Waits until everything queued is carried out and the connection is closed.
    pub(crate) async fn close(&self) {
        // An error means that the task has ended already.
        let _ = self.queue.send(Message::Close).await;
        let mut running = self.running.clone();
        while running.changed().await.is_ok() {}
    }
}

impl Queue {
    /// What comes next, the urgent first; `None` when nothing will come any more.
    pub(super) async fn next(&mut self) -> Option<Message> {
        tokio::select! {
            biased;
            Some(message) = self.urgent.recv() => Some(message),
            message = self.queue.recv() => message,
        }
    }

    /// What is there already.
    pub(super) fn try_next(&mut self) -> Option<Message> {
        let urgent = self.urgent.try_recv();
        urgent.or_else(|_| self.queue.try_recv()).ok()
    }

    /// Takes in nothing more.
    pub(super) fn close(&mut self) {
        self.queue.close();
        self.urgent.close();
    }
}

impl Holder {
    pub(super) fn set(&self, task: Option<task::Id>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = task;
    }

    fn get(&self) -> Option<task::Id> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
pub(super) fn lost() -> StoreError {
    StoreError::OutcomeUnknown {
        source: "the store's writer ended before it answered".into(),
    }
}
