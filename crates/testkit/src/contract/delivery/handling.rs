//! Handlers: what they are given, how they go on, what they are reset to.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ordain::store::SubscriptionState;
use ordain::subscription::{StartFrom, SubscriptionOptions};
use ordain::{
    BatchHandler, BoxError, Delivery, EventContext, FailureAction, Handled, RawHandler,
    RecordedEvent, Upcaster,
};
use serde_json::json;

use super::super::SubscriptionFixture;
use super::super::support::*;
use super::support::*;

/// Handles several events at once, and notes how many.
#[derive(Clone)]
struct Batching {
    seen: Seen,
    sizes: Arc<Mutex<Vec<usize>>>,
    options: SubscriptionOptions,
}

impl Batching {
    fn new(options: SubscriptionOptions) -> Self {
        Self {
            seen: Seen::new(),
            sizes: Arc::default(),
            options,
        }
    }

    fn sizes(&self) -> Vec<usize> {
        let sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes.clone()
    }
}

impl BatchHandler for Batching {
    const NAME: &'static str = "batching";
    const REPLAYS: bool = true;
    type Events = Money;

    async fn handle_batch(&self, events: &[Handled<Money>]) -> Result<(), BoxError> {
        let sizes = || self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        sizes().push(events.len());
        for one in events {
            let Money::Deposited(MoneyDeposited { amount }) = &one.event;
            self.seen.note(&one.context, *amount);
        }
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        self.options.clone()
    }
}

/// Handles every event as it is stored.
#[derive(Clone)]
struct Everything(Seen);

impl RawHandler for Everything {
    const NAME: &'static str = "everything";

    async fn handle(&self, _: &RecordedEvent, context: &EventContext) -> Result<(), BoxError> {
        self.0.note(context, 0);
        Ok(())
    }

    fn options(&self) -> SubscriptionOptions {
        quick()
    }
}

/// A handler gets what it lists, of history and later; it is told when, from where and for the how manieth time.
pub async fn c107_a_handler_gets_what_it_lists<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let other = event("SomethingElse", &json!({}));
    append(&store, &account("a"), ANY, vec![deposited(1), other])
        .await
        .expect("appended");
    let (noting, everything) = (Noting::<0>::new(), Everything(Seen::new()));
    let builder = on(&store)
        .event_handler(noting.clone())
        .raw_handler(everything.clone());
    let app = start(builder).await;
    given(&store, &account("a"), [2]).await;
    assert_eq!(noting.seen.until(2).await, [1, 3]);
    assert_eq!(everything.0.until(3).await, [1, 2, 3]);
    let last = &noting.seen.events()[1];
    let stored = read(&store, &account("a")).await.remove(2);
    assert_eq!(*last.recorded(), stored);
    assert_eq!(last.delivery(), Delivery::Live);
    assert_eq!((last.part(), last.attempt(), last.partition()), (0, 1, 0));
    shut_down(app).await;
}

/// A handler goes on where it stood, and its start counts once.
pub async fn c107_a_handler_goes_on_where_it_stood<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    given(&store, &account("a"), [1]).await;
    let options = quick().start_from(StartFrom::Current);
    let noting = Noting::<0>::new().options(options);
    for round in 1..=3 {
        let app = start(on(&store).event_handler(noting.clone())).await;
        given(&store, &account("a"), [1]).await;
        noting.seen.until(2 * round - 1).await;
        shut_down(app).await;
        given(&store, &account("a"), [1]).await;
    }
    assert_eq!(noting.seen.positions(), [2, 3, 4, 5, 6]);
}

/// A handler in the middle of an event ends it before its app does; nothing comes again.
pub async fn c107_a_graceful_stop_ends_what_was_begun<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=50).await;
    let mut noting = Noting::<0>::new().options(never_written());
    noting.takes = Duration::from_millis(2);
    for round in 1..=5 {
        let app = start(on(&store).event_handler(noting.clone())).await;
        noting.seen.until(3 * round).await;
        shut_down(app).await;
    }
    let app = start(on(&store).event_handler(noting.clone())).await;
    caught_up(&app, "noting").await;
    assert_eq!(noting.seen.positions(), (1..=50).collect::<Vec<_>>());
    shut_down(app).await;
}

/// Reset to the origin, a handler that wants replays gets all again, told as such; one that does not gets what
/// is new.
pub async fn c107_a_reset_handler_begins_anew<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let (noting, batching) = (Noting::<0>::new(), Batching::new(quick()));
    let builder = on(&store)
        .event_handler(noting.clone())
        .batch_handler(batching.clone());
    let app = start(builder).await;
    given(&store, &account("a"), 1..=5).await;
    for name in ["noting", "batching"] {
        caught_up(&app, name).await;
        let reset = app.subscriptions().reset(name, 0).await;
        reset.expect("reset");
        status_when(&app, name, |status| {
            status.state == SubscriptionState::Active && status.lag == 0
        })
        .await;
    }
    given(&store, &account("a"), [6]).await;
    caught_up(&app, "noting").await;
    caught_up(&app, "batching").await;
    assert_eq!(noting.seen.positions(), [1, 2, 3, 4, 5, 6]);
    let expected = [1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6];
    assert_eq!(batching.seen.positions(), expected);
    let deliveries = batching.seen.events();
    let replays: Vec<_> = deliveries.iter().map(|one| one.is_replay()).collect();
    let expected: Vec<_> = (0..11).map(|index| (5..10).contains(&index)).collect();
    assert_eq!(replays, expected);
    shut_down(app).await;
}

