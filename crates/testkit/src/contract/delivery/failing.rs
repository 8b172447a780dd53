//! Events that cannot be handled: attempts, dead letters, what waits behind them.

use std::sync::Arc;
use std::time::Duration;

use ordain::store::{SubscriptionState, SubscriptionStore};
use ordain::{EventStore, FailureAction, StreamId};
use uuid::Uuid;

use super::super::SubscriptionFixture;
use super::super::read_side::{Timed, eventually, key};
use super::super::support::*;
use super::support::*;

/// How many events wait behind a dead letter; so many that they do not fit into one page.
const BEHIND: u64 = 3_000;

/// An event that fails is tried again, and then all of its key waits; others go on. Retried, what has waited
/// comes in order.
pub async fn c107_an_event_that_fails_keeps_only_its_key<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    noting.failing.set("a", 3);
    let app = start(on(&store).event_handler(noting.clone())).await;
    for _ in 0..3 {
        given(&store, &account("a"), [1]).await;
        given(&store, &account("b"), [1]).await;
    }
    assert_eq!(noting.seen.until(3).await, [2, 4, 6]);
    caught_up(&app, "noting").await;
    let letters = app.subscriptions().dead_letters("noting").await;
    let letters = letters.expect("dead letters");
    assert_eq!(letters.len(), 1);
    let letter = &letters[0];
    assert_eq!((letter.key.as_str(), letter.attempts), ("account-a", 3));
    assert_eq!((letter.position.get(), letter.is_requested), (1, false));
    let retried = app.subscriptions().retry("noting", "account-a").await;
    assert!(retried.expect("asked"));
    assert_eq!(noting.seen.until(6).await, [2, 4, 6, 1, 3, 5]);
    status_when(&app, "noting", |status| status.dead_letters == 0).await;
    let nothing = app.subscriptions().retry("noting", "account-a").await;
    assert!(!nothing.expect("asked"));
    shut_down(app).await;
}

/// A key that no store could keep, since it is too long or holds a NUL, is dead-lettered as any other.
pub async fn a_key_that_cannot_be_stored_is_dead_lettered_by_one_that_can<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    // Of no pattern, so that no index takes it packed.
    let digest = |n: u32| Uuid::new_v5(&Uuid::NAMESPACE_OID, &n.to_be_bytes()).to_string();
    let long: String = (0..2_000).map(digest).collect();
    for bad in [long, "a\0b".to_owned()] {
        let store = fixture.open().await;
        let mut noting = Noting::<0>::new();
        noting.one_key = Some(bad);
        noting.failing.set("a", 3);
        let app = start(on(&store).event_handler(noting.clone())).await;
        given(&store, &account("a"), [1]).await;
        caught_up(&app, "noting").await;
        let letters = app.subscriptions().dead_letters("noting").await;
        let letters = letters.expect("dead letters");
        assert_eq!(letters.len(), 1);
        let retried = app.subscriptions().retry("noting", &letters[0].key).await;
        assert!(retried.expect("asked"));
        assert_eq!(noting.seen.until(1).await, [1]);
        shut_down(app).await;
    }
}

/// After a reset what had waited behind a dead letter is handled for the first time, and is no replay.
pub async fn what_waits_behind_a_dead_letter_is_no_replay_after_a_reset<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    noting.failing.set("a", 3);
    let app = start(on(&store).event_handler(noting.clone())).await;
    for account in ["a", "b", "a"].map(account) {
        given(&store, &account, [1]).await;
    }
    caught_up(&app, "noting").await;
    assert_eq!(noting.seen.positions(), [2]);
    let reset = app.subscriptions().reset("noting", 0).await;
    reset.expect("reset");
    assert_eq!(noting.seen.until(3).await, [2, 1, 3]);
    assert!(noting.seen.events().iter().all(|one| !one.is_replay()));
    // All of it is a replay from now on.
    caught_up(&app, "noting").await;
    let reset = app.subscriptions().reset("noting", 0).await;
    reset.expect("reset");
    status_when(&app, "noting", |status| {
        status.state == SubscriptionState::Active && status.lag == 0
    })
    .await;
    assert_eq!(noting.seen.positions(), [2, 1, 3]);
    shut_down(app).await;
}

