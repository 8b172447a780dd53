//! Links to events.

use std::sync::Arc;

use ordain::store::{Deletion, Filter, ReadAll, ReadStream, Refusal};
use ordain::{EventId, EventStore, StoreError};

use super::StoreFixture;
use super::support::*;

/// Many events, into several streams; read there with the numbers of both places.
pub async fn c064_links_show_events_of_other_streams<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), 1..4).await;
    let b = given(&store, &account("b"), [10]).await;
    let large = stream("report", "large");
    for links in [&large, &stream("report", "other")] {
        let linked = link(&store, links, ANY, &[b[0], a[2], a[0]]).await;
        assert_eq!(linked.expect("linked").versions, [3]);
    }
    let events = read(&store, &large).await;
    assert_eq!(event_ids(&events), [b[0], a[2], a[0]]);
    assert_eq!(amounts(&events), [10, 3, 1]);
    assert_eq!(versions(&events), [1, 2, 3]);
    assert_eq!(positions(&events), [5, 6, 7]);
    let original = &events[1];
    assert_eq!(
        (&original.stream, original.version),
        (&account("a"), 3.into())
    );
    assert_eq!(original.position, 3);
    let place = original.link.as_ref().expect("read through a link");
    assert_eq!((&place.stream, place.version), (&large, 2.into()));
    let backward = read_by(&store, ReadStream::backward(large).limit(2)).await;
    assert_eq!(reversed(backward), events);
}

/// A link takes a version and a position; the log shows it only when asked.
pub async fn c064_links_stand_in_the_log_when_asked_for<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1, 2]).await;
    let links = stream("report", "all");
    let linked = link(&store, &links, NO_STREAM, &[a[1]])
        .await
        .expect("linked");
    assert_eq!(
        (linked.first_position, linked.last_position),
        (3.into(), 3.into())
    );
    given(&store, &account("b"), [3]).await;
    assert_eq!(positions(&log(&store).await), [1, 2, 4]);
    assert_eq!(store.head().await.expect("head"), 4);
    let with_links = ReadAll::forward().filter(Filter::all().with_links());
    let all = log_by(&store, with_links).await;
    assert_eq!(positions(&all), [1, 2, 3, 4]);
    assert_eq!(amounts(&all), [1, 2, 2, 3]);
}

/// The same event twice: refused, in one request and over two; nothing of the request is stored.
pub async fn c064_an_event_is_linked_once_in_a_stream<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1, 2, 3]).await;
    let links = stream("report", "all");
    let twice = link(&store, &links, ANY, &[a[0], a[1], a[0]]).await;
    assert_fails!(twice, StoreError::DuplicateEvent { event_id } if event_id == a[0]);
    link(&store, &links, ANY, &a[..1]).await.expect("linked");
    let again = link(&store, &links, ANY, &[a[1], a[0]]).await;
    assert_fails!(again, StoreError::DuplicateEvent { event_id } if event_id == a[0]);
    assert_eq!(amounts(&read(&store, &links).await), [1]);
    link(&store, &links, exactly(1), &a[1..])
        .await
        .expect("linked");
    assert_eq!(amounts(&read(&store, &links).await), [1, 2, 3]);
}

/// Targets that do not exist, and none at all.
pub async fn c064_a_link_needs_its_target<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1]).await;
    let (links, missing) = (stream("report", "all"), EventId::new());
    let result = link(&store, &links, ANY, &[a[0], missing]).await;
    assert_fails!(result, StoreError::LinkTargetNotFound { event_id } if event_id == missing);
    let result = link(&store, &links, ANY, &[]).await;
    assert_fails!(result, StoreError::Refused(Refusal::NoEvents { .. }));
    assert_eq!(version(&store, &links).await, 0);
    let head = store
        .delete_stream(&account("a"), ANY, Deletion::Soft)
        .await
        .expect("deleted");
    let tombstone = head.entry.expect("a tombstone has an id");
    let result = link(&store, &links, ANY, &[tombstone]).await;
    assert_fails!(result, StoreError::LinkTargetNotFound { .. });
}

/// Five tasks link one event: one does it.
pub async fn c064_five_identical_links_at_once_have_one_winner<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    let target = given(&*store, &account("a"), [1]).await[0];
    let results = at_once(5, |_| {
        let store = Arc::clone(&store);
        async move { link(&*store, &stream("report", "all"), ANY, &[target]).await }
    });
    let results = results.await;
    let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 4));
    for result in lost {
        assert_fails!(result, StoreError::DuplicateEvent { .. });
    }
}

/// Links heed the expected version as events do.
pub async fn c064_links_heed_the_expected_version<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), 1..5).await;
    let links = stream("report", "all");
    assert_conflict(
        link(&store, &links, exactly(1), &a[..1]).await,
        exactly(1),
        0,
    );
    assert_conflict(
        link(&store, &links, STREAM_EXISTS, &a[..1]).await,
        STREAM_EXISTS,
        0,
    );
    link(&store, &links, NO_STREAM, &a[..1])
        .await
        .expect("linked");
    assert_conflict(
        link(&store, &links, NO_STREAM, &a[1..2]).await,
        NO_STREAM,
        1,
    );
    assert_conflict(
        link(&store, &links, exactly(2), &a[1..2]).await,
        exactly(2),
        1,
    );
    link(&store, &links, exactly(1), &a[1..2])
        .await
        .expect("linked");
    link(&store, &links, STREAM_EXISTS, &a[2..3])
        .await
        .expect("linked");
    assert_eq!(amounts(&read(&store, &links).await), [1, 2, 3]);
}

