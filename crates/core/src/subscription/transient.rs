//! Following the log without remembering where one stands.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::feed::Feed;
use super::hub::Hub;
use super::options::StartFrom;
use crate::store::Filter;
use crate::{GlobalPosition, RecordedEvent, StoreError};

/// How many positions a read examines.
const PAGE: u32 = 1_000;

/// How to follow the log without remembering where one stands.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Follow {
    /// Where to begin; with what comes after it is called.
    pub start_from: StartFrom,
    /// Which events are wanted; all.
    pub filter: Filter,
    /// How many events may wait to be taken; 1,000. Beyond that the reader is slow.
    pub buffer: usize,
    /// What becomes of a slow reader.
    pub when_slow: WhenSlow,
}

/// What becomes of a reader that does not take events as fast as they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum WhenSlow {
    /// It gets all of them, as late as it takes them.
    #[default]
    Wait,
    /// Once it has caught up, it is told with [`FollowError::Lagging`], and gets no more.
    End,
}

impl Default for Follow {
    fn default() -> Self {
        Self {
            start_from: StartFrom::Current,
            filter: Filter::all(),
            buffer: 1_000,
            when_slow: WhenSlow::Wait,
        }
    }
}

impl Follow {
    /// From now on, all events.
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins here.
    #[must_use]
    pub fn start_from(mut self, start_from: StartFrom) -> Self {
        self.start_from = start_from;
        self
    }

    /// Wants only these events.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Lets so many events wait to be taken.
    #[must_use]
    pub fn buffer(mut self, buffer: usize) -> Self {
        self.buffer = buffer;
        self
    }

    /// Says what becomes of a slow reader.
    #[must_use]
    pub fn when_slow(mut self, when_slow: WhenSlow) -> Self {
        self.when_slow = when_slow;
        self
    }
}

/// Why following the log ended, or failed for once.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// The reader was too slow; follow again from the last position to go on.
    #[error("the reader is too slow; follow again from position {position} to go on")]
    Lagging {
        /// The position of the last event given out.
        position: GlobalPosition,
    },
    /// The store cannot work at the moment. It is tried again: keep on taking. Where the log ends before the place that
    /// was come to, or begun at, nothing comes after this.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The events of the log, in order: those before, then those that come. Dropped, it ends.
pub struct Events {
    events: mpsc::Receiver<Result<RecordedEvent, FollowError>>,
    _task: AbortOnDropHandle<()>,
}

impl Events {
    /// Follows the log; what comes after the call is not missed.
    pub(crate) async fn follow(hub: &Arc<Hub>, follow: Follow) -> Result<Self, StoreError> {
        let position = match follow.start_from {
            StartFrom::Origin => GlobalPosition::ORIGIN,
            StartFrom::Current => hub.store.head().await?,
            StartFrom::Position(position) => position,
        };
        let (sender, events) = mpsc::channel(follow.buffer.clamp(1, Semaphore::MAX_PERMITS));
        let feed = Feed::new(
            hub.events(),
            hub.tail.clone(),
            follow.filter,
            PAGE,
            position,
        );
        let giving = Giving {
            feed,
            sender,
            when_slow: follow.when_slow,
            position,
        };
        Ok(Self {
            events,
            _task: AbortOnDropHandle::new(hub.spawn(giving.run())),
        })
    }

    /// The next event; `None` when the app has stopped, after [`FollowError::Lagging`], or when the log has become
    /// shorter than what was given out, as after a restore. Cancel-safe.
    ///
    /// # Errors
    /// If the reader was too slow, or the store cannot work at the moment.
    pub async fn next(&mut self) -> Option<Result<RecordedEvent, FollowError>> {
        self.events.recv().await
    }
}

impl Stream for Events {
    type Item = Result<RecordedEvent, FollowError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.events.poll_recv(context)
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("waiting", &self.events.len())
            .finish_non_exhaustive()
    }
}

/// Gives out events to one reader.
struct Giving {
    feed: Feed,
    sender: mpsc::Sender<Result<RecordedEvent, FollowError>>,
    when_slow: WhenSlow,
    position: GlobalPosition,
}

impl Giving {
    async fn run(mut self) {
        loop {
            let given = match self.feed.next().await {
                Ok(Some(chunk)) => self.give(chunk.events).await,
                Ok(None) => return,
                Err(error) => self.sender.send(Err(error.into())).await.is_ok(),
            };
            if !given {
                return;
            }
        }
    }

    /// Gives out events; `false` when there is nobody to give more to.
    async fn give(&mut self, events: Vec<RecordedEvent>) -> bool {
        for event in events {
            let must_keep_up = self.when_slow == WhenSlow::End && self.feed.is_live();
            if must_keep_up && self.sender.capacity() == 0 {
                let position = self.position;
                // It is told after what waits.
                let _ = self
                    .sender
                    .send(Err(FollowError::Lagging { position }))
                    .await;
                return false;
            }
            self.position = event.read_position();
            if self.sender.send(Ok(event)).await.is_err() {
                return false;
            }
        }
        true
    }
}
