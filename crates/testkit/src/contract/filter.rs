//! Filtered reads of the log.

use ordain::store::{Filter, ReadAll};
use ordain::{EventStore, NewEvent};
use serde_json::json;

use super::StoreFixture;
use super::support::*;

/// Types, categories and streams, each alone.
pub async fn a_filter_selects_by_type_category_or_stream<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    given_a_mixed_log(&store).await;
    let cases = [
        (Filter::all(), vec![1, 2, 3, 4, 5, 6]),
        (Filter::all().types(["Opened"]), vec![1, 3, 5]),
        (Filter::all().types(["Opened", "Closed"]), vec![1, 3, 5, 6]),
        (Filter::all().types(["opened"]), vec![]),
        (Filter::all().categories(["account"]), vec![1, 2, 3, 4]),
        (Filter::all().categories(["acc", "card"]), vec![5, 6]),
        (Filter::all().streams([account("a")]), vec![1, 2]),
        (
            Filter::all().streams([account("b"), stream("card", "a")]),
            vec![3, 4, 5, 6],
        ),
        (Filter::all().streams([account("none")]), vec![]),
    ];
    for (filter, expected) in cases {
        assert_reads(&store, &filter, &expected).await;
    }
}

/// Between the lists both must fit; within a list one.
pub async fn a_filter_asks_for_one_entry_of_every_list<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    given_a_mixed_log(&store).await;
    let opened = || Filter::all().types(["Opened"]);
    let cases = [
        (opened().categories(["account"]), vec![1, 3]),
        (opened().categories(["account", "card"]), vec![1, 3, 5]),
        (
            opened().streams([account("b"), stream("card", "a")]),
            vec![3, 5],
        ),
        (
            opened().categories(["card"]).streams([account("a")]),
            vec![],
        ),
        (
            opened().categories(["card"]).streams([stream("card", "a")]),
            vec![5],
        ),
    ];
    for (filter, expected) in cases {
        assert_reads(&store, &filter, &expected).await;
    }
}

/// A link counts by the stream that holds it and by the type of its target.
pub async fn a_filter_sees_links_only_when_asked<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    given_a_mixed_log(&store).await;
    let first = log(&store).await[0].event_id;
    let links = stream("report", "all");
    link(&store, &links, ANY, &[first]).await.expect("linked");
    let cases = [
        (Filter::all().streams([links.clone()]), vec![]),
        (Filter::all().streams([links]).with_links(), vec![7]),
        (Filter::all().categories(["report"]).with_links(), vec![7]),
        (
            Filter::all().categories(["account"]).with_links(),
            vec![1, 2, 3, 4],
        ),
        (Filter::all().types(["Opened"]), vec![1, 3, 5]),
        (
            Filter::all().types(["Opened"]).with_links(),
            vec![1, 3, 5, 7],
        ),
    ];
    for (filter, expected) in cases {
        assert_reads(&store, &filter, &expected).await;
    }
}

/// A page examines as many positions as it may, wanted or not, and says how far it came.
pub async fn a_page_examines_unwanted_events_too<F: StoreFixture>(fixture: &F) {
    let (store, busy) = (fixture.open().await, account("busy"));
    for round in 0..10 {
        given(&store, &busy, [round]).await;
    }
    given(&store, &account("rare"), [10]).await;
    let rare = Filter::all().streams([account("rare")]);
    let read = ReadAll::forward().limit(4).filter(rare);
    for (after, examined, found) in [(0, 4, 0), (4, 8, 0), (8, 11, 1), (11, 11, 0)] {
        let page = store
            .read_all(read.clone().after(after))
            .await
            .expect("page");
        assert_eq!((page.examined.get(), page.events.len()), (examined, found));
        assert_eq!(page.at_end, examined == 11);
    }
    let read = ReadAll::backward().limit(4).filter(read.filter);
    for (after, examined, found) in [(u64::MAX, 8, 1), (8, 4, 0), (4, 1, 0)] {
        let page = store
            .read_all(read.clone().after(after))
            .await
            .expect("page");
        assert_eq!((page.examined.get(), page.events.len()), (examined, found));
        assert_eq!(page.at_end, examined == 1);
    }
}

/// Matches that lie close and far apart: a page with room takes all of its positions.
pub async fn a_page_does_not_end_early_because_of_its_filter<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..100_u64 {
        let id = if round.is_power_of_two() {
            "wanted"
        } else {
            "other"
        };
        given(&store, &account(id), [round]).await;
    }
    let wanted = Filter::all().streams([account("wanted")]);
    for limit in [1, 10, 33, 99, 100, 1_000] {
        let read = ReadAll::forward().limit(limit).filter(wanted.clone());
        let page = store.read_all(read.clone()).await.expect("page");
        assert_eq!(page.examined, u64::from(limit.min(100)));
        assert_eq!(page.at_end, limit >= 100);
        assert_eq!(
            amounts(&log_by(&store, read).await),
            [1, 2, 4, 8, 16, 32, 64]
        );
    }
}

/// A filter that matches nothing moves on as others append, and never past the head.
pub async fn a_filter_that_matches_nothing_follows_the_head<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    let nothing = Filter::all().types(["Nothing"]);
    let mut after = ordain::GlobalPosition::ORIGIN;
    for round in 1..6 {
        given(&store, &account("a"), [round]).await;
        let read = ReadAll::forward().after(after).filter(nothing.clone());
        let page = store.read_all(read).await.expect("page");
        assert!(page.events.is_empty() && page.at_end);
        assert_eq!(page.examined, round);
        after = page.examined;
    }
}

/// Long lists of wanted things.
pub async fn a_filter_may_have_many_entries<F: StoreFixture>(fixture: &F) {
    let store = fixture.open().await;
    given_a_mixed_log(&store).await;
    let types = (0..500)
        .map(|n| format!("Type{n}"))
        .chain(["Closed".to_owned()]);
    let streams = (0..500)
        .map(|n| account(&n.to_string()))
        .chain([stream("card", "a")]);
    let filter = Filter::all().types(types).streams(streams);
    assert_reads(&store, &filter, &[6]).await;
}

async fn given_a_mixed_log(store: &impl EventStore) {
    let log: [(_, &'static str); 6] = [
        (account("a"), "Opened"),
        (account("a"), "MoneyDeposited"),
        (account("b"), "Opened"),
        (account("b"), "MoneyDeposited"),
        (stream("card", "a"), "Opened"),
        (stream("card", "a"), "Closed"),
    ];
    for (stream, event_type) in log {
        let event: NewEvent = event(event_type, &json!({}));
        append(store, &stream, ANY, vec![event])
            .await
            .expect("appended");
    }
}

async fn assert_reads(store: &impl EventStore, filter: &Filter, expected: &[u64]) {
    for limit in [1, 4, 100] {
        let forward = ReadAll::forward().limit(limit).filter(filter.clone());
        let forward = log_by(store, forward).await;
        assert_eq!(positions(&forward), expected, "{filter:?}, limit {limit}");
        let backward = ReadAll::backward().limit(limit).filter(filter.clone());
        assert_eq!(
            reversed(log_by(store, backward).await),
            forward,
            "{filter:?}"
        );
    }
}
