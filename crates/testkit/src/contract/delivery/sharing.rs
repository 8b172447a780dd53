//! Partitions and leases: several processes work on one subscription, stop, die, freeze and take over.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use ordain::store::{
    Barrier, Committed, Definition, LeaseKey, Partitions, Progress, SubscriptionChange,
    SubscriptionKey, SubscriptionStore,
};
use ordain::subscription::{bucket_of, partition_of};
use ordain::{App, StreamId};

use super::super::SubscriptionFixture;
use super::super::read_side::{eventually, find, key};
use super::super::support::*;
use super::support::*;
use crate::{Call, Fault, FaultyStore, Halt};

/// Streams of different partitions, one of each.
fn one_of_each(partitions: u32) -> Vec<StreamId> {
    let place = |stream: &StreamId| partition_of(bucket_of(stream.as_str()), partitions);
    let streams = || (0..).map(|number: u32| account(&number.to_string()));
    (0..partitions)
        .map(|wanted| {
            let mut streams = streams();
            streams.find(|stream| place(stream) == wanted)
        })
        .map(|stream| stream.expect("there are many"))
        .collect()
}

/// Waits until so many partitions are held by each of the owners.
async fn shared(app: &App, name: &str, shares: &[usize]) {
    status_when(app, name, |status| {
        let mut held = HashMap::new();
        for owner in status.partitions.iter().filter_map(|one| one.owner) {
            *held.entry(owner).or_insert(0) += 1;
        }
        let mut held: Vec<_> = held.into_values().collect();
        held.sort_unstable();
        held == shares
    })
    .await;
}

/// Partitions are shared among the processes, each event goes to one of them, and all take part; there may be more
/// processes than partitions.
pub async fn c036_c038_c039_c089_processes_share_the_partitions<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let (mut apps, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..4 {
        let noting = Noting::<0>::new().options(quick().partitions(3).checkpoint_every(1));
        seen.push(noting.seen.clone());
        apps.push(start(on(&store).event_handler(noting)).await);
    }
    shared(&apps[0], "noting", &[1, 1, 1]).await;
    for _ in 0..4 {
        for stream in one_of_each(3) {
            given(&store, &stream, [1]).await;
        }
    }
    caught_up(&apps[0], "noting").await;
    let shares: Vec<_> = seen.iter().map(Seen::sorted).collect();
    let mut all: Vec<_> = shares.concat();
    all.sort_unstable();
    assert_eq!(all, (1..=12).collect::<Vec<_>>());
    let mut counts: Vec<_> = shares.iter().map(Vec::len).collect();
    counts.sort_unstable();
    assert_eq!(counts, [0, 4, 4, 4]);
    for app in apps {
        shut_down(app).await;
    }
}

/// Different partitions are delivered side by side; within one, the next event waits for the acknowledgement of
/// the one before.
pub async fn c040_c041_c093_a_partition_is_delivered_in_order<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let streams = one_of_each(3);
    let app = start(on(&store)).await;
    let options = quick().partitions(3).window(1);
    let mut open = open(&app, all().options(options)).await;
    for count in [2, 2, 1] {
        for stream in &streams {
            given(&store, stream, vec![1; count]).await;
        }
    }
    let mut waiting = taken(&mut open, 3).await;
    let first: BTreeSet<_> = waiting.iter().map(|one| one.event.stream.clone()).collect();
    assert_eq!(first.len(), 3);
    assert!(waiting.iter().all(|one| one.event.version == 1));
    assert_quiet(&app, &mut open).await;
    let mut next_version: HashMap<StreamId, u64> = HashMap::new();
    for _ in 0..12 {
        let acked = waiting.remove(0);
        open.ack(&acked).expect("it was delivered");
        let version = next_version.entry(acked.event.stream.clone()).or_insert(1);
        *version += 1;
        if *version <= 5 {
            let next = next(&mut open).await;
            assert_eq!(next.event.stream, acked.event.stream);
            assert_eq!(next.event.version, *version);
            waiting.push(next);
        }
    }
    while let Some(delivered) = waiting.pop() {
        open.ack(&delivered).expect("it was delivered");
    }
    caught_up(&app, "open").await;
    shut_down(app).await;
}

/// A key of the user's tells the partitions, and keeps its order over streams.
pub async fn c093_a_key_of_the_users_keeps_its_order<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let mut noting = Noting::<0>::new().options(quick().partitions(4));
    noting.one_key = Some("all".to_owned());
    let app = start(on(&store).event_handler(noting.clone())).await;
    let subscribe = all().options(quick().partitions(4));
    let subscribe = subscribe.partition_by(|event| event.stream.category().to_owned());
    let mut open = open(&app, subscribe).await;
    rounds(&store, 8, 5).await;
    let expected: Vec<_> = (1..=40).collect();
    assert_eq!(acked(&mut open, 40).await, expected);
    assert_eq!(noting.seen.until(40).await, expected);
    shut_down(app).await;
}

