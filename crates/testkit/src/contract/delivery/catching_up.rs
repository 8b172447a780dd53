//! Events come in order, each once, from history over into what is appended now.

use std::sync::Arc;
use std::time::Duration;

use ordain::store::{Arrivals, Deletion, Filter, ReadAll};
use ordain::subscription::{
    Events, Follow, FollowError, StartFrom, Subscribe, Subscription, WhenSlow,
};
use ordain::{App, EventStore, RecordedEvent};

use super::super::SubscriptionFixture;
use super::super::support::*;
use super::support::*;
use crate::FaultyStore;

async fn followed(app: &App, follow: Follow) -> Events {
    app.follow(follow).await.expect("the log is followed")
}

/// The next events.
async fn came(events: &mut Events, count: usize) -> Vec<RecordedEvent> {
    let mut list = Vec::new();
    for _ in 0..count {
        let next = soon("an event comes", events.next()).await;
        list.push(next.expect("the app goes on").expect("no failure"));
    }
    list
}

fn origin() -> Follow {
    Follow::new().start_from(StartFrom::Origin)
}

fn only(streams: impl IntoIterator<Item = ordain::StreamId>) -> Filter {
    Filter::all().streams(streams)
}

/// Whoever follows one stream gets what is appended to it, in order.
pub async fn c021_who_follows_a_stream_gets_its_events_in_order<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut events = followed(&app, Follow::new().filter(only([account("a")]))).await;
    for amounts in [1..=1, 2..=3, 4..=6] {
        given(&store, &account("a"), amounts).await;
    }
    let events = came(&mut events, 6).await;
    assert_eq!(versions(&events), [1, 2, 3, 4, 5, 6]);
    assert_eq!(amounts(&events), [1, 2, 3, 4, 5, 6]);
    assert_eq!(events, read(&store, &account("a")).await);
    shut_down(app).await;
}

/// What is appended to other streams does not come.
pub async fn c022_who_follows_a_stream_gets_nothing_of_others<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut events = followed(&app, Follow::new().filter(only([account("a")]))).await;
    given(&store, &account("b"), [1, 2]).await;
    given(&store, &account("a"), [3]).await;
    assert_eq!(amounts(&came(&mut events, 1).await), [3]);
    shut_down(app).await;
}

/// Whoever follows all gets everything in the order of the log.
pub async fn c023_who_follows_all_gets_the_order_of_the_log<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut events = followed(&app, Follow::new()).await;
    for (stream, amount) in [("a", 1), ("b", 2), ("c", 3), ("a", 4)] {
        given(&store, &account(stream), [amount]).await;
    }
    let events = came(&mut events, 4).await;
    assert_eq!(positions(&events), [1, 2, 3, 4]);
    assert_eq!(versions(&events), [1, 1, 1, 2]);
    assert_eq!(events, log(&store).await);
    shut_down(app).await;
}

/// Catching up and going live, while several tasks append: every event once, in order.
pub async fn c071_history_goes_over_into_live_while_events_are_appended<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    const EACH: u64 = 40;
    let store = fixture.open().await;
    rounds(&store, 5, 10).await;
    let app = start(on(&store)).await;
    let options = quick().page(9).window(11);
    let mut open = open(&app, all().options(options)).await;
    let mut events = followed(&app, origin()).await;
    let writing = at_once(3, |task| {
        let store = store.clone();
        async move {
            for amount in 0..EACH {
                given(&store, &account(&format!("{task}")), [amount]).await;
            }
        }
    });
    let count = 50 + 3 * EACH as usize;
    let (_, acked, followed) =
        tokio::join!(writing, acked(&mut open, count), came(&mut events, count));
    let all: Vec<_> = (1..=count as u64).collect();
    assert_eq!(acked, all);
    assert_eq!(positions(&followed), all);
    assert_eq!(followed, log(&store).await);
    shut_down(app).await;
}