/// Different events linked at the same expected version: one wins.
pub async fn d7_concurrent_links_at_one_version_have_one_winner<F: StoreFixture>(fixture: &F) {
    let store = Arc::new(fixture.open().await);
    let targets = given(&*store, &account("a"), 0..4).await;
    for at in 0..5 {
        let results = at_once(4, |task| {
            let (store, target) = (Arc::clone(&store), targets[task]);
            let links = stream("report", &at.to_string());
            async move { link(&*store, &links, exactly(0), &[target]).await }
        });
        let results = results.await;
        let (won, lost): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
        assert_eq!((won.len(), lost.len()), (1, 3));
        for result in lost {
            assert_conflict(result, exactly(0), 1);
        }
    }
}

/// A link to a link is a link to its target.
pub async fn a_link_to_a_link_leads_to_the_target<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1]).await;
    let (first, second) = (stream("report", "first"), stream("report", "second"));
    link(&store, &first, ANY, &a).await.expect("linked");
    let head = store.stream_head(&first).await.expect("head");
    let entry = head.entry.expect("a link has an id");
    assert_ne!(entry, a[0]);
    link(&store, &second, ANY, &[entry]).await.expect("linked");
    let events = read(&store, &second).await;
    assert_eq!((event_ids(&events), amounts(&events)), (a.clone(), vec![1]));
    assert_eq!(events[0].stream, account("a"));
    let again = link(&store, &second, ANY, &a).await;
    assert_fails!(again, StoreError::DuplicateEvent { .. });
}

/// A stream holds events of its own or links.
pub async fn a_stream_holds_either_events_or_links<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1, 2]).await;
    let links = stream("report", "all");
    link(&store, &links, ANY, &a[..1]).await.expect("linked");
    let result = append(&store, &links, exactly(1), deposits([3])).await;
    assert_fails!(result, StoreError::EventsAndLinks { links: true, .. });
    let result = link(&store, &account("a"), exactly(2), &a[..1]).await;
    assert_fails!(result, StoreError::EventsAndLinks { links: false, .. });
    assert_eq!(version(&store, &links).await, 1);
    assert_eq!(version(&store, &account("a")).await, 2);
}

/// The stream comes first, then what it holds, its version, then the targets.
pub async fn the_checks_of_a_link_have_an_order<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1]).await;
    let missing = EventId::new();
    let result = link(&store, &account("a"), exactly(7), &[missing]).await;
    assert_fails!(result, StoreError::EventsAndLinks { .. });
    let links = stream("report", "all");
    link(&store, &links, ANY, &a).await.expect("linked");
    let result = link(&store, &links, exactly(7), &[missing]).await;
    assert_conflict(result, exactly(7), 1);
    store
        .delete_stream(&links, ANY, Deletion::Soft)
        .await
        .expect("deleted");
    let result = link(&store, &links, exactly(7), &[missing]).await;
    assert_fails!(result, StoreError::StreamDeleted { .. });
}

/// A stream of links is deleted and undeleted as others are.
pub async fn a_stream_of_links_is_deleted_and_undeleted<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1, 2]).await;
    let links = stream("report", "all");
    link(&store, &links, ANY, &a[..1]).await.expect("linked");
    store
        .delete_stream(&links, exactly(1), Deletion::Soft)
        .await
        .expect("deleted");
    let result = link(&store, &links, ANY, &a[1..]).await;
    assert_fails!(result, StoreError::StreamDeleted { .. });
    store.undelete_stream(&links).await.expect("undeleted");
    let again = link(&store, &links, ANY, &a[..1]).await;
    assert_fails!(again, StoreError::DuplicateEvent { .. });
    link(&store, &links, exactly(2), &a[1..])
        .await
        .expect("linked");
    let events = read(&store, &links).await;
    assert_eq!(
        (amounts(&events), versions(&events)),
        (vec![1, 2], vec![1, 3])
    );
}

/// Links to erased events are passed over, and cannot be made.
pub async fn links_to_erased_events_are_passed_over<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1]).await;
    let b = given(&store, &account("b"), [2]).await;
    let links = stream("report", "all");
    link(&store, &links, ANY, &[a[0], b[0]])
        .await
        .expect("linked");
    store
        .delete_stream(&account("a"), ANY, Deletion::Hard)
        .await
        .expect("erased");
    for limit in [1, 10] {
        let events = read_by(&store, ReadStream::forward(links.clone()).limit(limit)).await;
        assert_eq!((amounts(&events), versions(&events)), (vec![2], vec![2]));
    }
    let with_links = ReadAll::forward().filter(Filter::all().with_links());
    assert_eq!(positions(&log_by(&store, with_links).await), [2, 4]);
    assert_eq!(version(&store, &links).await, 2);
    let result = link(&store, &stream("report", "new"), ANY, &a).await;
    assert_fails!(result, StoreError::LinkTargetNotFound { .. });
}

/// Erasing a stream of links does not touch the events they lead to.
pub async fn d1_erasing_links_leaves_their_targets<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let a = given(&store, &account("a"), [1, 2]).await;
    let (links, others) = (stream("report", "all"), stream("report", "others"));
    link(&store, &links, ANY, &a).await.expect("linked");
    link(&store, &others, ANY, &a).await.expect("linked");
    store
        .delete_stream(&links, ANY, Deletion::Hard)
        .await
        .expect("erased");
    assert_fails!(
        store.read_stream(ReadStream::forward(links)).await,
        StoreError::StreamErased { .. }
    );
    assert_eq!(amounts(&read(&store, &account("a")).await), [1, 2]);
    assert_eq!(amounts(&read(&store, &others).await), [1, 2]);
    assert_eq!(event_ids(&log(&store).await), a);
    let with_links = ReadAll::forward().filter(Filter::all().with_links());
    assert_eq!(positions(&log_by(&store, with_links).await), [1, 2, 5, 6]);
}
