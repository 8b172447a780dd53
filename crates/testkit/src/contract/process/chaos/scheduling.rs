//! Commands that are scheduled, and taken back.

use std::time::Duration;

use ordain::store::{Share, SubscriptionKey, SubscriptionStore, TimerQuery};
use ordain::{RecordedEvent, ScheduledId};
use time::OffsetDateTime;

use super::super::super::SubscriptionFixture;
use super::super::super::read_side::now_of;
use super::super::support::{Write, text_of, written};
use super::handling::SCHEDULED;
use super::world::World;

/// Who dispatches what was scheduled.
const SCHEDULE: &str = "$schedule";

/// A command that was scheduled, or may have been.
#[derive(Debug)]
pub(super) struct Scheduled {
    text: String,
    /// Unknown if the answer was lost.
    id: Option<ScheduledId>,
    /// It is not dispatched before this.
    due_at: OffsetDateTime,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    /// It takes effect once.
    Fires,
    /// The answer was lost.
    MayFire,
    /// It was taken back in time.
    IsTakenBack,
    /// It was too late to take it back.
    HasFired,
}

impl<F: SubscriptionFixture + Send + Sync + 'static> World<F> {
    pub(super) async fn schedule(&mut self, slot: usize, hundredths: u64) {
        let Some(app) = self.app_of(Some(slot)) else {
            return;
        };
        self.count += 1;
        let text = self.count.to_string();
        let after = self.timed.moment() * hundredths as u32 / 100;
        let due_at = now_of(&self.timed.store).await + after;
        let ledger = SCHEDULED.to_owned();
        let command = Write {
            ledger,
            text: text.clone(),
        };
        let scheduled = app.schedule(command).after(after);
        let scheduled = self.within(Some(slot), scheduled).await;
        let id = scheduled.and_then(Result::ok);
        self.scheduled.push(Scheduled {
            text,
            id,
            due_at,
            fate: match id {
                Some(_) => Fate::Fires,
                None => Fate::MayFire,
            },
        });
    }

    pub(super) async fn take_back(&mut self, slot: Option<usize>, which: u64) {
        let Some(app) = self.app_of(slot) else {
            return;
        };
        let known = || self.scheduled.iter().filter_map(|one| one.id);
        let count = known().count().max(1) as u64;
        let Some(id) = known().nth((which % count) as usize) else {
            return;
        };
        let taken_back = self.within(slot, app.cancel_scheduled(id)).await;
        let is_taken_back = taken_back.and_then(Result::ok);
        let one = self.scheduled.iter_mut().find(|one| one.id == Some(id));
        if let Some(one) = one {
            one.fate = one.fate.after(is_taken_back);
        }
    }

    /// Whether everything that was scheduled has been dispatched, or taken back.
    pub(super) async fn is_schedule_empty(&self) -> bool {
        if self.scheduled.is_empty() {
            return true;
        }
        // What its dispatch has failed for is over.
        drop(self.operator.subscriptions().retry_all(SCHEDULE).await);
        let query = TimerQuery {
            subscription: SubscriptionKey::new(SCHEDULE, 1),
            share: Share {
                partition: 0,
                partitions: 1,
            },
            limit: 1,
        };
        let due = self.timed.store.timers_due(query).await;
        let due = due.expect("timers can be read");
        let unsettled = self.operator.processes(SCHEDULE).unsettled(1).await;
        // Without the subscription, nothing was ever scheduled.
        let is_settled = unsettled.map_or(true, |unsettled| unsettled.is_empty());
        due.timers.is_empty() && due.next.is_none() && is_settled
    }

    /// What was scheduled was dispatched once, and not before its time; never, if it was taken back.
    pub(super) async fn check_scheduled(&self) {
        let events = written(&self.timed.store).await;
        let is_of_ledger = |event: &&RecordedEvent| event.stream.id() == SCHEDULED;
        for one in &self.scheduled {
            let events = events.iter().filter(is_of_ledger);
            let fired = events.filter(|event| text_of(event) == one.text);
            let times: Vec<_> = fired.map(|event| event.recorded_at).collect();
            let is_right = match one.fate {
                Fate::Fires | Fate::HasFired => times.len() == 1,
                Fate::MayFire => times.len() < 2,
                Fate::IsTakenBack => times.is_empty(),
            };
            // The clocks of app and store may differ by what it takes to ask.
            let is_early = |time: &OffsetDateTime| *time + Duration::from_millis(1) < one.due_at;
            let is_in_time = !times.iter().any(is_early);
            assert!(
                is_right && is_in_time,
                "{one:?} was carried out at {times:?}:{}",
                self.log().await
            );
        }
    }
}

impl Fate {
    /// What it is after an attempt to take it back, of which the answer may have been lost.
    fn after(self, is_taken_back: Option<bool>) -> Self {
        match (self, is_taken_back) {
            (Self::Fires | Self::MayFire, Some(true)) => Self::IsTakenBack,
            (Self::Fires, Some(false)) => Self::HasFired,
            (Self::Fires, None) => Self::MayFire,
            (fate @ (Self::IsTakenBack | Self::HasFired), Some(true)) => {
                panic!("it is taken back after it was {fate:?}")
            }
            (fate, _) => fate,
        }
    }
}
