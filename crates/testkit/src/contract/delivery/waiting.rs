//! Waiting until what a command did was handled.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ordain::store::{Deletion, SubscriptionState};
use ordain::subscription::WaitError;
use ordain::{App, BoxError, DispatchError, EventContext, EventHandler, EventStore, FailureAction};

use super::super::SubscriptionFixture;
use super::super::support::*;
use super::support::*;

type Waited = Result<ordain::Receipt<Account>, DispatchError<ordain::NoError>>;

fn why(waited: Waited) -> WaitError {
    match waited {
        Err(DispatchError::Unhandled { source, .. }) => *source,
        other => panic!("{other:?}"),
    }
}

/// A dispatch that waits is answered when the handlers named have handled its events.
pub async fn c105_a_dispatch_waits_until_its_events_are_handled<F>(fixture: &Arc<F>)
where
    F: SubscriptionFixture + Send + Sync + 'static,
{
    let store = opened(&**fixture).await;
    let (mut one, two) = (Noting::<0>::new(), Noting::<1>::new());
    one.takes = Duration::from_millis(2);
    let builder = on(&store)
        .event_handler(one.clone())
        .event_handler(two.clone())
        .projection(Sums::<F>::new(fixture));
    let app = start(builder).await;
    for amount in 1..=10 {
        let names = ["noting", "noting too", "sums"];
        let receipt = app.dispatch(deposit("1", amount)).wait_for(names).await;
        let position = receipt.expect("it is handled").position.get();
        assert_eq!(one.seen.positions().last(), Some(&position));
        assert_eq!(two.seen.positions().last(), Some(&position));
        let expected = (1..=amount as i64).sum::<i64>();
        assert_eq!(sum(&**fixture, &store, 1, 1).await, expected);
    }
    shut_down(app).await;
}

/// Without a handler named, a dispatch waits for none; without events, for what was there before.
pub async fn c105_without_events_it_waits_for_what_was_there<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    let app = start(on(&store).event_handler(noting.clone())).await;
    app.dispatch(deposit("a", 1)).await.expect("accepted");
    let empty = app.dispatch(deposit("a", 0)).wait_for(["noting"]).await;
    assert!(empty.expect("accepted").events.is_empty());
    assert_eq!(noting.seen.positions(), [1]);
    app.subscriptions().pause("noting").await.expect("paused");
    app.dispatch(deposit("a", 2)).await.expect("accepted");
    shut_down(app).await;
}

/// What takes too long is told, with the position; the events are stored.
pub async fn c105_waiting_ends_in_time<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    // Nobody works on it.
    open(&app, all()).await.close().await;
    let waited = app
        .dispatch(deposit("a", 1))
        .wait_for(["open"])
        .wait_at_most(Duration::from_millis(50))
        .await;
    let WaitError::Timeout { name, position } = why(waited) else {
        panic!("it is in time");
    };
    assert_eq!((name.as_str(), position.get()), ("open", 1));
    assert_eq!(store.head().await.expect("head"), 1);
    shut_down(app).await;
}

/// Another process waits for what this one handles.
pub async fn c105_another_process_waits<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let other = fixture.open_another_handle(&store).await;
    let other = other.unwrap_or_else(|| store.clone());
    let noting = Noting::<0>::new();
    let app = start(on(&store).event_handler(noting.clone())).await;
    let elsewhere = start(on(&other)).await;
    for amount in 1..=5_u64 {
        let waited = elsewhere
            .dispatch(deposit("a", amount))
            .wait_for(["noting"])
            .await;
        waited.expect("it is handled");
        assert_eq!(noting.seen.positions().len() as u64, amount);
    }
    shut_down(elsewhere).await;
    shut_down(app).await;
}

/// To have come further satisfies those who wait for less; waiting for what is over returns at once.
pub async fn c105_to_be_further_is_enough<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store).event_handler(Noting::<0>::new())).await;
    let waiting: Vec<_> = (0..=20)
        .rev()
        .map(|position| {
            let app = app.clone();
            tokio::spawn(async move { wait(&app, "noting", position).await })
        })
        .collect();
    given(&store, &account("a"), 1..=20).await;
    for waiting in waiting {
        waiting.await.expect("no panic").expect("it is there");
    }
    wait(&app, "noting", 1).await.expect("it was there");
    shut_down(app).await;
}

/// Waits for itself in the middle of an event, and notes what it is told.
struct Selfish {
    app: Arc<tokio::sync::OnceCell<App>>,
    seen: Seen,
}

impl EventHandler for Selfish {
    const NAME: &'static str = "selfish";
    type Events = Money;

    async fn handle(&self, _: &Money, context: &EventContext) -> Result<(), BoxError> {
        let app = self.app.get().ok_or("no app yet")?;
        let waited = wait(app, "selfish", context.position().get()).await;
        assert!(matches!(waited, Err(WaitError::Itself { .. })));
        wait(app, "noting", context.position().get()).await?;
        self.seen.note(context, 0);
        Ok(())
    }
}

/// A handler that waits for itself is refused instead of waiting for ever; it may wait for others.
pub async fn c105_to_wait_for_oneself_is_refused<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let cell = Arc::default();
    let selfish = Selfish {
        app: Arc::clone(&cell),
        seen: Seen::new(),
    };
    let seen = selfish.seen.clone();
    let builder = on(&store)
        .event_handler(selfish)
        .event_handler(Noting::<0>::new());
    let app = start(builder).await;
    assert!(cell.set(app.clone()).is_ok());
    given(&store, &account("a"), [1]).await;
    assert_eq!(seen.until(1).await, [1]);
    shut_down(app).await;
}

