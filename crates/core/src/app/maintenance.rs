//! What an app does by itself from time to time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;

use super::{Shared, WeakApp};
use crate::aggregate::instance::Instances;

const TICK: Duration = Duration::from_secs(1);
const FORGET_EVERY: Duration = Duration::from_secs(3_600);
const LOOK_FOR_SCHEDULE_EVERY: Duration = Duration::from_secs(60);

/// Evicts idle instances, forgets what was kept long enough, and looks whether a failed store works again.
pub(super) async fn run(shared: Arc<Shared>, app: WeakApp, instances: Vec<Arc<dyn Instances>>) {
    let evict_every = ticks(shared.config.instance_idle / 10);
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut tick: u64 = 0;
    loop {
        interval.tick().await;
        if shared.health.is_degraded() {
            probe(&shared).await;
        }
        if tick.is_multiple_of(evict_every) {
            for instances in &instances {
                instances.evict_idle();
            }
        }
        if tick.is_multiple_of(ticks(FORGET_EVERY)) {
            forget_outcomes(&shared).await;
            if let Some(app) = app.upgrade() {
                app.hub().prune().await;
            }
        }
        if tick.is_multiple_of(ticks(LOOK_FOR_SCHEDULE_EVERY)) {
            look_for_schedule(&app).await;
        }
        tick += 1;
    }
}

fn ticks(duration: Duration) -> u64 {
    duration.as_secs().clamp(1, FORGET_EVERY.as_secs())
}

/// Another process may have scheduled something for the first time.
async fn look_for_schedule(app: &WeakApp) {
    let Some(app) = app.upgrade() else { return };
    if let Err(error) = app.follow_schedule().await {
        tracing::warn!(%error, "what was scheduled cannot be looked for; tried again in a minute");
    }
}

async fn probe(shared: &Shared) {
    if shared.store.head().await.is_ok() {
        shared.health.store_worked();
    }
}

async fn forget_outcomes(shared: &Shared) {
    let before = shared.clock.now().checked_sub(
        shared
            .config
            .outcomes_kept
            .try_into()
            .unwrap_or(time::Duration::MAX),
    );
    let Some(before) = before else { return };
    match shared.store.forget_outcomes(before).await {
        Ok(0) => {}
        Ok(count) => tracing::debug!(count, "old answers forgotten"),
        Err(error) => {
            tracing::warn!(%error, "old answers could not be forgotten; tried again in an hour");
        }
    }
}
