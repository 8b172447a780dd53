//! Commands that come again.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use ordain::store::{Append, CommandKey, Deletion, NewOutcome, Repeat, StreamWrite};
use ordain::{CommandId, EventId, EventStore, StoreError, StreamVersion};
use time::{Duration, OffsetDateTime};

use super::StoreFixture;
use super::support::*;

/// The events of a command are found when it comes again, even at a version that does not fit.
pub async fn a_command_with_events_is_recognised<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    given(&store, &stream, [0]).await;
    let (key, events) = command(&stream, [1, 2]);
    assert_eq!(store.find_repeat(&key).await.expect("find"), None);
    let append = Append::new(stream.clone(), exactly(1), events).for_command(key.clone());
    store.append(append.clone()).await.expect("appended");
    let found = Repeat::Events(StreamVersion::new(2));
    assert_eq!(
        store.find_repeat(&key).await.expect("find"),
        Some(found.clone())
    );
    given(&store, &stream, [3]).await;
    assert_fails!(
        store.append(append).await,
        StoreError::Repeated(repeat) if repeat == found
    );
    assert_eq!(amounts(&log(&store).await), [0, 1, 2, 3]);
}

/// A command's remembered answer is found when it comes again.
pub async fn a_command_with_a_remembered_outcome_is_recognised<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let entry = given(&store, &stream, [0]).await[0];
    let (key, events) = command(&stream, [1]);
    store
        .record_outcome(outcome(&key, 1, Some(entry), b"no"))
        .await
        .expect("recorded");
    let found = Repeat::Outcome(Bytes::from_static(b"no"));
    assert_eq!(
        store.find_repeat(&key).await.expect("find"),
        Some(found.clone())
    );
    let append = Append::new(stream.clone(), exactly(1), events).for_command(key);
    assert_fails!(
        store.append(append).await,
        StoreError::Repeated(repeat) if repeat == found
    );
    assert_eq!(amounts(&log(&store).await), [0]);
}

/// The key is command and stream: the same command on another stream is another one.
pub async fn a_command_is_recognised_only_on_its_stream<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let id = CommandId::new();
    let on_a = CommandKey::new(id, account("a"));
    let on_b = CommandKey::new(id, account("b"));
    store
        .record_outcome(outcome(&on_a, 0, None, b"no"))
        .await
        .expect("recorded");
    assert!(store.find_repeat(&on_a).await.expect("find").is_some());
    assert_eq!(store.find_repeat(&on_b).await.expect("find"), None);
    let mut event = deposited(1);
    event.event_id = on_b.first_event;
    let append = Append::new(account("b"), NO_STREAM, vec![event]).for_command(on_b);
    store.append(append).await.expect("appended");
}

/// An answer of an aggregate that does not exist is remembered, and makes no stream.
pub async fn an_outcome_does_not_make_a_stream<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let key = CommandKey::new(CommandId::new(), stream.clone());
    store
        .record_outcome(outcome(&key, 0, None, b"not found"))
        .await
        .expect("recorded");
    assert_eq!(
        store.stream_head(&stream).await.expect("head"),
        Default::default()
    );
    assert_fails!(
        store.stream_info(&stream).await,
        StoreError::StreamNotFound { .. }
    );
    assert_eq!(store.head().await.expect("head"), 0);
    append(&store, &stream, NO_STREAM, deposits([1]))
        .await
        .expect("there is no stream");
}

/// An answer is not remembered once the stream it was decided on has moved.
pub async fn an_outcome_decided_on_a_stream_that_moved_is_refused<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let ids = given(&store, &stream, [0, 1]).await;
    let key = CommandKey::new(CommandId::new(), stream.clone());
    for (version, entry) in [
        (0, None),
        (1, Some(ids[0])),
        (2, Some(ids[0])),
        (2, Some(EventId::new())),
        (3, Some(ids[1])),
    ] {
        let result = store
            .record_outcome(outcome(&key, version, entry, b"no"))
            .await;
        assert_fails!(
            result,
            StoreError::Conflict { actual, .. } if actual == StreamVersion::new(2)
        );
    }
    assert_eq!(store.find_repeat(&key).await.expect("find"), None);
}

/// The first answer stays; a command with events gets no answer beside them.
pub async fn a_command_has_one_outcome_or_events<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let key = CommandKey::new(CommandId::new(), stream.clone());
    store
        .record_outcome(outcome(&key, 0, None, b"first"))
        .await
        .expect("recorded");
    let result = store
        .record_outcome(outcome(&key, 0, None, b"second"))
        .await;
    assert_fails!(
        result,
        StoreError::Repeated(Repeat::Outcome(data)) if data == b"first"[..]
    );

    let (key, events) = command(&stream, [1]);
    let entry = events[0].event_id;
    let append = Append::new(stream, NO_STREAM, events).for_command(key.clone());
    store.append(append).await.expect("appended");
    let result = store
        .record_outcome(outcome(&key, 1, Some(entry), b"no"))
        .await;
    assert_fails!(
        result,
        StoreError::Repeated(Repeat::Events(version)) if version == StreamVersion::FIRST
    );
}