/// When a process stops, others get its share at once, and nothing twice; when all have stopped, nothing is
/// delivered until one begins.
pub async fn c042_c091_c092_the_share_of_one_that_stops_goes_to_others<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    let options = never_written().checkpoint_after(std::time::Duration::from_millis(50));
    let noting = Noting::<0>::new().options(options.partitions(4));
    let mut apps = Vec::new();
    for _ in 0..3 {
        apps.push(start(on(&store).event_handler(noting.clone())).await);
    }
    shared(&apps[0], "noting", &[1, 1, 2]).await;
    rounds(&store, 8, 2).await;
    noting.seen.until(16).await;
    for left in [2, 1, 0] {
        // Their leases are long: what they have is given back, not waited for.
        shut_down(apps.pop().expect("one is left")).await;
        rounds(&store, 8, 2).await;
        if left > 0 {
            caught_up(&apps[0], "noting").await;
        }
    }
    assert_eq!(noting.seen.sorted(), (1..=48).collect::<Vec<_>>());
    let app = start(on(&store).event_handler(noting.clone())).await;
    caught_up(&app, "noting").await;
    assert_eq!(noting.seen.sorted(), (1..=64).collect::<Vec<_>>());
    noting.seen.assert_in_order(8, 8);
    shut_down(app).await;
}

/// What a process that dies had not written down is handled again by those who take over, in order.
pub async fn c091_a_process_that_dies_is_replaced<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new().options(quick().partitions(3));
    for _ in 0..3 {
        let app = start(leased(&store, SHORT).event_handler(noting.clone())).await;
        let before = noting.seen.positions().len();
        rounds(&store, 6, 4).await;
        noting.seen.until(before + 5).await;
        drop(app);
    }
    let app = start(leased(&store, SHORT).event_handler(noting.clone())).await;
    caught_up(&app, "noting").await;
    noting.seen.assert_in_order(6, 12);
    shut_down(app).await;
}

/// While one process holds a subscription another waits, and begins where the first has come to.
pub async fn c085_who_waits_for_a_lease_begins_where_it_ended<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = fixture.open().await;
    given(&store, &account("a"), 1..=6).await;
    let one = start(on(&store)).await;
    let mut first = open(&one, all()).await;
    assert_eq!(acked(&mut first, 3).await, [1, 2, 3]);
    let other = start(on(&store)).await;
    let mut second = open(&other, all()).await;
    status_when(&other, "open", |status| status.members == 2).await;
    assert_quiet(&other, &mut second).await;
    first.close().await;
    assert_eq!(acked(&mut second, 3).await, [4, 5, 6]);
    shut_down(one).await;
    shut_down(other).await;
}

/// An owner that cannot renew its lease gives its partition up by itself, and what it had delivered comes again;
/// acknowledgements of before are refused.
pub async fn c084_a_lost_lease_delivers_again_what_was_not_acknowledged<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let faults = store.faults();
    given(&store, &account("a"), 1..=6).await;
    let app = start(leased(&store, SHORT)).await;
    let mut open = open(&app, all().options(quick().window(4))).await;
    let before = taken(&mut open, 4).await;
    open.ack(&before[0]).expect("it was delivered");
    wait(&app, "open", 1).await.expect("it comes there");
    let mut gate = faults.halt_next(Call::KeepAlive, Halt::BeforeCommit);
    gate.reached().await;
    // By the store's clock, which is later than the owner gives up by itself.
    status_when(&app, "open", |status| status.partitions[0].owner.is_none()).await;
    assert_eq!(open.ack(&before[1]).expect_err("refused").position, 2);
    gate.release();
    assert_eq!(acked(&mut open, 5).await, [2, 3, 4, 5, 6]);
    shut_down(app).await;
}

/// An owner that freezes is replaced when its lease is over; continued, it moves no checkpoint.
pub async fn d6_an_owner_that_freezes_is_fenced<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let freezing = FaultyStore::new(store.clone());
    let faults = freezing.faults();
    let options = quick().checkpoint_every(1);
    let one = Noting::<0>::new().options(options.clone());
    let frozen = start(leased(&freezing, SHORT).event_handler(one.clone())).await;
    given(&store, &account("a"), [1]).await;
    caught_up(&frozen, "noting").await;
    let mut signs = faults.halt_next(Call::KeepAlive, Halt::BeforeCommit);
    let mut commit = faults.halt_next(Call::Commit, Halt::BeforeCommit);
    given(&store, &account("a"), [2]).await;
    commit.reached().await;
    signs.reached().await;

    let two = Noting::<0>::new().options(options);
    let other = start(leased(&store, SHORT).event_handler(two.clone())).await;
    assert_eq!(two.seen.until(1).await, [2]);
    caught_up(&other, "noting").await;
    let late = LeaseKey {
        subscription: SubscriptionKey::new("noting", 1),
        partition: 0,
        epoch: one.seen.events()[1].epoch(),
    };
    assert!(two.seen.events()[0].epoch() > late.epoch);
    for (from, to) in [(1, 2), (2, 3)] {
        let progress = Progress::new(late.clone(), from.into(), to.into());
        let committed = store.commit(progress).await.expect("answered");
        assert_eq!(committed, Committed::LeaseLost);
    }
    commit.release();
    signs.release();
    given(&store, &account("a"), [3]).await;
    caught_up(&other, "noting").await;
    assert_eq!(one.seen.positions(), [1, 2]);
    assert_eq!(two.seen.positions(), [2, 3]);
    shut_down(frozen).await;
    given(&store, &account("a"), [4]).await;
    caught_up(&other, "noting").await;
    assert_eq!(two.seen.positions(), [2, 3, 4]);
    shut_down(other).await;
}

