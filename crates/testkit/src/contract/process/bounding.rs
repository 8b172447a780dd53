//! Bounds: what fails, waits or is due in great number.

use std::sync::Arc;

use ordain::prelude::*;
use ordain::{Backoff, EventContext, ProcessContext, ProcessOptions, Reaction, Route};
use serde::{Deserialize, Serialize};

use super::super::SubscriptionFixture;
use super::support::*;
use crate::FaultyStore;

/// Fails as it is told to, and tries again much later; it has room for two instances that wait.
#[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "failing", id = String, events(Sent), options = patient)]
struct Failing;

fn patient() -> ProcessOptions {
    let options = quick();
    let subscription = options.subscription.clone().blocked_max(2);
    let subscription = subscription.retry(Backoff::new(LONG, LONG));
    options.subscription(subscription)
}

impl Process<Sent> for Failing {
    fn route(event: &Sent, _: &EventContext) -> Route<String> {
        Route::start_all(event.note.ids.clone())
    }

    fn handle(&self, event: &Sent, _: &ProcessContext) -> Reaction<Self> {
        assert!(event.note.panics.is_none(), "told to panic");
        Reaction::none()
    }
}

/// No more instances fail and wait for another attempt than there is room for.
pub async fn more_failing_instances_than_allowed_hold_up_the_reading<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let app = start(on(&store).process_manager::<Failing>()).await;
    for id in ["a", "b", "c", "d", "e"] {
        send(&app, begin(id).panicking(Panics::Handle)).await;
    }
    status_when(&app, Failing::NAME, |status| status.parked >= 2).await;
    beats(&store).await;
    let status = app.subscriptions().status(Failing::NAME).await;
    let status = status.expect("a status");
    assert_eq!((status.parked, status.lag), (2, 3));
    shut_down(app).await;
}