/// Four tasks accept or refuse one command: one effect, and all learn of it.
pub async fn a_command_dispatched_by_many_has_one_effect<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    for round in 0..10 {
        let stream = account(&round.to_string());
        let (key, events) = command(&stream, [1]);
        let results = at_once(4, |task| {
            let (store, stream) = (Arc::clone(&store), stream.clone());
            let (key, events) = (key.clone(), events.clone());
            async move {
                if task % 2 == 0 {
                    let append = Append::new(stream, ANY, events).for_command(key);
                    return store.append(append).await.map(drop);
                }
                store.record_outcome(outcome(&key, 0, None, b"no")).await
            }
        });
        let results = results.await;
        let (done, repeated): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((done.len(), repeated.len()), (1, 3));
        let found = store
            .find_repeat(&key)
            .await
            .expect("find")
            .expect("it was dispatched");
        for result in repeated {
            assert_fails!(result, StoreError::Repeated(repeat) if repeat == found);
        }
    }
}

/// What is asked first decides the answer: input, deadline, repetition, the stream, its version.
pub async fn the_checks_of_an_append_have_an_order<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let (key, events) = command(&stream, [1]);
    let append = Append::new(stream.clone(), exactly(7), events.clone()).for_command(key.clone());
    let mut fresh = append.clone();
    fresh.writes[0].expected = NO_STREAM;
    store.append(fresh).await.expect("appended");
    store
        .delete_stream(&stream, ANY, Deletion::Soft)
        .await
        .expect("deleted");

    let mut late = append.clone().with_deadline(Some(Instant::now()));
    assert_fails!(store.append(late.clone()).await, StoreError::DeadlinePassed);
    late.writes[0].events.clear();
    assert_fails!(store.append(late).await, StoreError::Refused(_));
    assert_fails!(store.append(append).await, StoreError::Repeated(_));
    let not_repeated = Append::new(stream.clone(), exactly(7), events);
    assert_fails!(
        store.append(not_repeated.clone()).await,
        StoreError::StreamDeleted { .. }
    );
    store.undelete_stream(&stream).await.expect("undeleted");
    assert_conflict(store.append(not_repeated).await, exactly(7), 2);
}

/// A command that wrote to several streams is recognised by that of its aggregate.
pub async fn a_command_on_several_streams_is_recognised<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (key, events) = command(&account("own"), [1]);
    let writes = vec![
        write(&account("other"), ANY, deposits([2])),
        StreamWrite::new(account("own"), ANY, events),
    ];
    let append = Append::several(writes).for_command(key);
    store.append(append.clone()).await.expect("appended");
    assert_fails!(
        store.append(append).await,
        StoreError::Repeated(Repeat::Events(version)) if version == StreamVersion::FIRST
    );
    assert_eq!(version(&store, &account("other")).await, 1);
}

/// Answers older than a time are forgotten, others and events are not.
pub async fn outcomes_are_forgotten_by_age<F: StoreFixture>(fixture: &F) {
    let (store, stream) = (fixture.open().await, account("a"));
    let keys: Vec<_> = (0..3)
        .map(|_| CommandKey::new(CommandId::new(), stream.clone()))
        .collect();
    for key in &keys {
        store
            .record_outcome(outcome(key, 0, None, b"no"))
            .await
            .expect("recorded");
    }
    let (with_events, events) = command(&stream, [1]);
    let append = Append::new(stream, ANY, events).for_command(with_events.clone());
    store.append(append).await.expect("appended");

    let now = OffsetDateTime::now_utc();
    let forget = async |before| store.forget_outcomes(before).await.expect("forgotten");
    assert_eq!(forget(now - Duration::days(1)).await, 0);
    assert!(store.find_repeat(&keys[0]).await.expect("find").is_some());
    assert_eq!(forget(now + Duration::days(1)).await, 3);
    assert_eq!(forget(now + Duration::days(1)).await, 0);
    for key in &keys {
        assert_eq!(store.find_repeat(key).await.expect("find"), None);
    }
    assert!(
        store
            .find_repeat(&with_events)
            .await
            .expect("find")
            .is_some()
    );
}

fn outcome(
    command: &CommandKey,
    version: u64,
    entry: Option<EventId>,
    data: &'static [u8],
) -> NewOutcome {
    NewOutcome {
        command: command.clone(),
        version: version.into(),
        entry,
        data: Bytes::from_static(data),
    }
}