/// A subscription begins where it is told to: after a position, at the origin, or with what comes.
pub async fn c072_a_subscription_begins_where_it_is_told<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=5).await;
    let app = start(on(&store)).await;
    for (name, from, first) in [
        ("origin", StartFrom::Origin, 1),
        ("third", StartFrom::Position(3.into()), 4),
        ("current", StartFrom::Current, 6),
    ] {
        let subscribe = Subscribe::new(name).options(quick().start_from(from));
        let mut open = open(&app, subscribe).await;
        let mut events = followed(&app, Follow::new().start_from(from)).await;
        if name == "current" {
            given(&store, &account("a"), [6]).await;
        }
        assert_eq!(acked(&mut open, 1).await, [first]);
        assert_eq!(positions(&came(&mut events, 1).await), [first]);
    }
    shut_down(app).await;
}

/// A subscription of a stream that does not exist gets its events once there are any.
pub async fn c073_a_stream_that_does_not_exist_yet_is_subscribed_to<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut open = open(&app, all().filter(only([account("a")]))).await;
    given(&store, &account("b"), [1, 2]).await;
    wait(&app, "open", 2)
        .await
        .expect("it passes what it does not want");
    given(&store, &account("a"), [3]).await;
    assert_eq!(acked(&mut open, 1).await, [3]);
    shut_down(app).await;
}

/// A store's hand-over may be lost, doubled, late or out of order: what comes is what is stored.
pub async fn c074_what_is_handed_over_may_be_lost_doubled_or_shuffled<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    const EACH: u64 = 60;
    let inner = fixture.open().await;
    let arrivals = Arrivals::new();
    let store = FaultyStore::new(inner.clone()).with_arrivals(arrivals.clone());
    let app = start(on(&store)).await;
    let mut open = open(&app, all()).await;
    let mut events = followed(&app, origin()).await;
    let mangling = tokio::spawn(mangle(inner.clone(), arrivals));
    let writing = at_once(3, |task| {
        let store = inner.clone();
        async move {
            for amount in 0..EACH {
                given(&store, &account(&format!("{task}")), [amount, amount]).await;
            }
        }
    });
    let count = 6 * EACH as usize;
    let (_, acked, followed) =
        tokio::join!(writing, acked(&mut open, count), came(&mut events, count));
    mangling.abort();
    assert_eq!(acked, (1..=count as u64).collect::<Vec<_>>());
    assert_eq!(followed, log(&inner).await);
    shut_down(app).await;
}

/// Hands over what is in the log, as badly as it may be done.
async fn mangle(store: impl EventStore, arrivals: Arrivals) {
    let mut random = Random::new(74);
    let mut told = store.arrivals().map(|arrivals| arrivals.follow());
    let mut from = 0;
    let mut late: Vec<Vec<RecordedEvent>> = Vec::new();
    loop {
        if let Some(told) = &mut told {
            // Hands over at its own pace what it reads, when something is there.
            let _ = tokio::time::timeout(Duration::from_millis(20), told.next()).await;
        }
        tokio::task::yield_now().await;
        let read = ReadAll::forward()
            .after(from)
            .limit(1 + random.below(7) as u32);
        let Ok(page) = store.read_all(read).await else {
            return;
        };
        from = page.examined.get();
        if !page.events.is_empty() {
            late.push(page.events);
        }
        if late.is_empty() || random.below(4) == 0 {
            continue;
        }
        let index = random.below(late.len() as u64) as usize;
        match random.below(5) {
            0 => drop(late.swap_remove(index)),
            1 => arrivals.hand_over(late[index].clone()),
            2 => arrivals.announce(),
            _ => arrivals.hand_over(late.swap_remove(index)),
        }
    }
}

