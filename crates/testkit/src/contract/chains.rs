//! Appends that rest on others still under way.

use futures::FutureExt;
use ordain::store::{Append, Appended, StreamWrite};
use ordain::{EventId, EventStore, NewEvent, StoreError, StreamId};

use super::StoreFixture;
use super::support::*;

/// Appends whose futures were first polled in order 1, 2, 3 get the versions in that order.
pub async fn appends_in_flight_are_decided_in_the_order_of_their_first_poll<F: StoreFixture>(
    fixture: &F,
) {
    let (store, stream) = (fixture.open().await, account("a"));
    for round in 0..5 {
        let amounts = (round * 8..round * 8 + 8).collect::<Vec<_>>();
        let appends = amounts.iter().map(|&amount| {
            let append = Append::new(stream.clone(), ANY, deposits([amount]));
            store.append(append)
        });
        for result in in_flight(appends.collect()).await {
            result.expect("any version fits");
        }
    }
    let events = read(&store, &stream).await;
    assert_eq!(amounts(&events), (0..40).collect::<Vec<_>>());
}

/// Each names the version and entry that the one before will leave.
pub async fn chained_appends_in_flight_follow_each_other<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let results = chain(&store, &stream, 0, None, (0..8).map(deposited).collect()).await;
    for (index, result) in results.into_iter().enumerate() {
        let appended = result.expect("its predecessor was stored");
        assert_eq!(appended.versions, [index as u64 + 1]);
    }
    assert_eq!(
        amounts(&read(&store, &stream).await),
        (0..8).collect::<Vec<_>>()
    );
}

/// The first fails, as its event id is used; those behind it fail too.
pub async fn what_rests_on_a_failed_append_fails<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let used = given(&store, &stream, [0]).await[0];
    let mut events: Vec<_> = (1..5).map(deposited).collect();
    events[0].event_id = used;
    let mut results = chain(&store, &stream, 1, Some(used), events).await;
    assert_fails!(results.remove(0), StoreError::DuplicateEvent { .. });
    for result in results {
        assert_fails!(result, StoreError::Conflict { .. });
    }
    assert_eq!(amounts(&log(&store).await), [0]);
}

/// A foreign append has taken the version that a failed one wanted: the numbers fit what rests on
/// the failed one, but the entry does not.
pub async fn a_foreign_append_does_not_stand_in_for_a_failed_one<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let first = given(&store, &stream, [0]).await[0];
    let foreign = Append::new(stream.clone(), exactly(1), deposits([100]));
    let events: Vec<_> = (1..4).map(deposited).collect();
    let mut futures = vec![store.append(foreign)];
    futures.extend(chain_of(&store, &stream, 1, Some(first), events));
    let mut results = in_flight(futures).await;
    results.remove(0).expect("the foreign append came first");
    for result in results {
        assert_fails!(result, StoreError::Conflict { .. });
    }
    assert_eq!(amounts(&read(&store, &stream).await), [0, 100]);
}

/// As before, but the foreign append comes between the failed one and those that rest on it.
pub async fn a_foreign_append_in_the_middle_of_a_chain_breaks_it<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let used = given(&store, &stream, [0]).await[0];
    let mut events: Vec<_> = (1..4).map(deposited).collect();
    events[0].event_id = used;
    let mut futures = chain_of(&store, &stream, 1, Some(used), events);
    let rest = futures.split_off(1);
    let foreign = Append::new(stream.clone(), ANY, deposits([100]));
    futures.push(store.append(foreign));
    futures.extend(rest);
    let mut results = in_flight(futures).await;
    assert_fails!(results.remove(0), StoreError::DuplicateEvent { .. });
    results.remove(0).expect("the foreign append fits");
    for result in results {
        assert_fails!(result, StoreError::Conflict { .. });
    }
    assert_eq!(amounts(&read(&store, &stream).await), [0, 100]);
}

