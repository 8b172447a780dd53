//! Those who follow the log without remembering where they stand.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ordain::store::Filter;
use ordain::subscription::{Events, Follow, FollowError, StartFrom, WhenSlow};
use ordain::{EventStore, GlobalPosition, RecordedEvent};

use super::super::super::SubscriptionFixture;
use super::steps::Pace;
use super::world::World;

/// Somebody who follows the log.
#[derive(Debug)]
pub(super) struct Follower {
    pace: Pace,
    /// After which positions it may have begun.
    begins: (u64, u64),
    /// Whether neither its store fails, nor its app ends.
    is_operators: bool,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Debug, Default)]
struct Seen {
    positions: Vec<u64>,
    failures: usize,
    end: Option<End>,
}

#[derive(Debug)]
enum End {
    /// It was too slow; this is where it was told to go on.
    Lagging(u64),
    Stopped,
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn follow(&mut self, slot: Option<usize>, pace: Pace) {
        let Some(app) = self.app_of(slot) else {
            return;
        };
        let before = self.head().await;
        let after = pace.hundredths.map(|hundredths| before * hundredths / 100);
        let follow = self.within(slot, app.follow(pace.follow(after))).await;
        let Some(Ok(events)) = follow else {
            return;
        };
        let begins = match after {
            Some(after) => (after, after),
            None => (before, self.head().await),
        };
        let seen = Arc::default();
        tokio::spawn(watch(events, pace, Arc::clone(&seen)));
        self.followers.push(Follower {
            pace,
            begins,
            is_operators: slot.is_none(),
            seen,
        });
    }

    pub(super) async fn head(&self) -> u64 {
        let head = self.timed.store.head().await;
        head.expect("the head can be read").get()
    }

    /// Whether those whom nothing keeps from it have come to the end of the log.
    pub(super) fn have_followers_come(&self, log: &[RecordedEvent]) -> bool {
        let mut followers = self.followers.iter().filter(|it| it.is_operators);
        followers.all(|follower| {
            let seen = follower.lock();
            let last = follower.wanted(log, follower.begins.1).last().copied();
            seen.end.is_some() || last.is_none() || seen.positions.last() >= last.as_ref()
        })
    }

    /// Who follows the log has seen every event once and in order, up to where it ended, or was told to.
    pub(super) fn check_followers(&self, log: &[RecordedEvent]) {
        for follower in &self.followers {
            let seen = follower.lock();
            let starts = follower.begins.0..=follower.begins.1;
            let mut wanted = starts.map(|after| follower.wanted(log, after));
            let is_right = match (&seen.end, follower.is_operators) {
                (None, true) => wanted.any(|wanted| wanted == seen.positions),
                _ => wanted.any(|wanted| wanted.starts_with(&seen.positions)),
            };
            assert!(is_right, "{follower:?} in a log of {}", log.len());
            follower.check_end(&seen);
        }
    }
}

impl Follower {
    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it is to see of the log after a position.
    fn wanted(&self, log: &[RecordedEvent], after: u64) -> Vec<u64> {
        let is_wanted = |event: &&RecordedEvent| {
            let is_ledgers = event.stream.category() == "ledger";
            event.position.get() > after && (is_ledgers || !self.pace.only_ledgers)
        };
        let wanted = log.iter().filter(is_wanted);
        wanted.map(|event| event.position.get()).collect()
    }

    fn check_end(&self, seen: &Seen) {
        if let Some(End::Lagging(position)) = &seen.end {
            let (first, last) = self.begins;
            let is_last = match seen.positions.last() {
                Some(seen) => seen == position,
                None => (first..=last).contains(position),
            };
            assert!(is_last && self.pace.must_keep_up, "{self:?}: {seen:?}");
        }
        let is_failed = seen.failures > 0 || matches!(seen.end, Some(End::Stopped));
        assert!(!(self.is_operators && is_failed), "{self:?}: {seen:?}");
    }
}

impl Seen {
    fn take(&mut self, next: Option<Result<RecordedEvent, FollowError>>) {
        match next {
            Some(Ok(event)) => self.positions.push(event.read_position().get()),
            Some(Err(FollowError::Lagging { position })) => {
                self.end = Some(End::Lagging(position.get()));
            }
            Some(Err(_)) => self.failures += 1,
            None => self.end = Some(End::Stopped),
        }
    }
}

impl Pace {
    fn follow(&self, after: Option<u64>) -> Follow {
        let start = match after {
            Some(after) => StartFrom::Position(GlobalPosition::new(after)),
            None => StartFrom::Current,
        };
        let filter = match self.only_ledgers {
            true => Filter::all().categories(["ledger"]),
            false => Filter::all(),
        };
        let when_slow = match self.must_keep_up {
            true => WhenSlow::End,
            false => WhenSlow::Wait,
        };
        Follow::new()
            .start_from(start)
            .filter(filter)
            .buffer(self.buffer as usize)
            .when_slow(when_slow)
    }
}

/// Notes what comes until it ends.
async fn watch(mut events: Events, pace: Pace, seen: Arc<Mutex<Seen>>) {
    loop {
        let next = events.next().await;
        let is_over = {
            let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
            seen.take(next);
            seen.end.is_some()
        };
        if is_over {
            return;
        }
        tokio::time::sleep(pace.takes).await;
    }
}