/// A reset to the middle or to the end leaves out what is before.
pub async fn c107_a_handler_is_reset_to_any_position<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let batching = Batching::new(quick());
    let app = start(on(&store).batch_handler(batching.clone())).await;
    given(&store, &account("a"), 1..=5).await;
    for position in [3_u64, 5] {
        caught_up(&app, "batching").await;
        let reset = app.subscriptions().reset("batching", position).await;
        reset.expect("reset");
        status_when(&app, "batching", |status| {
            status.state == SubscriptionState::Active && status.lag == 0
        })
        .await;
    }
    given(&store, &account("a"), [6]).await;
    caught_up(&app, "batching").await;
    assert_eq!(batching.seen.positions(), [1, 2, 3, 4, 5, 4, 5, 6]);
    shut_down(app).await;
}

/// A batch is as large as it may be, and no larger; its last event is written down.
pub async fn c107_batches_have_a_size_and_a_time<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=20).await;
    let options = quick().batch_max(8).batch_wait(Duration::from_millis(50));
    let batching = Batching::new(options);
    let app = start(on(&store).batch_handler(batching.clone())).await;
    let positions = batching.seen.until(20).await;
    assert_eq!(positions, (1..=20).collect::<Vec<_>>());
    assert!(batching.sizes().iter().all(|size| *size <= 8));
    assert_eq!(batching.sizes()[0], 8);
    caught_up(&app, "batching").await;
    shut_down(app).await;
}

/// A batch that is still being filled when the handler is reset is not handled after it.
pub async fn d14_a_reset_forgets_a_batch_that_is_being_filled<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let options = quick().batch_max(4).batch_wait(LONG);
    let batching = Batching::new(options);
    let app = start(on(&store).batch_handler(batching.clone())).await;
    given(&store, &account("a"), 1..=4).await;
    batching.seen.until(4).await;
    // Waits for one more.
    given(&store, &account("a"), 5..=7).await;
    app.subscriptions()
        .reset("batching", 0)
        .await
        .expect("reset");
    let positions = batching.seen.until(11).await;
    assert_eq!(positions, [1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(batching.sizes(), [4, 4, 3]);
    shut_down(app).await;
}

/// Old events come as what they have become, also where they are filtered by it: renamed and split.
pub async fn c097_old_events_come_as_what_they_have_become<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let old = |name, data: serde_json::Value| event(name, &data);
    let write = async || {
        let events = vec![
            old("CashIn", json!({ "amount": 1 })),
            old("SomethingElse", json!({})),
            old("Booked", json!({ "first": 2, "second": 3 })),
            deposited(4),
        ];
        append(&store, &account("a"), ANY, events)
            .await
            .expect("appended");
    };
    write().await;
    let noting = Noting::<0>::new();
    let builder = on(&store)
        .upcaster(Upcaster::rename(("CashIn", 1), ("MoneyDeposited", 1)))
        .upcaster(Upcaster::split(
            ("Booked", 1),
            [("MoneyDeposited", 1), ("MoneyDeposited", 1)],
            |data| {
                let part = |key: &str| json!({ "amount": data[key] });
                Ok(vec![part("first"), part("second")])
            },
        ))
        .event_handler(noting.clone());
    let app = start(builder).await;
    write().await;
    noting.seen.until(8).await;
    assert_eq!(noting.seen.positions(), [1, 3, 3, 4, 5, 7, 7, 8]);
    assert_eq!(noting.seen.amounts(), [1, 2, 3, 4, 1, 2, 3, 4]);
    let parts: Vec<_> = noting.seen.events().iter().map(|one| one.part()).collect();
    assert_eq!(parts, [0, 0, 1, 0, 0, 0, 1, 0]);
    shut_down(app).await;
}

/// A handler that wants other events than it did is refused, and nothing is lost.
pub async fn a_handler_that_wants_other_events_is_refused<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store).event_handler(Noting::<0>::new())).await;
    shut_down(app).await;
    let rename = Upcaster::rename(("CashIn", 1), ("MoneyDeposited", 1));
    let builder = on(&store)
        .upcaster(rename)
        .event_handler(Noting::<0>::new());
    let refused = builder.start().await.expect_err("it is refused");
    assert!(refused.to_string().contains("CashIn"), "{refused}");
}

/// An event that cannot be read stops or dead-letters those who want it; no other is disturbed.
pub async fn d17_an_unreadable_event_disturbs_only_those_who_want_it<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let (dead_letters, mut stops) = (Noting::<0>::new(), Noting::<1>::new());
    stops.action = Some(FailureAction::Stop);
    let everything = Everything(Seen::new());
    let builder = on(&store)
        .event_handler(dead_letters.clone())
        .event_handler(stops.clone())
        .raw_handler(everything.clone());
    let app = start(builder).await;
    let mut open = open(&app, all()).await;
    given(&store, &account("b"), [1]).await;
    let unreadable = event("MoneyDeposited", &json!({ "amount": "much" }));
    append(&store, &account("a"), ANY, vec![unreadable])
        .await
        .expect("appended");
    given(&store, &account("b"), [2]).await;
    assert_eq!(acked(&mut open, 3).await, [1, 2, 3]);
    assert_eq!(everything.0.until(3).await, [1, 2, 3]);
    assert_eq!(dead_letters.seen.until(2).await, [1, 3]);
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    status_when(&app, "noting too", |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    assert_eq!(stops.seen.positions(), [1]);
    shut_down(app).await;
}
