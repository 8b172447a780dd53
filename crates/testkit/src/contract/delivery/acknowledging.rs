//! Durable subscriptions that the user drives: delivery, acknowledgements, checkpoints.

use std::sync::Arc;
use std::time::Duration;

use ordain::store::Filter;
use ordain::subscription::{StartFrom, Subscribe, SubscriptionError};

use super::super::SubscriptionFixture;
use super::super::support::*;
use super::support::*;

fn only(name: &str) -> Filter {
    Filter::all().streams([account(name)])
}

/// A subscription is there as soon as it is opened, and says how it stands.
pub async fn c024_c030_an_opened_subscription_is_there<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let open = open(&app, all()).await;
    let status = status_when(&app, "open", |status| status.partitions[0].owner.is_some()).await;
    assert_eq!((status.position.get(), status.members), (0, 1));
    open.close().await;
    shut_down(app).await;
}

/// What is appended in any number of appends comes in order, nothing else.
pub async fn c025_appended_events_are_delivered_in_order<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut open = open(&app, all().filter(only("a"))).await;
    for amounts in [1..=1, 2..=3, 4..=6] {
        given(&store, &account("a"), amounts).await;
    }
    assert_eq!(acked(&mut open, 6).await, [1, 2, 3, 4, 5, 6]);
    assert_quiet(&app, &mut open).await;
    shut_down(app).await;
}

/// Events of other streams do not come.
pub async fn c026_events_of_other_streams_are_not_delivered<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut open = open(&app, all().filter(only("a"))).await;
    for stream in ["a", "b", "a", "c", "a"] {
        given(&store, &account(stream), [1]).await;
    }
    assert_eq!(acked(&mut open, 3).await, [1, 3, 5]);
    assert_quiet(&app, &mut open).await;
    shut_down(app).await;
}

/// From the current end on, only what comes later is delivered.
pub async fn c027_c033_from_the_end_on_only_later_events_come<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=3).await;
    let app = start(on(&store)).await;
    let options = quick().start_from(StartFrom::Current);
    let one = Subscribe::new("one").filter(only("a"));
    let mut one = open(&app, one.options(options.clone())).await;
    let mut every = open(&app, Subscribe::new("every").options(options)).await;
    for stream in ["a", "b", "a"] {
        given(&store, &account(stream), [1]).await;
    }
    assert_eq!(acked(&mut one, 2).await, [4, 6]);
    assert_eq!(acked(&mut every, 3).await, [4, 5, 6]);
    shut_down(app).await;
}

/// From the origin on, history comes first and later events follow, without a gap or a repeat.
pub async fn c028_c031_c032_history_comes_first_and_later_events_follow<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    rounds(&store, 3, 2).await;
    let app = start(on(&store)).await;
    let mut one = open(
        &app,
        Subscribe::new("one").filter(only("1")).options(quick()),
    )
    .await;
    let mut every = open(&app, all()).await;
    rounds(&store, 3, 2).await;
    assert_eq!(acked(&mut one, 4).await, [2, 5, 8, 11]);
    assert_eq!(acked(&mut every, 12).await, (1..=12).collect::<Vec<_>>());
    shut_down(app).await;
}

/// A filter selects what comes, of history and later.
pub async fn c029_c034_a_filter_selects_what_comes<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let write = async |amount: u64| {
        let other = event("MoneyCounted", &serde_json::json!({}));
        append(&store, &account("a"), ANY, vec![deposited(amount), other])
            .await
            .expect("appended");
        given(&store, &stream("till", "1"), [amount]).await;
    };
    write(1).await;
    let by_type = Filter::all().types(["MoneyDeposited"]);
    let by_category = Filter::all().categories(["till"]);
    let both = by_type.clone().categories(["account"]);
    let mut open_with = Vec::new();
    for (name, filter) in [("type", by_type), ("category", by_category), ("both", both)] {
        open_with.push(open(&app, Subscribe::new(name).filter(filter).options(quick())).await);
    }
    write(2).await;
    assert_eq!(acked(&mut open_with[0], 4).await, [1, 3, 4, 6]);
    assert_eq!(acked(&mut open_with[1], 2).await, [3, 6]);
    assert_eq!(acked(&mut open_with[2], 2).await, [1, 4]);
    shut_down(app).await;
}

/// A process opens a subscription once.
pub async fn c035_c037_c088_a_process_opens_a_subscription_once<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let first = open(&app, all()).await;
    let again = app.subscribe(all()).await;
    assert!(matches!(again, Err(SubscriptionError::AlreadyOpen { .. })));
    let other = app.subscribe(all().filter(only("a"))).await;
    assert!(matches!(
        other,
        Err(SubscriptionError::FilterChanged { .. })
    ));
    first.close().await;
    open(&app, all()).await.close().await;
    shut_down(app).await;
}