/// A dead letter of the stream before the position, a pause and a stop are told at once.
pub async fn what_keeps_a_subscription_from_coming_is_told_at_once<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let mut noting = Noting::<0>::new();
    noting.failing.set("a", 3);
    let app = start(on(&store).event_handler(noting.clone())).await;
    let waited = app.dispatch(deposit("a", 1)).wait_for(["noting"]).await;
    let WaitError::Blocked { key, position, .. } = why(waited) else {
        panic!("it is not blocked");
    };
    assert_eq!((key.as_str(), position.get()), ("account-a", 1));
    let others = app.dispatch(deposit("b", 1)).wait_for(["noting"]).await;
    others.expect("another stream is not blocked");
    app.subscriptions()
        .retry_all("noting")
        .await
        .expect("asked");
    status_when(&app, "noting", |status| status.dead_letters == 0).await;
    let after = app.dispatch(deposit("a", 2)).wait_for(["noting"]).await;
    after.expect("it is not blocked any more");

    app.subscriptions().pause("noting").await.expect("paused");
    // Until that is noticed, what comes is still handled.
    status_when(&app, "noting", |status| {
        status.partitions.iter().all(|part| part.owner.is_none())
    })
    .await;
    let waited = app.dispatch(deposit("a", 3)).wait_for(["noting"]).await;
    assert!(matches!(why(waited), WaitError::Paused { .. }));
    app.subscriptions().resume("noting").await.expect("resumed");
    shut_down(app).await;

    noting.action = Some(FailureAction::Stop);
    let app = start(on(&store).event_handler(noting.clone())).await;
    caught_up(&app, "noting").await;
    noting.failing.set("a", 1);
    let waited = app.dispatch(deposit("a", 4)).wait_for(["noting"]).await;
    let WaitError::Stopped { reason, .. } = why(waited) else {
        panic!("it is not stopped");
    };
    assert!(reason.contains("it cannot be handled"), "{reason}");
    let waited = app.dispatch(deposit("a", 5)).wait_for(["nobody"]).await;
    assert!(matches!(why(waited), WaitError::NotFound { .. }));
    shut_down(app).await;
}

/// An event behind the dead letter of its ordering key is not handled, also if another stream's event has failed.
pub async fn what_waits_behind_another_streams_dead_letter_is_told<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let mut noting = Noting::<0>::new();
    noting.one_key = Some("all".to_owned());
    noting.failing.set("a", 3);
    let app = start(on(&store).event_handler(noting.clone())).await;
    app.dispatch(deposit("a", 1)).await.expect("accepted");
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    let waited = app.dispatch(deposit("b", 1)).wait_for(["noting"]).await;
    let WaitError::Blocked { key, position, .. } = why(waited) else {
        panic!("it is not blocked");
    };
    assert_eq!((key.as_str(), position.get()), ("all", 1));
    shut_down(app).await;
}

/// A pause that comes while somebody waits ends the waiting.
pub async fn a_pause_ends_waiting<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store).event_handler(Noting::<0>::new())).await;
    let waiting = tokio::spawn({
        let app = app.clone();
        async move { wait(&app, "noting", 100).await }
    });
    app.subscriptions().pause("noting").await.expect("paused");
    let waited = soon("it is told", waiting).await.expect("no panic");
    assert!(matches!(waited, Err(WaitError::Paused { .. })));
    let state = status_when(&app, "noting", |_| true).await.state;
    assert_eq!(state, SubscriptionState::Paused);
    shut_down(app).await;
}

/// Who waits has pending checkpoints written now, however rarely they are.
pub async fn who_waits_has_the_checkpoint_written<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new().options(never_written().partitions(3));
    let app = start(on(&store).event_handler(noting)).await;
    let mut open = open(&app, all().options(never_written())).await;
    for amount in 1..=5 {
        let dispatched = app
            .dispatch(deposit("a", amount))
            .wait_for(["noting"])
            .await;
        dispatched.expect("it is handled");
        acked(&mut open, 1).await;
        caught_up(&app, "open").await;
    }
    shut_down(app).await;
}

/// A subscription that wants nothing of what is appended passes it, and those who wait for it are told.
pub async fn c096_a_filter_that_matches_nothing_follows_the_log<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    let app = start(on(&store).event_handler(noting.clone())).await;
    for _ in 0..5 {
        let other = event("SomethingElse", &serde_json::json!({}));
        append(&store, &stream("other", "1"), ANY, vec![other])
            .await
            .expect("appended");
        caught_up(&app, "noting").await;
    }
    let other = stream("other", "1");
    let deleted = store.delete_stream(&other, ANY, Deletion::Soft).await;
    deleted.expect("deleted");
    caught_up(&app, "noting").await;
    status_when(&app, "noting", |status| status.lag == 0).await;
    assert_eq!(noting.seen.positions(), [0; 0]);
    let begun = Instant::now();
    wait(&app, "noting", 1).await.expect("it is there");
    assert!(begun.elapsed() < PATIENCE);
    shut_down(app).await;
}
