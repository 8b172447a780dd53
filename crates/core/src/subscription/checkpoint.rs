//! How far a partition has come, and how much of that is written down.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::hub::{Hub, Partition};
use super::lease::Held;
use super::options::SubscriptionOptions;
use crate::GlobalPosition;
use crate::clock::instant_after;
use crate::retry::Backoff;
use crate::store::{Change, Committed, Progress, Requirement};

/// The partition has another owner, or is to be given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost;

/// How far a partition has come, and how much of that is written down.
pub(crate) struct Checkpoint {
    hub: Arc<Hub>,
    held: Held,
    every: u64,
    after: Duration,
    written: GlobalPosition,
    reached: GlobalPosition,
    /// Events handled since it was written.
    handled: u64,
    /// Since when something waits to be written.
    waiting_since: Option<Instant>,
    written_at: Option<Instant>,
}

impl Checkpoint {
    const BACKOFF: Backoff = Backoff {
        first: Duration::from_millis(50),
        longest: Duration::from_secs(2),
        factor: 2.0,
        jitter: 0.2,
    };

    pub(crate) fn new(partition: &Partition, options: &SubscriptionOptions) -> Self {
        let position = partition.held.lease.position;
        Self {
            hub: Arc::clone(&partition.hub),
            held: partition.held.clone(),
            every: options.checkpoint_every,
            after: options.checkpoint_after,
            written: position,
            reached: position,
            handled: 0,
            waiting_since: None,
            written_at: None,
        }
    }

    /// Up to here everything is done.
    pub(crate) fn reached(&self) -> GlobalPosition {
        self.reached
    }

    /// Up to here it is written down that everything is done.
    pub(crate) fn written(&self) -> GlobalPosition {
        self.written
    }

    /// Everything is done up to here, by handling so many events.
    pub(crate) fn reach(&mut self, position: GlobalPosition, events: u64) {
        if position <= self.reached {
            return;
        }
        self.reached = position;
        self.handled += events;
        self.waiting_since.get_or_insert_with(Instant::now);
    }

    /// So many events were handled on the way.
    pub(crate) fn count(&mut self, events: u64) {
        self.handled += events;
    }

    /// Whether enough has been done to write it down before anything else.
    pub(crate) fn is_due(&self) -> bool {
        let since = self.waiting_since;
        self.handled >= self.every || since.is_some_and(|since| since.elapsed() >= self.after)
    }

    /// When it is to be written down at the latest.
    pub(crate) fn due_at(&self) -> Option<Instant> {
        let since = self.waiting_since?;
        Some(instant_after(since, self.after))
    }

    /// When it is to be written down if nothing else is to be done: at once after a rest.
    pub(crate) fn idle_due_at(&self) -> Option<Instant> {
        let since = self.waiting_since?;
        let rested_at = self.written_at.map(|at| instant_after(at, self.after));
        Some(rested_at.map_or(since, |at| at.max(since)))
    }

    /// The progress that would write down what has been done.
    pub(crate) fn progress(&self) -> Progress {
        self.progress_to(self.reached)
    }

    /// The progress from what is written to a position beyond.
    pub(crate) fn progress_to(&self, to: GlobalPosition) -> Progress {
        Progress::new(self.held.lease.key.clone(), self.written, to)
    }

    /// Notes that a progress was made.
    pub(crate) fn wrote(&mut self, to: GlobalPosition) {
        self.written = to;
        self.written_at = Some(Instant::now());
        self.reached = self.reached.max(to);
        if self.written == self.reached {
            self.handled = 0;
            self.waiting_since = None;
        }
        let key = &self.held.lease.key;
        let place = (key.subscription.clone(), key.partition);
        self.hub.positions.note(place, to);
    }

    /// Writes down what has been done, if there is anything new.
    pub(crate) async fn write(&mut self) -> Result<(), Lost> {
        if self.reached == self.written {
            return Ok(());
        }
        self.write_with(Vec::new(), Vec::new()).await.map(drop)
    }

    /// Writes down what has been done together with changes; `false` if something required is gone.
    pub(crate) async fn write_with(
        &mut self,
        requires: Vec<Requirement>,
        changes: Vec<Change>,
    ) -> Result<bool, Lost> {
        let progress = Progress {
            requires,
            changes,
            ..self.progress()
        };
        self.commit(progress).await
    }

    /// Makes a progress, as soon as the store can.
    pub(crate) async fn commit(&mut self, progress: Progress) -> Result<bool, Lost> {
        let to = progress.to;
        for attempt in 1.. {
            let committed = tokio::select! {
                biased;
                () = self.held.until_lost() => return Err(Lost),
                committed = self.hub.store.commit(progress.clone()) => committed,
            };
            match committed {
                Ok(Committed::Done) => {
                    self.wrote(to);
                    return Ok(true);
                }
                Ok(Committed::Gone) if attempt == 1 => return Ok(false),
                // The attempt before may have been made after all, and have taken it itself.
                Ok(Committed::Gone) => return Err(self.lose()),
                Ok(Committed::LeaseLost) => return Err(self.lose()),
                Err(error) => {
                    let key = &self.held.lease.key;
                    tracing::warn!(subscription = %key.subscription, partition = key.partition, %error, "a checkpoint cannot be written; it is tried again");
                    tokio::time::sleep(Self::BACKOFF.pause(attempt)).await;
                }
            }
        }
        Err(Lost)
    }

    /// Gives the partition up.
    pub(crate) fn lose(&self) -> Lost {
        let key = &self.held.lease.key;
        tracing::info!(subscription = %key.subscription, partition = key.partition, "the partition has another owner");
        self.held.lost.cancel();
        Lost
    }
}
