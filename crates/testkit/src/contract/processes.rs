//! Process instances, their commands and their timers.

use std::time::Duration;

use ordain::store::{
    Change, InstanceQuery, InstanceRecord, LeaseKey, OutgoingQuery, OutgoingRecord, Share,
    SubscriptionKey, SubscriptionStore, TimerQuery, TimerRecord,
};

use super::SubscriptionFixture;
use super::read_side::*;

/// Instances are kept as they were given, with the time of the store, until they are removed.
pub async fn instances_are_kept<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let key = &lease.subscription;
    let given = ["B", "a", "c"].map(instance);
    let changes = given.clone().map(Change::PutInstance);
    let before = now_of(&store).await;
    commit_changes(&store, &lease, changes.into()).await;
    let found = instances(&store, key, &["c", "unknown", "B", "c"]).await;
    let after = now_of(&store).await;
    assert!(
        found
            .iter()
            .all(|it| before <= it.changed_at && it.changed_at <= after)
    );
    assert_eq!(timeless(found), [given[0].clone(), given[2].clone()]);
    let again = InstanceRecord {
        bucket: 0,
        position: 9.into(),
        finished: true,
        data: Default::default(),
        ..instance("B")
    };
    let changes = vec![
        Change::PutInstance(again.clone()),
        Change::RemoveInstance { id: "c".into() },
        Change::RemoveInstance {
            id: "unknown".into(),
        },
    ];
    commit_changes(&store, &lease, changes).await;
    let found = instances(&store, key, &["B", "a", "c"]).await;
    assert_eq!(timeless(found), [again, given[1].clone()]);
    assert_eq!(instances(&store, key, &[]).await, []);
}

async fn instances(
    store: &impl SubscriptionStore,
    key: &SubscriptionKey,
    ids: &[&str],
) -> Vec<InstanceRecord> {
    let ids: Vec<_> = ids.iter().map(|id| (*id).to_owned()).collect();
    store.instances(key, &ids).await.expect("instances")
}

fn timeless(mut instances: Vec<InstanceRecord>) -> Vec<InstanceRecord> {
    for instance in &mut instances {
        instance.changed_at = PAST;
    }
    instances
}

/// Pages by id in the order of bytes; all, those that have ended, or those that have not.
pub async fn instances_are_listed_in_pages<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let changes = ["a", "é", "B", "ab", "C"].map(|id| {
        let finished = id.len() == 2;
        Change::PutInstance(InstanceRecord {
            finished,
            ..instance(id)
        })
    });
    commit_changes(&store, &lease, changes.into()).await;
    for (finished, ids) in [
        (None, vec!["B", "C", "a", "ab", "é"]),
        (Some(true), vec!["ab", "é"]),
        (Some(false), vec!["B", "C", "a"]),
    ] {
        for limit in [0, 1, 2, 5, 1_000] {
            let query = InstanceQuery {
                finished,
                limit,
                ..all_instances(&lease.subscription)
            };
            assert_eq!(ids_by(&store, query).await, ids, "by {limit}");
        }
    }
}

async fn ids_by(store: &impl SubscriptionStore, mut query: InstanceQuery) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let page = store.list_instances(query.clone()).await.expect("a page");
        assert!(page.len() <= query.limit.max(1) as usize);
        ids.extend(page.into_iter().map(|instance| instance.id));
        if ids.last() == query.after.as_ref() {
            return ids;
        }
        query.after = ids.last().cloned();
    }
}

/// Instances that ended long enough ago are removed.
pub async fn finished_instances_are_pruned_by_age<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let lease = made_and_leased(store, "transfers").await;
    let other = made_and_leased(store, "returns").await;
    for lease in [&lease, &other] {
        let finished = InstanceRecord {
            finished: true,
            ..instance("b")
        };
        commit_changes(store, lease, additions()).await;
        commit_changes(store, lease, vec![Change::PutInstance(finished)]).await;
    }
    let prune = async |age| {
        let pruned = store.prune(&lease.subscription, None, age).await;
        pruned.expect("a subscription can be pruned")
    };
    assert_eq!(prune(None).await, 0);
    assert_eq!(prune(Some(LONG)).await, 0);
    timed.pass();
    let pruned = eventually("an instance is old enough", async || {
        Some(prune(Some(Duration::ZERO)).await).filter(|pruned| *pruned > 0)
    });
    assert_eq!(pruned.await, 1);
    let kept = kept(store, &lease.subscription).await;
    assert_eq!(kept.instances[0].id, "a");
    assert_eq!(kept.counts(), [2, 1, 1, 1]);
    let others = self::kept(store, &other.subscription).await;
    assert_eq!(others.counts(), [2, 2, 1, 1]);
}