/// What was closed gets nothing more.
pub async fn c043_c099_a_closed_subscription_gets_nothing<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut first = open(&app, all()).await;
    given(&store, &account("a"), [1]).await;
    assert_eq!(acked(&mut first, 1).await, [1]);
    first.close().await;
    given(&store, &account("a"), [2]).await;
    let status = status_when(&app, "open", |status| status.partitions[0].owner.is_none()).await;
    assert_eq!((status.position.get(), status.lag), (1, 1));
    shut_down(app).await;
}

/// Opened again, a subscription goes on after the last acknowledgement, with what came meanwhile.
pub async fn c044_a_subscription_goes_on_after_the_last_acknowledgement<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    given(&store, &account("a"), [1]).await;
    for round in 0..3 {
        let app = start(on(&store)).await;
        let mut open = open(&app, all()).await;
        given(&store, &account("a"), [1]).await;
        assert_eq!(acked(&mut open, 2).await, [2 * round + 1, 2 * round + 2]);
        drop(open);
        shut_down(app).await;
        given(&store, &account("a"), [2]).await;
    }
}

/// A subscription that was removed is gone; made again, it begins where it is told.
pub async fn c045_c046_a_removed_subscription_begins_anew<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    given(&store, &account("a"), 1..=3).await;
    let mut first = open(&app, all()).await;
    assert_eq!(acked(&mut first, 3).await, [1, 2, 3]);
    first.close().await;
    assert!(app.subscriptions().remove("open").await.expect("removed"));
    assert!(!app.subscriptions().remove("open").await.expect("removed"));
    let gone = app.subscriptions().status("open").await;
    assert!(matches!(gone, Err(SubscriptionError::NotFound { .. })));
    let mut again = open(&app, all()).await;
    given(&store, &account("a"), [4]).await;
    assert_eq!(acked(&mut again, 4).await, [1, 2, 3, 4]);
    shut_down(app).await;
}

/// What was acknowledged does not come again, what was not does.
pub async fn c047_c048_c081_only_what_was_not_acknowledged_comes_again<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=2).await;
    for (acks, first) in [(0, 1), (1, 1), (1, 2)] {
        let app = start(on(&store)).await;
        let mut open = open(&app, all()).await;
        let delivered = taken(&mut open, 3 - first).await;
        assert_eq!(position_of(&delivered[0]), first as u64);
        for delivered in &delivered[..acks] {
            open.ack(delivered).expect("it was delivered");
        }
        shut_down(app).await;
        drop(open);
    }
    let app = start(on(&store)).await;
    let mut open = open(&app, all()).await;
    assert_quiet(&app, &mut open).await;
    given(&store, &account("a"), [3]).await;
    assert_eq!(acked(&mut open, 1).await, [3]);
    shut_down(app).await;
}

/// No more than the window is delivered without an acknowledgement.
pub async fn c049_c080_no_more_than_the_window_is_delivered<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    for window in [1, 3] {
        let name = format!("window of {window}");
        let subscribe = Subscribe::new(&name).options(quick().window(window));
        let mut open = open(&app, subscribe).await;
        given(&store, &account(&name), 1..=8).await;
        let mut delivered = taken(&mut open, window).await;
        assert_quiet(&app, &mut open).await;
        // Each acknowledgement makes room for one.
        for _ in 0..4 {
            open.ack(&delivered.remove(0)).expect("it was delivered");
            delivered.extend(taken(&mut open, 1).await);
            assert_quiet(&app, &mut open).await;
        }
        open.close().await;
    }
    shut_down(app).await;
}

/// Acknowledging an event with all before it acknowledges the batch.
pub async fn c078_an_acknowledgement_may_cover_all_before_it<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut open = open(&app, all().options(quick().window(4))).await;
    given(&store, &account("a"), 1..=8).await;
    let first = taken(&mut open, 4).await;
    open.ack_up_to(&first[3]).expect("it was delivered");
    let second = taken(&mut open, 4).await;
    open.ack_up_to(&second[1]).expect("it was delivered");
    wait(&app, "open", 6).await.expect("it comes there");
    open.ack(&second[3]).expect("it was delivered");
    open.ack(&second[2]).expect("it was delivered");
    wait(&app, "open", 8).await.expect("it comes there");
    shut_down(app).await;
}

/// Acknowledging what was not delivered, or already acknowledged, is refused and changes nothing.
pub async fn c079_an_unexpected_acknowledgement_is_refused<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    given(&store, &account("a"), 1..=3).await;
    let mut one = open(&app, all()).await;
    let mut two = open(&app, Subscribe::new("two").options(quick())).await;
    let delivered = taken(&mut one, 3).await;
    let foreign = taken(&mut two, 1).await;
    assert_eq!(one.ack(&foreign[0]).expect_err("refused").position, 1);
    one.ack(&delivered[1]).expect("it was delivered");
    assert_eq!(one.ack(&delivered[1]).expect_err("refused").position, 2);
    one.close().await;
    let status = status_when(&app, "open", |_| true).await;
    assert_eq!(status.position, 0);
    let again = open(&app, all()).await;
    assert_eq!(again.ack(&delivered[0]).expect_err("refused").position, 1);
    shut_down(app).await;
}