/// Subscriptions of a stream and of all work side by side; each gets everything it wants.
pub async fn c075_subscriptions_work_side_by_side<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let one = Subscribe::new("one")
        .filter(only([account("1")]))
        .options(quick());
    let mut one = open(&app, one).await;
    let mut all: Vec<Subscription> = Vec::new();
    for name in ["x", "y", "z"] {
        all.push(open(&app, Subscribe::new(name).options(quick())).await);
    }
    rounds(&store, 3, 4).await;
    assert_eq!(acked(&mut one, 4).await, [2, 5, 8, 11]);
    for open in &mut all {
        assert_eq!(acked(open, 12).await, (1..=12).collect::<Vec<_>>());
    }
    shut_down(app).await;
}

/// A subscription of a stream of links gets what is linked, before and after it is made.
pub async fn c076_links_are_delivered_to_those_who_want_them<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let report = stream("report", "all");
    let ids = given(&store, &account("a"), 1..=4).await;
    link(&store, &report, ANY, &ids[..2]).await.expect("linked");
    let app = start(on(&store)).await;
    let filter = only([report.clone()]).with_links();
    let mut links = open(&app, all().filter(filter)).await;
    let mut others = open(&app, Subscribe::new("others").options(quick())).await;
    assert_eq!(acked(&mut links, 2).await, [5, 6]);
    link(&store, &report, ANY, &ids[2..]).await.expect("linked");
    let last = taken(&mut links, 2).await;
    assert_eq!(last.iter().map(position_of).collect::<Vec<_>>(), [7, 8]);
    let targets: Vec<_> = last.iter().map(|one| one.event.event_id).collect();
    assert_eq!(targets, ids[2..]);
    // Those who do not ask for links get each event once, and pass the links.
    given(&store, &account("a"), [5]).await;
    assert_eq!(acked(&mut others, 5).await, [1, 2, 3, 4, 9]);
    shut_down(app).await;
}

/// Events of a deleted stream are delivered, those of an erased one are not; the checkpoint passes both.
pub async fn c077_deleted_streams_are_delivered_and_erased_ones_passed<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    for name in ["soft", "hard", "stays"] {
        given(&store, &account(name), [1, 2]).await;
    }
    for (name, deletion) in [("soft", Deletion::Soft), ("hard", Deletion::Hard)] {
        let deleted = store.delete_stream(&account(name), ANY, deletion).await;
        deleted.expect("deleted");
    }
    let app = start(on(&store)).await;
    let mut open = open(&app, all()).await;
    assert_eq!(acked(&mut open, 4).await, [1, 2, 5, 6]);
    caught_up(&app, "open").await;
    shut_down(app).await;
}

/// A delete at the end of the log has no event; waiting for the end is met all the same.
pub async fn c077_a_delete_at_the_end_is_passed<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new();
    let app = start(on(&store).event_handler(noting.clone())).await;
    for (name, deletion) in [("a", Deletion::Soft), ("b", Deletion::Hard)] {
        given(&store, &account(name), [1]).await;
        noting.seen.until(1).await;
        let deleted = store.delete_stream(&account(name), ANY, deletion).await;
        deleted.expect("deleted");
        caught_up(&app, "noting").await;
        let status = status_when(&app, "noting", |_| true).await;
        assert_eq!(status.lag, 0);
    }
    shut_down(app).await;
}

/// A soft delete is no event, and does not keep what comes after it from being delivered.
pub async fn d4_a_soft_delete_disturbs_nobody<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut open = open(&app, all()).await;
    for round in 0..5_u64 {
        given(&store, &account("a"), [round]).await;
        let deleted = store
            .delete_stream(&account("a"), ANY, Deletion::Soft)
            .await;
        deleted.expect("deleted");
        let undeleted = store.undelete_stream(&account("a")).await;
        undeleted.expect("undeleted");
        let position = acked(&mut open, 1).await[0];
        assert!(position > round);
    }
    caught_up(&app, "open").await;
    shut_down(app).await;
}