/// A dead letter stays one across processes; it is retried by whoever has its partition then.
pub async fn c107_a_dead_letter_is_remembered<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    noting.failing.set("a", 3);
    given(&store, &account("a"), 1..=2).await;
    for round in 1..=2 {
        let app = start(on(&store).event_handler(noting.clone())).await;
        given(&store, &account("b"), [1]).await;
        noting.seen.until(round).await;
        shut_down(app).await;
        given(&store, &account("a"), [1]).await;
    }
    let elsewhere = start(on(&store)).await;
    let asked = elsewhere.subscriptions().retry_all("noting").await;
    assert_eq!(asked.expect("asked"), 1);
    let app = start(on(&store).event_handler(noting.clone())).await;
    assert_eq!(noting.seen.until(6).await, [3, 5, 1, 2, 4, 6]);
    shut_down(app).await;
    shut_down(elsewhere).await;
}

/// When a dead letter is forgotten, its key goes on with what comes.
pub async fn a_key_whose_dead_letter_is_forgotten_goes_on<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let timed = Timed::open(&**fixture).await;
    let store = &timed.store;
    let noting = Noting::<0>::new();
    noting.failing.set("a", 3);
    given(store, &account("a"), 1..=2).await;
    let app = start(on(store).event_handler(noting.clone())).await;
    caught_up(&app, "noting").await;
    shut_down(app).await;
    let app = start(on(store).event_handler(noting.clone())).await;
    status_when(&app, "noting", |it| it.partitions[0].owner.is_some()).await;
    timed.pass();
    eventually("the dead letter is forgotten", async || {
        let pruned = store
            .prune(&key("noting"), Some(Duration::ZERO), None)
            .await;
        (pruned.expect("pruned") == 1).then_some(())
    })
    .await;
    eventually("what comes is handled", async || {
        given(store, &account("a"), [3]).await;
        (!noting.seen.amounts().is_empty()).then_some(())
    })
    .await;
    let amounts = noting.seen.amounts();
    assert!(amounts.iter().all(|amount| *amount == 3), "{amounts:?}");
    shut_down(app).await;
}

/// A discarded event is left out, and what waits behind it comes.
pub async fn c107_a_discarded_event_is_left_out<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    noting.failing.set("a", 3);
    let app = start(on(&store).event_handler(noting.clone())).await;
    given(&store, &account("a"), 1..=4).await;
    caught_up(&app, "noting").await;
    let discarded = app.subscriptions().discard("noting", "account-a").await;
    assert!(discarded.expect("asked"));
    assert_eq!(noting.seen.until(3).await, [2, 3, 4]);
    status_when(&app, "noting", |status| status.dead_letters == 0).await;
    shut_down(app).await;
}

/// Skipped, an event is passed; stopped at, it comes again when the subscription is resumed.
pub async fn c107_an_event_is_skipped_or_stopped_at<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let (mut skips, mut stops) = (Noting::<0>::new(), Noting::<1>::new());
    skips.action = Some(FailureAction::Skip);
    stops.action = Some(FailureAction::Stop);
    skips.failing.set("a", 1);
    stops.failing.set("a", 1);
    let builder = on(&store)
        .event_handler(skips.clone())
        .event_handler(stops.clone());
    let app = start(builder).await;
    given(&store, &account("a"), 1..=2).await;
    assert_eq!(skips.seen.until(1).await, [2]);
    let status = status_when(&app, "noting too", |status| {
        status.state == SubscriptionState::Stopped
    })
    .await;
    assert_eq!(status.position, 0);
    app.subscriptions()
        .resume("noting too")
        .await
        .expect("resumed");
    assert_eq!(stops.seen.until(2).await, [1, 2]);
    shut_down(app).await;
}

