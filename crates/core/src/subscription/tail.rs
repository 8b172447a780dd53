//! The end of the log, read once for all who follow it live.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::aggregate::instance::panic_message;
use crate::retry::Backoff;
use crate::store::{Arrival, EventStore, Filter, Follower, ReadAll};
use crate::{GlobalPosition, RecordedEvent};

/// How many batches a listener may be behind; then it goes back to reading by itself.
const BATCHES_BEHIND: usize = 64;

/// How many batches that came too early are kept.
const BATCHES_AHEAD: usize = 64;

/// How many listeners may ask to be let in at once.
const JOINS_WAITING: usize = 64;

/// What the log has come to.
#[derive(Debug, Clone)]
pub(crate) struct LiveBatch {
    /// Where the batch before it ended.
    pub(crate) after: GlobalPosition,
    /// Where it ends itself: all between was looked at.
    pub(crate) to: GlobalPosition,
    pub(crate) events: Arc<[RecordedEvent]>,
}

/// What a listener hears. It ends when the listener has fallen behind, or the tail is gone.
pub(crate) type Live = mpsc::Receiver<LiveBatch>;

/// The way to the tail. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TailHandle {
    joins: mpsc::Sender<Join>,
}

type Join = oneshot::Sender<Joined>;

/// A listener that was let in.
pub(crate) struct Joined {
    /// What is beyond this is heard.
    pub(crate) from: GlobalPosition,
    pub(crate) live: Live,
}

/// How the tail reads.
#[derive(Debug, Clone)]
pub(crate) struct TailOptions {
    /// How often it looks by itself.
    pub(crate) poll: Duration,
    /// How many positions a read examines.
    pub(crate) page: u32,
}

impl TailHandle {
    /// The tail, and what is to run it.
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        options: TailOptions,
        stopping: CancellationToken,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (joins, waiting) = mpsc::channel(JOINS_WAITING);
        let mut tail = Tail {
            store,
            options,
            joins: waiting,
            position: GlobalPosition::ORIGIN,
            compared_at: Instant::now(),
            early: BTreeMap::new(),
            listeners: Vec::new(),
        };
        let run = async move {
            stopping.run_until_cancelled(tail.run_after_panics()).await;
        };
        (Self { joins }, run)
    }

    /// Listens from where the tail is; `None` when it has ended. Cancel-safe.
    pub(crate) async fn join(&self) -> Option<Joined> {
        let (join, joined) = oneshot::channel();
        self.joins.send(join).await.ok()?;
        joined.await.ok()
    }
}

/// Follows the end of the log while somebody listens.
struct Tail {
    store: Arc<dyn EventStore>,
    options: TailOptions,
    joins: mpsc::Receiver<Join>,
    /// Up to here everything was passed on.
    position: GlobalPosition,
    /// When that was last compared with the end of the log.
    compared_at: Instant,
    /// What was handed over and does not follow yet, by its first position.
    early: BTreeMap<GlobalPosition, Arc<[RecordedEvent]>>,
    listeners: Vec<mpsc::Sender<LiveBatch>>,
}

enum Heard {
    Arrival(Option<Arrival>),
    Join(Option<Join>),
    Time,
}

impl Tail {
    /// A store that panics leaves listeners that have fallen behind, and no more.
    async fn run_after_panics(&mut self) {
        while let Err(panic) = AssertUnwindSafe(self.run()).catch_unwind().await {
            let panic = panic_message(&*panic);
            tracing::error!(
                panic,
                "following the end of the log panicked; it begins again"
            );
            self.listeners.clear();
            self.early.clear();
            tokio::time::sleep(self.options.poll).await;
        }
    }

    async fn run(&mut self) {
        while let Some(join) = self.joins.recv().await {
            if join.is_closed() {
                continue;
            }
            let mut follower = self.store.arrivals().map(|arrivals| arrivals.follow());
            self.find_end().await;
            self.let_in(join);
            self.follow(&mut follower).await;
            self.early.clear();
        }
    }

    /// Begins at the end of the log.
    async fn find_end(&mut self) {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        for attempt in 1.. {
            match self.store.head().await {
                Ok(head) => {
                    self.position = head;
                    self.compared_at = Instant::now();
                    return;
                }
                Err(error) => {
                    tracing::debug!(%error, "the end of the log cannot be read");
                    tokio::time::sleep(backoff.pause(attempt)).await;
                }
            }
        }
    }