/// Whoever falls behind reads pages again, and misses nothing.
pub async fn c094_who_falls_behind_what_is_kept_for_it_reads_pages_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    const COUNT: u64 = 300;
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let slow = quick().window(1).page(13);
    let mut slow = open(&app, all().options(slow)).await;
    let mut fast = open(&app, Subscribe::new("fast").options(quick())).await;
    let mut follower = followed(&app, origin().buffer(1)).await;
    given(&store, &account("a"), [0]).await;
    assert_eq!(acked(&mut fast, 1).await, [1]);
    // Live, and idle, while far more batches come than are kept.
    for amount in 1..COUNT {
        given(&store, &account("a"), [amount]).await;
        acked(&mut fast, 1).await;
    }
    let count = COUNT as usize;
    let expected: Vec<_> = (1..=COUNT).collect();
    assert_eq!(acked(&mut slow, count).await, expected);
    assert_eq!(positions(&came(&mut follower, count).await), expected);
    given(&store, &account("a"), [COUNT]).await;
    assert_eq!(acked(&mut slow, 1).await, [COUNT + 1]);
    shut_down(app).await;
}

/// However many events a subscription keeps or reads at once, it gets the same.
pub async fn c094_every_page_and_window_gives_the_same<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    rounds(&store, 3, 10).await;
    let app = start(on(&store)).await;
    for (page, window) in [(1, 1), (1, 30), (30, 1), (7, 5), (1_000, 1_000)] {
        let name = format!("{page} {window}");
        let options = quick().page(page).window(window);
        let mut open = open(&app, Subscribe::new(&name).options(options)).await;
        assert_eq!(acked(&mut open, 30).await, (1..=30).collect::<Vec<_>>());
    }
    shut_down(app).await;
}

/// A reader that must keep up and does not is told so after what it was given, and where to go on.
pub async fn c095_a_slow_reader_is_told_and_misses_nothing_in_silence<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let follow = Follow::new().buffer(3).when_slow(WhenSlow::End);
    let mut events = followed(&app, follow).await;
    let mut fast = open(&app, Subscribe::new("fast").options(quick())).await;
    let (mut count, mut told) = (0, None);
    given(&store, &account("a"), [0]).await;
    acked(&mut fast, 1).await;
    came(&mut events, 1).await;
    for amount in 1..=50 {
        given(&store, &account("a"), [amount]).await;
        acked(&mut fast, 1).await;
    }
    while let Some(next) = soon("it is told", events.next()).await {
        match next {
            Ok(event) => {
                count += 1;
                assert_eq!(event.position, count + 1);
            }
            Err(FollowError::Lagging { position }) => told = Some(position),
            Err(other) => panic!("{other}"),
        }
    }
    let told = told.expect("it was told");
    assert_eq!(told, count + 1);
    let mut events = followed(&app, Follow::new().start_from(StartFrom::Position(told))).await;
    assert_eq!(positions(&came(&mut events, 1).await), [told.get() + 1]);
    shut_down(app).await;
}

/// Without a word from the store, the log is looked at by itself.
pub async fn c086_what_nobody_tells_of_is_delivered<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let inner = fixture.open().await;
    let silent = FaultyStore::new(inner.clone()).with_arrivals(Arrivals::new());
    let app = start(on(&silent)).await;
    let mut open = open(&app, all()).await;
    for amount in 1..=5 {
        given(&inner, &account("a"), [amount]).await;
        assert_eq!(acked(&mut open, 1).await, [amount]);
    }
    shut_down(app).await;
}

/// What another process appends is delivered too.
pub async fn c071_what_another_process_appends_is_delivered<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let Some(other) = fixture.open_another_handle(&store).await else {
        return not_asserted("the store's data has one handle");
    };
    let app = start(on(&store)).await;
    let mut open = open(&app, all()).await;
    for round in 0..5 {
        given(&other, &account("a"), [1, 2]).await;
        given(&store, &account("a"), [3]).await;
        let expected = [1, 2, 3].map(|number| 3 * round + number);
        assert_eq!(acked(&mut open, 3).await, expected);
    }
    shut_down(app).await;
}