/// Where one key after the other fails, it is an outage: it is waited for, and no more is dead-lettered.
pub async fn an_outage_is_waited_for<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    for account in 0..6 {
        noting.failing.set(&account.to_string(), u32::MAX);
    }
    rounds(&store, 6, 1).await;
    let app = start(on(&store).event_handler(noting.clone())).await;
    let status = status_when(&app, "noting", |status| {
        status.partitions[0].attempts > 5 && status.dead_letters == 3
    })
    .await;
    assert_eq!(status.position, 3);
    for account in 0..6 {
        noting.failing.set(&account.to_string(), 0);
    }
    assert_eq!(noting.seen.until(3).await, [4, 5, 6]);
    app.subscriptions()
        .retry_all("noting")
        .await
        .expect("asked");
    noting.seen.until(6).await;
    assert_eq!(noting.seen.sorted(), [1, 2, 3, 4, 5, 6]);
    shut_down(app).await;
}

/// Many events behind a dead letter are not copied, and hold up no one; retried, they come in order, each once,
/// while others go on.
pub async fn many_events_wait_behind_a_dead_letter<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let mut noting = Noting::<0>::new();
    noting.options = quick().partitions(2);
    noting.failing.set("blocked", 3);
    given(&store, &account("blocked"), [0]).await;
    let app = start(on(&store).event_handler(noting.clone())).await;
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    for chunk in 0..BEHIND / 500 {
        let first = chunk * 500 + 1;
        given(&store, &account("blocked"), first..first + 500).await;
        given(&store, &account("other"), [chunk]).await;
    }
    let others = (BEHIND / 500) as usize;
    noting.seen.until(others).await;
    caught_up(&app, "noting").await;
    app.subscriptions()
        .retry_all("noting")
        .await
        .expect("asked");
    for round in 0..5 {
        given(&store, &account("other"), [round]).await;
        given(&store, &account("blocked"), [BEHIND + 1 + round]).await;
    }
    noting.seen.until(others + 5 + BEHIND as usize + 6).await;
    status_when(&app, "noting", |status| status.dead_letters == 0).await;
    let blocked: StreamId = account("blocked");
    let events = noting.seen.events();
    let of_blocked = events.iter().filter(|one| *one.stream() == blocked);
    let versions: Vec<_> = of_blocked.map(|one| one.version().get()).collect();
    assert_eq!(versions, (1..=BEHIND + 6).collect::<Vec<_>>());
    let head = store.head().await.expect("head").get() as usize;
    assert_eq!(events.len(), head);
    shut_down(app).await;
}

/// A handler that takes too long has failed, and is tried again.
pub async fn c107_a_handler_that_takes_too_long_has_failed<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let mut noting = Noting::<0>::new();
    noting.options = quick().attempts(2).time_limit(Duration::from_millis(20));
    noting.takes = LONG;
    given(&store, &account("a"), [1]).await;
    let app = start(on(&store).event_handler(noting.clone())).await;
    status_when(&app, "noting", |status| status.dead_letters == 1).await;
    let letters = app.subscriptions().dead_letters("noting").await;
    let error = &letters.expect("dead letters")[0].error;
    assert!(error.contains("longer"), "{error}");
    assert_eq!(noting.seen.positions(), [0; 0]);
    shut_down(app).await;
}

/// Dead letters of partitions that are replaced stay with their keys.
pub async fn dead_letters_follow_their_keys_to_other_partitions<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    for account in ["0", "1"] {
        noting.failing.set(account, 3);
    }
    let app = start(on(&store).event_handler(noting.clone())).await;
    rounds(&store, 4, 2).await;
    assert_eq!(noting.seen.until(4).await, [3, 4, 7, 8]);
    caught_up(&app, "noting").await;
    let repartitioned = app.subscriptions().repartition("noting", 5).await;
    repartitioned.expect("asked");
    status_when(&app, "noting", |status| status.partitions.len() == 5).await;
    rounds(&store, 4, 1).await;
    noting.seen.until(6).await;
    caught_up(&app, "noting").await;
    assert_eq!(noting.seen.positions().len(), 6);
    app.subscriptions()
        .retry_all("noting")
        .await
        .expect("asked");
    noting.seen.until(12).await;
    noting.seen.assert_in_order(4, 3);
    status_when(&app, "noting", |status| status.dead_letters == 0).await;
    shut_down(app).await;
}