    /// Passes on what comes until nobody listens any more.
    async fn follow(&mut self, follower: &mut Option<Follower>) {
        while !self.listeners.is_empty() {
            let before = self.position;
            match self.hear(follower).await {
                Heard::Arrival(Some(Arrival::Events(events))) => self.take(events).await,
                Heard::Arrival(Some(Arrival::Unknown)) | Heard::Time => self.catch_up().await,
                Heard::Arrival(None) => *follower = None,
                Heard::Join(Some(join)) => self.let_in(join),
                Heard::Join(None) => return,
            }
            self.listeners.retain(|listener| !listener.is_closed());
            if self.position == before && self.is_beyond_the_end().await {
                self.listeners.clear();
            }
        }
    }

    /// Whether the log has become shorter, as after a restore: then the end has to be found anew. It is looked at no
    /// more often than the log is polled.
    async fn is_beyond_the_end(&mut self) -> bool {
        if self.compared_at.elapsed() < self.options.poll {
            return false;
        }
        self.compared_at = Instant::now();
        match self.store.head().await {
            Ok(head) if head < self.position => {
                tracing::warn!(position = %self.position, %head, "the store went backwards; its end is followed from where it is now");
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, "the end of the log cannot be read; it is tried again");
                false
            }
        }
    }

    async fn hear(&mut self, follower: &mut Option<Follower>) -> Heard {
        let arrival = async {
            match follower {
                Some(follower) => follower.next().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            arrival = arrival => Heard::Arrival(arrival),
            join = self.joins.recv() => Heard::Join(join),
            () = tokio::time::sleep(self.options.poll) => Heard::Time,
        }
    }

    fn let_in(&mut self, join: Join) {
        let (listener, live) = mpsc::channel(BATCHES_BEHIND);
        let from = self.position;
        if join.send(Joined { from, live }).is_ok() {
            self.listeners.push(listener);
        }
    }

    /// Takes events that were handed over: passes them on if they follow, and reads what is missing
    /// before them otherwise.
    async fn take(&mut self, events: Arc<[RecordedEvent]>) {
        let Some(first) = events.first() else { return };
        if self.early.len() < BATCHES_AHEAD {
            self.early.insert(first.position, events);
        }
        self.pass_on_early();
        if !self.early.is_empty() {
            self.catch_up().await;
        }
    }

    fn pass_on_early(&mut self) {
        while let Some(entry) = self.early.first_entry()
            && *entry.key() <= self.position.next()
        {
            let events = entry.remove();
            self.pass_on_if_next(&events);
        }
    }

    /// Passes on what lies beyond the position, if nothing is missing before it.
    fn pass_on_if_next(&mut self, events: &Arc<[RecordedEvent]>) {
        let (Some(first), Some(last)) = (events.first(), events.last()) else {
            return;
        };
        if first.position > self.position.next() || last.position <= self.position {
            return;
        }
        let (after, to) = (self.position, last.position);
        self.pass_on(LiveBatch {
            after,
            to,
            events: Arc::clone(events),
        });
    }

    /// Reads what has come, to the end.
    async fn catch_up(&mut self) {
        loop {
            let read = ReadAll::forward()
                .after(self.position)
                .limit(self.limit())
                .filter(Filter::all().with_links());
            let page = match self.store.read_all(read).await {
                Ok(page) => page,
                Err(error) => {
                    tracing::debug!(%error, "the end of the log cannot be read; it is tried again");
                    return;
                }
            };
            let (after, to) = (self.position, page.examined);
            if to > after {
                let events = page.events.into();
                self.pass_on(LiveBatch { after, to, events });
            }
            self.pass_on_early();
            if to == after || page.at_end && self.early.is_empty() {
                return;
            }
        }
    }

    /// How many positions to read: no further than to what was handed over already.
    fn limit(&self) -> u32 {
        let Some((first, _)) = self.early.first_key_value() else {
            return self.options.page;
        };
        let missing = first.get().saturating_sub(self.position.get() + 1);
        u32::try_from(missing).map_or(self.options.page, |missing| missing.min(self.options.page))
    }

    fn pass_on(&mut self, batch: LiveBatch) {
        self.position = batch.to;
        // A listener without room has fallen behind: it is left out, which it notices.
        self.listeners
            .retain(|listener| listener.try_send(batch.clone()).is_ok());
    }
}
