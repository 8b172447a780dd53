//! The times of the log.

use std::sync::Arc;
use std::time::Duration;

use ordain::store::Deletion;
use ordain::{Clock, EventStore, GlobalPosition};

use super::StoreFixture;
use super::support::*;
use crate::ManualClock;

/// Before, at and after the time of each event.
pub async fn position_at_is_the_last_position_until_then<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..10 {
        given(&store, &account("a"), [round, round]).await;
    }
    let log = log(&store).await;
    let micro = Duration::from_micros(1);
    for event in &log {
        for time in [
            event.recorded_at - micro,
            event.recorded_at,
            event.recorded_at + micro,
        ] {
            let until = log.iter().filter(|event| event.recorded_at <= time);
            let expected = until.map(|event| event.position).max().unwrap_or_default();
            assert_eq!(store.position_at(time).await.expect("position"), expected);
        }
    }
    let hour = Duration::from_secs(3_600);
    let before = store.position_at(log[0].recorded_at - hour).await;
    assert_eq!(before.expect("position"), GlobalPosition::ORIGIN);
    let after = store.position_at(log[0].recorded_at + hour).await;
    assert_eq!(after.expect("position"), 20);
}

/// In an empty log every time is before the first event.
pub async fn position_at_of_an_empty_log_is_its_origin<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let at = store.position_at(time::OffsetDateTime::now_utc()).await;
    assert_eq!(at.expect("position"), GlobalPosition::ORIGIN);
}

/// Between events, where the test moves the clock.
pub async fn position_at_follows_the_clock<F: StoreFixture>(fixture: &F) {
    let clock = ManualClock::new();
    let Some(store) = fixture.open_with_clock(Arc::new(clock.clone())).await else {
        return not_asserted("the store does not take its time from a clock");
    };
    let start = clock.now();
    for round in 0..3 {
        given(&store, &account("a"), [round]).await;
        clock.advance(Duration::from_secs(10));
    }
    for (seconds, expected) in [(0, 1), (9, 1), (10, 2), (19, 2), (20, 3), (1_000, 3)] {
        let time = start + Duration::from_secs(seconds);
        assert_eq!(store.position_at(time).await.expect("position"), expected);
    }
    let before = store.position_at(start - Duration::from_micros(1)).await;
    assert_eq!(before.expect("position"), 0);
}

/// A clock that is set back does not take the log with it.
pub async fn recorded_at_does_not_run_backwards<F: StoreFixture>(fixture: &F) {
    let clock = ManualClock::new();
    let Some(store) = fixture.open_with_clock(Arc::new(clock.clone())).await else {
        return not_asserted("the store does not take its time from a clock");
    };
    let start = clock.now();
    given(&store, &account("a"), [1]).await;
    clock.step_back(Duration::from_secs(3_600));
    let ids = given(&store, &account("a"), [2]).await;
    link(&store, &account("links"), ANY, &ids)
        .await
        .expect("linked");
    store
        .delete_stream(&account("a"), ANY, Deletion::Soft)
        .await
        .expect("deleted");
    given(&store, &account("b"), [3]).await;
    for event in log(&store).await {
        assert_eq!(event.recorded_at, start);
    }
    assert_eq!(store.position_at(start).await.expect("position"), 5);
    let before = store.position_at(start - Duration::from_secs(1)).await;
    assert_eq!(before.expect("position"), 0);
    clock.set(start + Duration::from_secs(1));
    given(&store, &account("b"), [4]).await;
    let last = log(&store).await.pop().expect("an event");
    assert_eq!(last.recorded_at, start + Duration::from_secs(1));
}