/// The checkpoint is written after as many acknowledgements as told, not before; and at the end.
pub async fn c082_the_checkpoint_is_written_at_its_threshold_and_at_the_end<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let options = never_written().checkpoint_every(6);
    let mut open = open(&app, all().options(options)).await;
    given(&store, &account("a"), 1..=8).await;
    acked(&mut open, 5).await;
    assert_quiet_checkpoint(&app, 0).await;
    acked(&mut open, 1).await;
    status_when(&app, "open", |status| status.position == 6).await;
    acked(&mut open, 2).await;
    assert_quiet_checkpoint(&app, 6).await;
    open.close().await;
    assert_eq!(status_when(&app, "open", |_| true).await.position, 8);
    shut_down(app).await;
}

/// That the checkpoint stands here although whole rounds have passed.
async fn assert_quiet_checkpoint(app: &ordain::App, position: u64) {
    for _ in 0..20 {
        let status = status_when(app, "open", |_| true).await;
        assert_eq!(status.position, position);
        tokio::task::yield_now().await;
    }
}

/// The checkpoint is written after the time told, however few acknowledgements there were.
pub async fn c082_the_checkpoint_is_written_after_its_time<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let options = never_written().checkpoint_after(Duration::from_millis(25));
    let mut open = open(&app, all().options(options)).await;
    given(&store, &account("a"), 1..=3).await;
    acked(&mut open, 2).await;
    status_when(&app, "open", |status| status.position == 2).await;
    shut_down(app).await;
}

/// The checkpoint stops before the first event that is not acknowledged, and jumps when it is.
pub async fn c083_the_checkpoint_moves_over_what_is_acknowledged_without_a_gap<
    F: SubscriptionFixture,
>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let app = start(on(&store)).await;
    let mut open = open(&app, all().options(quick().checkpoint_every(1))).await;
    given(&store, &account("a"), 1..=6).await;
    let delivered = taken(&mut open, 6).await;
    for (ack, position) in [(1, 1), (2, 2), (3, 3), (6, 3), (5, 3), (4, 6)] {
        open.ack(&delivered[ack - 1]).expect("it was delivered");
        wait(&app, "open", position).await.expect("it comes there");
        let status = status_when(&app, "open", |_| true).await;
        assert_eq!(status.position, position);
    }
    shut_down(app).await;
}

/// Following the log and a durable subscription of the same events do not touch each other.
pub async fn c087_following_the_log_moves_no_checkpoint<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=3).await;
    let app = start(on(&store)).await;
    let mut first = open(&app, all()).await;
    assert_eq!(acked(&mut first, 2).await, [1, 2]);
    first.close().await;
    for _ in 0..2 {
        let follow = ordain::subscription::Follow::new().start_from(StartFrom::Origin);
        let mut events = app.follow(follow).await.expect("the log is followed");
        for position in 1..=3_u64 {
            let event = soon("an event comes", events.next()).await;
            let event = event.expect("the app goes on").expect("no failure");
            assert_eq!(event.position, position);
        }
    }
    let mut again = open(&app, all()).await;
    assert_eq!(acked(&mut again, 1).await, [3]);
    shut_down(app).await;
}

/// A subscription with a slow reader ends with its app, and nothing hangs.
pub async fn c050_c051_a_subscription_ends_with_its_app<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=20).await;
    for is_cut_off in [false, true] {
        let app = start(leased(&store, SHORT)).await;
        let subscribe = all().options(quick().window(2));
        let mut open = open(&app, subscribe).await;
        let delivered = taken(&mut open, 2).await;
        if !is_cut_off {
            shut_down(app.clone()).await;
        }
        drop(app);
        let ended = soon("it ends", async { while open.next().await.is_some() {} });
        ended.await;
        soon("it is closed", async {
            // Too late, and told so.
            while open.ack(&delivered[0]).is_ok() {
                tokio::task::yield_now().await;
            }
            open.close().await;
        })
        .await;
    }
}

/// While events wait to be acknowledged and the time to write the checkpoint comes again and again, catching
/// up goes on.
pub async fn d3_writing_the_checkpoint_does_not_end_catching_up<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=9).await;
    let app = start(on(&store)).await;
    let options = quick()
        .page(2)
        .window(2)
        .checkpoint_every(1_000)
        .checkpoint_after(Duration::from_millis(1));
    let mut open = open(&app, all().options(options)).await;
    for position in 1..=9_u64 {
        let delivered = next(&mut open).await;
        assert_eq!(position_of(&delivered), position);
        // The checkpoint is written while the reader is at it.
        status_when(&app, "open", |status| status.position == position - 1).await;
        open.ack(&delivered).expect("it was delivered");
    }
    shut_down(app).await;
}