/// Commands are dispatched by instance and sequence; a page goes on after an instance and a sequence.
pub async fn outgoing_commands_have_an_order<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let order = [("B", 2), ("a", 1), ("a", 2), ("a", 10), ("ab", 1)];
    let commands = order.map(|(instance, sequence)| outgoing(instance, sequence));
    let issued = [3, 0, 4, 2, 1].map(|index| Change::PutOutgoing(commands[index].clone()));
    commit_changes(&store, &lease, issued.into()).await;
    for limit in [0, 1, 2, 3, 1_000] {
        let query = OutgoingQuery {
            limit,
            ..all_outgoing(&lease.subscription)
        };
        assert_eq!(commands_by(&store, query).await, commands, "by {limit}");
    }
    let within = OutgoingQuery {
        after: Some(("a".to_owned(), 5)),
        ..all_outgoing(&lease.subscription)
    };
    assert_eq!(commands_by(&store, within).await, commands[3..]);
}

async fn commands_by(
    store: &impl SubscriptionStore,
    mut query: OutgoingQuery,
) -> Vec<OutgoingRecord> {
    let mut commands = Vec::new();
    loop {
        let page = store.outgoing(query.clone()).await.expect("a page");
        assert!(page.len() <= query.limit.max(1) as usize);
        let Some(last) = page.last() else {
            return commands;
        };
        query.after = Some((last.instance.clone(), last.sequence));
        commands.extend(page);
    }
}

/// A command stays until it is settled, and can be said to have been tried.
pub async fn outgoing_commands_are_kept_until_they_are_settled<F: SubscriptionFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let [first, second, third] =
        [("a", 1), ("a", 2), ("b", 1)].map(|(instance, sequence)| outgoing(instance, sequence));
    let issued = [&first, &second, &third].map(|command| Change::PutOutgoing(command.clone()));
    commit_changes(&store, &lease, issued.into()).await;
    let tried = OutgoingRecord {
        attempts: 7,
        ..second.clone()
    };
    let changes = vec![
        Change::PutOutgoing(tried.clone()),
        Change::RemoveOutgoing {
            command_id: first.command_id,
        },
    ];
    commit_changes(&store, &lease, changes.clone()).await;
    let query = all_outgoing(&lease.subscription);
    let left = store.outgoing(query.clone()).await.expect("outgoing");
    assert_eq!(left, [tried, third.clone()]);
    let changes = vec![Change::RemoveOutgoingOf {
        instance: "a".into(),
    }];
    commit_changes(&store, &lease, changes).await;
    let left = store.outgoing(query).await.expect("outgoing");
    assert_eq!(left, [third]);
}

/// Of a share, those instances whose bucket leaves its partition are seen.
pub async fn a_share_is_seen_by_bucket<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let key = &lease.subscription;
    let buckets = [0, 1, 2, 3, 4, 1 << 31, u32::MAX];
    let mut changes = Vec::new();
    for bucket in buckets {
        let id = format!("{bucket:010}");
        changes.push(Change::PutOutgoing(OutgoingRecord {
            bucket,
            ..outgoing(&id, 1)
        }));
        changes.push(Change::PutTimer(TimerRecord {
            bucket,
            ..timer(&id, "reminder")
        }));
    }
    commit_changes(&store, &lease, changes).await;
    for partition in 0..3 {
        let partitions = 3;
        let share = Share {
            partition,
            partitions,
        };
        let own = buckets
            .into_iter()
            .filter(|it| it % partitions == partition);
        let own: Vec<_> = own.collect();
        let query = OutgoingQuery {
            share,
            ..all_outgoing(key)
        };
        let commands = store.outgoing(query).await.expect("outgoing");
        let seen: Vec<_> = commands.iter().map(|command| command.bucket).collect();
        assert_eq!(seen, own);
        let query = TimerQuery {
            share,
            ..all_timers(key)
        };
        let due = store.timers_due(query).await.expect("timers").timers;
        let seen: Vec<_> = due.iter().map(|timer| timer.bucket).collect();
        assert_eq!(seen, own);
    }
}

/// An instance's timers are kept by key until they are replaced or taken away.
pub async fn timers_are_kept_by_key<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let set = [
        timer("a", "B"),
        timer("a", "a"),
        timer("a", "c"),
        timer("ab", "a"),
    ];
    let changes = [3, 2, 1, 0].map(|index| Change::PutTimer(set[index].clone()));
    commit_changes(&store, &lease, changes.into()).await;
    assert_eq!(timers(&store, &lease, "a").await, set[..3]);
    assert_eq!(timers(&store, &lease, "unknown").await, []);
    let again = TimerRecord {
        generation: 2,
        bucket: 3,
        due_at: PAST + Duration::from_micros(1),
        data: Default::default(),
        ..set[0].clone()
    };
    let removed = ["c", "unknown"].map(|key| Change::RemoveTimer {
        instance: "a".into(),
        key: key.into(),
    });
    let changes = [removed.to_vec(), vec![Change::PutTimer(again.clone())]].concat();
    commit_changes(&store, &lease, changes).await;
    assert_eq!(timers(&store, &lease, "a").await, [again, set[1].clone()]);
    let changes = vec![Change::RemoveTimersOf {
        instance: "a".into(),
    }];
    commit_changes(&store, &lease, changes).await;
    assert_eq!(timers(&store, &lease, "a").await, []);
    assert_eq!(timers(&store, &lease, "ab").await, set[3..]);
}