/// At the right version, on another entry: a conflict. On the right entry: accepted.
pub async fn an_append_is_refused_if_it_builds_on_another_entry<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let ids = given(&store, &stream, [0, 1]).await;
    for wrong in [EventId::new(), ids[0]] {
        let write = write(&stream, exactly(2), deposits([2])).building_on(Some(wrong));
        let result = store.append(Append::several(vec![write])).await;
        assert_fails!(result, StoreError::Conflict { .. });
    }
    let write = write(&stream, exactly(2), deposits([2])).building_on(Some(ids[1]));
    store
        .append(Append::several(vec![write]))
        .await
        .expect("it builds on the last entry");
    let write = self::write(&account("b"), exactly(0), deposits([3])).building_on(Some(ids[1]));
    let result = store.append(Append::several(vec![write])).await;
    assert_fails!(result, StoreError::Conflict { .. });
}

/// A chain through an append to several streams: it fails because of one stream, and what rests on
/// it in the other fails with it.
pub async fn a_chain_through_an_append_to_several_streams_fails_with_it<F: StoreFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    let (one, other) = (account("one"), account("other"));
    given(&store, &one, [0]).await;
    given(&store, &other, [0]).await;
    let (to_one, to_other) = (deposited(1), deposited(2));
    let rests_on = to_other.event_id;
    let several = Append::several(vec![
        write(&one, exactly(7), vec![to_one]),
        write(&other, exactly(1), vec![to_other]),
    ]);
    let foreign = Append::new(other.clone(), ANY, deposits([100]));
    let next = write(&other, exactly(2), deposits([3])).building_on(Some(rests_on));
    let futures = vec![
        store.append(several),
        store.append(foreign),
        store.append(Append::several(vec![next])),
    ];
    let mut results = in_flight(futures).await;
    assert_fails!(results.remove(0), StoreError::Conflict { .. });
    results.remove(0).expect("the foreign append fits");
    assert_fails!(results.remove(0), StoreError::Conflict { .. });
    assert_eq!(amounts(&log(&store).await), [0, 0, 100]);
}

/// A version that the writer once knew to be the last is refused when it is not any more.
pub async fn a_trusted_version_that_is_stale_is_refused<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let ids = given(&store, &stream, [0, 1]).await;
    for (at, entry) in [(1, Some(ids[0])), (1, None), (0, None)] {
        let write = write(&stream, exactly(at), deposits([9]))
            .building_on(entry)
            .trusted(true);
        let result = store.append(Append::several(vec![write])).await;
        assert_fails!(result, StoreError::Conflict { .. });
    }
    assert_eq!(versions(&read(&store, &stream).await), [1, 2]);
}

/// Futures dropped before, while and after they are carried out leave whole appends or none, and
/// nothing stuck behind them.
pub async fn a_dropped_append_is_stored_whole_or_not_at_all<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    for polls in 0..20 {
        let mut future = store.append(Append::new(stream.clone(), ANY, deposits([1, 2, 3])));
        for _ in 0..polls {
            if (&mut future).now_or_never().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(future);
        given(&store, &stream, [0]).await;
    }
    let read = amounts(&read(&store, &stream).await);
    let whole: Vec<_> = read.split(|amount| *amount == 0).collect();
    assert_eq!(whole.len(), 21);
    for between in whole {
        assert!(between.chunks(3).all(|part| part == [1, 2, 3]), "{read:?}");
    }
}

type AppendFuture<'a> = futures::future::BoxFuture<'a, Result<Appended, StoreError>>;

/// One append per event, each resting on the one before.
fn chain_of<'a>(
    store: &'a impl EventStore,
    stream: &StreamId,
    from: u64,
    mut entry: Option<EventId>,
    events: Vec<NewEvent>,
) -> Vec<AppendFuture<'a>> {
    let link = |(index, event): (usize, NewEvent)| {
        let expected = exactly(from + index as u64);
        let event_id = event.event_id;
        let write = StreamWrite::new(stream.clone(), expected, vec![event]).building_on(entry);
        entry = Some(event_id);
        store.append(Append::several(vec![write]))
    };
    events.into_iter().enumerate().map(link).collect()
}

async fn chain(
    store: &impl EventStore,
    stream: &StreamId,
    from: u64,
    entry: Option<EventId>,
    events: Vec<NewEvent>,
) -> Vec<Result<Appended, StoreError>> {
    in_flight(chain_of(store, stream, from, entry, events)).await
}
