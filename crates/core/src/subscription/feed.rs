//! The events of a subscription, in order: by pages while it catches up, then live.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use tokio::task::JoinHandle;
use tokio_util::task::AbortOnDropHandle;

use super::tail::{Joined, Live, LiveBatch, TailHandle};
use crate::retry::Backoff;
use crate::store::{EventStore, Filter, LogPage, ReadAll};
use crate::{GlobalPosition, RecordedEvent, StoreError};

/// Some of the log.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// The events wanted.
    pub(crate) events: Vec<RecordedEvent>,
    /// Up to here the log was looked at.
    pub(crate) to: GlobalPosition,
}

/// The events of a subscription, in order, without end.
pub(crate) struct Feed {
    store: Arc<dyn EventStore>,
    tail: TailHandle,
    filter: Filter,
    page: u32,
    /// Up to here everything was given out.
    position: GlobalPosition,
    state: State,
    /// Failed reads in a row.
    failures: u32,
}

enum State {
    /// Reads pages; the next may be under way.
    Paging(Option<Reading>),
    /// Asks the tail to be let in.
    Joining(AbortOnDropHandle<Result<Entry, StoreError>>),
    /// Was let in; what lies before is still read.
    Closing(Live, GlobalPosition, Option<Reading>),
    Live(Live),
    /// The tail is gone, or the log has become shorter.
    Ended,
}

/// What comes of asking the tail to be let in.
enum Entry {
    In(Joined),
    /// The tail is gone.
    Gone,
    /// The log has become shorter than what was given out of it, and ends here.
    Shorter(GlobalPosition),
}

type Reading = AbortOnDropHandle<Result<LogPage, StoreError>>;