/// A commit whose answer is lost, and a store that fails for a while, lose and double nothing.
pub async fn a_store_that_fails_for_a_while_costs_no_event<F: SubscriptionFixture>(
    fixture: &Arc<F>,
) {
    let store = FaultyStore::new(fixture.open().await);
    let faults = store.faults();
    let noting = Noting::<0>::new().options(quick().partitions(2).checkpoint_every(1));
    let app = start(on(&store).event_handler(noting.clone())).await;
    for call in [
        Call::Commit,
        Call::KeepAlive,
        Call::Claim,
        Call::Release,
        Call::ReadAll,
        Call::Subscriptions,
        Call::Head,
        Call::Blocks,
    ] {
        for fault in [Fault::BeforeCommit, Fault::AfterCommit] {
            faults.fail_next(call, fault);
            rounds(store.inner(), 4, 1).await;
        }
    }
    soon("it is handled", async {
        while wait(&app, "noting", 64).await.is_err() {}
    })
    .await;
    noting.seen.assert_in_order(4, 16);
    faults.disarm();
    shut_down(app).await;
}

/// Partitions are replaced under load, whoever dies in the middle of it.
pub async fn partitions_are_replaced_under_load<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = fixture.open().await;
    let noting = Noting::<0>::new().options(quick().partitions(2));
    let app = start(leased(&store, SHORT).event_handler(noting.clone())).await;
    let mut others = Vec::new();
    for (round, partitions) in [5, 1, 8, 3].into_iter().enumerate() {
        others.push(start(leased(&store, SHORT).event_handler(noting.clone())).await);
        let subscriptions = app.subscriptions();
        let (_, repartitioned) = tokio::join!(
            rounds(&store, 6, 5),
            subscriptions.repartition("noting", partitions)
        );
        repartitioned.expect("asked");
        if round % 2 == 0 {
            drop(others.pop());
        }
        status_when(&app, "noting", |status| {
            status.partitions.len() == partitions as usize
        })
        .await;
    }
    caught_up(&app, "noting").await;
    noting.seen.assert_in_order(6, 20);
    for app in others {
        shut_down(app).await;
    }
    shut_down(app).await;
}

/// A barrier that is moved because a partition had passed it already leaves out nothing, also for a partition that
/// has read beyond where the barrier was.
pub async fn a_barrier_that_is_moved_leaves_out_nothing<F: SubscriptionFixture>(fixture: &Arc<F>) {
    let store = FaultyStore::new(fixture.open().await);
    let noting = Noting::<0>::new().options(quick().partitions(2).checkpoint_every(1));
    let builder = || on(&store).event_handler(noting.clone());
    shut_down(start(builder()).await).await;
    stand(&store, Partitions::Replace(vec![12.into(), 0.into()]), None).await;
    let streams = one_of_each(2);
    for _ in 0..8 {
        for stream in &streams {
            given(&store, stream, [1]).await;
        }
    }

    let mut claims = store.faults().halt_next(Call::Claim, Halt::BeforeCommit);
    let app = start(builder()).await;
    claims.reached().await;
    // As of a look at the partitions when the first had not come so far yet.
    let barrier = Barrier {
        position: 4.into(),
        partitions: 1,
    };
    stand(&store, Partitions::Fence, Some(barrier)).await;
    let mut commit = store.faults().halt_next(Call::Commit, Halt::BeforeCommit);
    claims.release();
    commit.reached().await;
    eventually("the barrier is moved", async || {
        let barrier = find(&store, &key("noting")).await?.definition.barrier;
        // Or all have come there already.
        let is_moved = barrier.is_none_or(|barrier| barrier.position == 12);
        is_moved.then_some(())
    })
    .await;
    let beats = || store.faults().calls(Call::KeepAlive);
    let before = beats();
    eventually("that is known", async || {
        (beats() > before + 2).then_some(())
    })
    .await;
    commit.release();
    given(&store, &streams[1], [1]).await;
    status_when(&app, "noting", |it| it.partitions.len() == 1 && it.lag == 0).await;
    let events = noting.seen.events();
    let second = events.iter().filter(|one| *one.stream() == streams[1]);
    let versions: BTreeSet<_> = second.map(|one| one.version().get()).collect();
    assert_eq!(versions, (1..=9).collect());
    shut_down(app).await;
}

/// Has the handler that notes stand like this.
async fn stand(store: &impl SubscriptionStore, partitions: Partitions, barrier: Option<Barrier>) {
    let record = find(store, &key("noting")).await.expect("it is there");
    let change = SubscriptionChange {
        key: record.key,
        expected: record.generation,
        at_least: None,
        definition: Definition {
            barrier,
            ..record.definition
        },
        partitions,
    };
    let changed = store.change_subscriptions(vec![change]).await;
    assert!(changed.expect("it can be changed"));
}