async fn timers(
    store: &impl SubscriptionStore,
    lease: &LeaseKey,
    instance: &str,
) -> Vec<TimerRecord> {
    let timers = store.timers(&lease.subscription, instance).await;
    timers.expect("timers can be read")
}

/// Timers are set and taken back by those who own nothing, too.
pub async fn timers_are_set_and_cancelled_by_anybody<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let other = made_and_leased(&store, "returns").await;
    let (one, two) = (&lease.subscription, &other.subscription);
    let first = timer("a", "reminder");
    store.set_timer(one, first.clone()).await.expect("set");
    store.set_timer(two, first.clone()).await.expect("set");
    assert_eq!(
        timers(&store, &lease, "a").await,
        std::slice::from_ref(&first)
    );
    let second = TimerRecord {
        generation: 2,
        ..first.clone()
    };
    store.set_timer(one, second.clone()).await.expect("set");
    assert_eq!(timers(&store, &lease, "a").await, [second]);
    let cancel = async |instance: &str, key: &str| {
        let cancelled = store.cancel_timer(one, instance, key).await;
        cancelled.expect("a timer can be cancelled")
    };
    assert!(!cancel("a", "unknown").await);
    assert!(!cancel("b", "reminder").await);
    assert!(cancel("a", "reminder").await);
    assert!(!cancel("a", "reminder").await);
    assert_eq!(timers(&store, &lease, "a").await, []);
    assert_eq!(timers(&store, &other, "a").await, [first]);
}

/// Those due come first by time, then by instance and key; the first of the others is told.
pub async fn timers_fall_due_by_the_clock_of_the_store<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let lease = made_and_leased(store, "transfers").await;
    let nothing = store.timers_due(all_timers(&lease.subscription)).await;
    assert_eq!(nothing.expect("timers").next, None);
    let micro = Duration::from_micros(1);
    let soon = now_of(store).await + timed.moment();
    let late = soon + LONG;
    let set = [
        ("b", "a", PAST),
        ("B", "a", PAST + micro),
        ("a", "B", PAST + micro),
        ("a", "a", PAST + micro),
        ("a", "soon", soon),
        ("a", "late", late),
        ("a", "later", late + micro),
    ];
    let set = set.map(|(instance, key, due_at)| TimerRecord {
        due_at,
        ..timer(instance, key)
    });
    let changes = [6, 3, 5, 2, 4, 1, 0].map(|index| Change::PutTimer(set[index].clone()));
    commit_changes(store, &lease, changes.into()).await;
    let query = |limit| TimerQuery {
        limit,
        ..all_timers(&lease.subscription)
    };
    for (limit, len) in [(0, 1), (1, 1), (3, 3), (4, 4)] {
        let due = store.timers_due(query(limit)).await.expect("timers");
        assert_eq!(due.timers, set[..len]);
        let next = if due.now < soon { soon } else { late };
        assert_eq!(due.next, Some(next));
    }
    timed.pass();
    let due = eventually("a timer is due", async || {
        let due = store.timers_due(query(1_000)).await.expect("timers");
        (due.timers.len() > 4).then_some(due)
    })
    .await;
    assert!(due.now >= soon);
    assert_eq!((due.timers, due.next), (set[..5].to_vec(), Some(late)));
}

/// Instances, commands and timers of one subscription are not those of another version of it.
pub async fn versions_share_nothing<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let first = made_and_leased(&store, "transfers").await;
    let key = SubscriptionKey::new("transfers", 2);
    assert!(change(&store, [creation(&key, [0])]).await);
    let second = leased(&store, &key, 0).await;
    commit_changes(&store, &first, additions()).await;
    let before = kept(&store, &first.subscription).await;
    assert_eq!(kept(&store, &key).await.counts(), [0; 4]);
    let changes = vec![
        Change::Unblock { key: "a".into() },
        Change::RemoveInstance { id: "a".into() },
        Change::RemoveOutgoing {
            command_id: before.outgoing[0].command_id,
        },
        Change::RemoveOutgoingOf {
            instance: "a".into(),
        },
        Change::RemoveTimersOf {
            instance: "a".into(),
        },
    ];
    commit_changes(&store, &second, changes).await;
    assert_eq!(kept(&store, &first.subscription).await, before);
}