impl Feed {
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(50),
        longest: Duration::from_secs(2),
        factor: 2.0,
        jitter: 0.2,
    };

    /// What comes after this position.
    pub(crate) fn new(
        store: Arc<dyn EventStore>,
        tail: TailHandle,
        filter: Filter,
        page: u32,
        position: GlobalPosition,
    ) -> Self {
        Self {
            store,
            tail,
            filter,
            page,
            position,
            state: State::Paging(None),
            failures: 0,
        }
    }

    /// Whether it keeps up with the log.
    pub(crate) fn is_live(&self) -> bool {
        matches!(self.state, State::Live(_))
    }

    /// What is ready to be given out without waiting.
    pub(crate) fn ready(&mut self) -> Option<Chunk> {
        self.next().now_or_never()?.ok()?
    }

    /// What comes next: not always events, but always further; `None` when the tail has ended, or the log has become
    /// shorter than what was given out. Cancel-safe.
    ///
    /// # Errors
    /// What the store says. The next call waits a little and tries again. And, once, that the log has become shorter.
    pub(crate) async fn next(&mut self) -> Result<Option<Chunk>, StoreError> {
        loop {
            let chunk = match &mut self.state {
                State::Paging(_) => self.page().await?,
                State::Joining(joining) => {
                    let entry = completed(joining.await);
                    self.let_in(entry)?;
                    None
                }
                State::Closing(..) => self.close_in().await?,
                State::Live(live) => match live.recv().await {
                    Some(batch) => self.take(&batch),
                    None => {
                        self.state = State::Paging(None);
                        None
                    }
                },
                State::Ended => return Ok(None),
            };
            if chunk.is_some() {
                return Ok(chunk);
            }
        }
    }

    async fn page(&mut self) -> Result<Option<Chunk>, StoreError> {
        let State::Paging(under_way) = &mut self.state else {
            return Ok(None);
        };
        let reading = match under_way {
            Some(reading) => reading,
            None => under_way.insert(read(
                &self.store,
                &self.filter,
                self.page,
                self.position,
                self.failures,
            )),
        };
        let page = completed(reading.await);
        let page = self.note(page)?;
        self.state = if page.at_end {
            let position = self.position.max(page.examined);
            let joining = join(Arc::clone(&self.store), self.tail.clone(), position);
            State::Joining(own(tokio::spawn(joining)))
        } else {
            let next = read(&self.store, &self.filter, self.page, page.examined, 0);
            State::Paging(Some(next))
        };
        Ok(self.give(page))
    }

    fn let_in(&mut self, entry: Result<Entry, StoreError>) -> Result<(), StoreError> {
        self.state = match entry {
            Ok(Entry::In(Joined { from, live })) if from <= self.position => State::Live(live),
            Ok(Entry::In(Joined { from, live })) => State::Closing(live, from, None),
            Ok(Entry::Gone) => State::Ended,
            Ok(Entry::Shorter(head)) => {
                self.state = State::Ended;
                return Err(StoreError::internal(format!(
                    "the store went backwards: a reader had come to position {}, and the log ends at {head}",
                    self.position
                )));
            }
            Err(error) => {
                self.page_after_a_pause();
                return Err(error);
            }
        };
        Ok(())
    }

    fn page_after_a_pause(&mut self) {
        self.failures = self.failures.saturating_add(1);
        self.state = State::Paging(None);
    }

    /// Reads what lies before the place where the tail let it in.
    async fn close_in(&mut self) -> Result<Option<Chunk>, StoreError> {
        let State::Closing(_, from, under_way) = &mut self.state else {
            return Ok(None);
        };
        let from = *from;
        let reading = match under_way {
            Some(reading) => reading,
            None => under_way.insert(read(
                &self.store,
                &self.filter,
                self.page,
                self.position,
                self.failures,
            )),
        };
        let page = completed(reading.await);
        if let State::Closing(_, _, under_way) = &mut self.state {
            *under_way = None;
        }
        let page = self.note(page)?;
        let chunk = self.give(page);
        if chunk.is_none() {
            // The place where it was let in is not there, or not yet.
            self.page_after_a_pause();
        } else if self.position >= from
            && let State::Closing(live, ..) = std::mem::replace(&mut self.state, State::Ended)
        {
            self.state = State::Live(live);
        }
        Ok(chunk)
    }

    fn note(&mut self, page: Result<LogPage, StoreError>) -> Result<LogPage, StoreError> {
        match page {
            Ok(page) => {
                self.failures = 0;
                Ok(page)
            }
            Err(error) => {
                self.failures = self.failures.saturating_add(1);
                if let State::Paging(under_way) = &mut self.state {
                    *under_way = None;
                }
                Err(error)
            }
        }
    }

    fn give(&mut self, page: LogPage) -> Option<Chunk> {
        if page.examined <= self.position {
            return None;
        }
        self.position = page.examined;
        Some(Chunk {
            events: page.events,
            to: page.examined,
        })
    }

    /// Takes what the tail passes on, as far as it is new.
    fn take(&mut self, batch: &LiveBatch) -> Option<Chunk> {
        if batch.to <= self.position {
            return None;
        }
        if batch.after > self.position {
            self.state = State::Paging(None);
            return None;
        }
        let position = self.position;
        let is_new = |event: &&RecordedEvent| event.read_position() > position;
        let events = batch
            .events
            .iter()
            .filter(is_new)
            .filter(|event| self.filter.accepts(event));
        let chunk = Chunk {
            events: events.cloned().collect(),
            to: batch.to,
        };
        self.position = batch.to;
        Some(chunk)
    }
}

/// Asks the tail to be let in. It may be behind a reader that has come to here; the log may not.
async fn join(
    store: Arc<dyn EventStore>,
    tail: TailHandle,
    position: GlobalPosition,
) -> Result<Entry, StoreError> {
    let Some(joined) = tail.join().await else {
        return Ok(Entry::Gone);
    };
    if joined.from < position {
        let head = store.head().await?;
        if head < position {
            return Ok(Entry::Shorter(head));
        }
    }
    Ok(Entry::In(joined))
}

/// Reads a page in a task, so that it goes on while the page before is handled.
fn read(
    store: &Arc<dyn EventStore>,
    filter: &Filter,
    page: u32,
    after: GlobalPosition,
    failures: u32,
) -> Reading {
    let store = Arc::clone(store);
    let read = ReadAll::forward()
        .after(after)
        .limit(page)
        .filter(filter.clone());
    own(tokio::spawn(async move {
        if failures > 0 {
            tokio::time::sleep(Feed::BACKOFF.pause(failures)).await;
        }
        store.read_all(read).await
    }))
}

fn own<T>(task: JoinHandle<T>) -> AbortOnDropHandle<T> {
    AbortOnDropHandle::new(task)
}

fn completed<T>(
    joined: Result<Result<T, StoreError>, tokio::task::JoinError>,
) -> Result<T, StoreError> {
    joined.unwrap_or_else(|error| Err(StoreError::unavailable(error)))
}
