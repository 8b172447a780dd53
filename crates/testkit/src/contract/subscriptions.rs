//! Subscriptions are made, changed and removed.

use ordain::store::{
    Committed, LeaseKey, OwnerId, Partitions, SubscriptionChange, SubscriptionKey,
    SubscriptionState, SubscriptionStore,
};

use super::SubscriptionFixture;
use super::read_side::*;
use super::support::at_once;

/// A subscription is kept as it was made, and made only where there is none.
pub async fn a_subscription_is_made_once<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = SubscriptionKey::new("Ann’s \"balances\"", 7);
    let made = creation(&key, [3, 5]);
    assert!(change(&store, [made.clone()]).await);
    let first = record(&store, &key).await;
    assert_eq!((first.generation, &first.definition), (1, &made.definition));
    assert_eq!(positions_of(&first), [3, 5]);
    assert_eq!(owners_of(&first), [None, None]);
    let numbers = first.partitions.iter().map(|partition| partition.partition);
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 1]);
    assert!(first.partitions.iter().all(|it| it.trouble.is_none()));
    let counts = (first.dead_letters, first.parked, first.requests);
    assert_eq!((first.members, counts), (0, (0, 0, 0)));
    assert!(!change(&store, [creation(&key, [9])]).await);
    assert_eq!(record(&store, &key).await, first);
}

/// A change applies to the generation it expects, and raises it.
pub async fn a_change_needs_the_generation_it_expects<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3]).await;
    let before = record(&store, &key).await;
    let mut paused = change_of(&key, 1);
    paused.definition.state = SubscriptionState::Paused;
    paused.definition.reason = None;
    paused.definition.replayed = Vec::new();
    paused.definition.barrier = None;
    for expected in [0, 2, 3] {
        let stale = SubscriptionChange {
            expected,
            ..paused.clone()
        };
        assert!(!change(&store, [stale]).await, "generation {expected}");
    }
    assert_eq!(record(&store, &key).await, before);
    assert!(change(&store, [paused.clone()]).await);
    let after = record(&store, &key).await;
    assert_eq!(
        (after.generation, &after.definition),
        (2, &paused.definition)
    );
    assert_eq!(after.partitions, before.partitions);
    assert!(!change(&store, [change_of(&self::key("nothing"), 1)]).await);
    assert_eq!(find(&store, &self::key("nothing")).await, None);
}

/// Every state is kept.
pub async fn a_subscription_has_any_state<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [0]).await;
    let states = [
        SubscriptionState::Building,
        SubscriptionState::Paused,
        SubscriptionState::Stopped,
        SubscriptionState::Resetting,
        SubscriptionState::Retired,
        SubscriptionState::Active,
    ];
    for (generation, state) in (1..).zip(states) {
        let mut changed = change_of(&key, generation);
        changed.definition.state = state;
        assert!(change(&store, [changed]).await);
        assert_eq!(record(&store, &key).await.definition.state, state);
    }
}

/// One of several changes does not fit, whichever: none is made.
pub async fn several_changes_are_made_together_or_not_at_all<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let one = made(&store, "one", [1]).await;
    let two = made(&store, "two", [2]).await;
    let three = key("three");
    let fitting = [
        change_of(&one, 1),
        change_of(&two, 1),
        creation(&three, [3]),
    ];
    for unfit in 0..fitting.len() {
        let mut changes = fitting.clone();
        changes[unfit].expected += 1;
        assert!(
            !change(&store, changes).await,
            "change {unfit} does not fit"
        );
    }
    assert_eq!(record(&store, &one).await.generation, 1);
    assert_eq!(record(&store, &two).await.generation, 1);
    assert_eq!(find(&store, &three).await, None);
    assert!(change(&store, fitting).await);
    assert_eq!(record(&store, &one).await.generation, 2);
    assert_eq!(record(&store, &two).await.generation, 2);
    assert_eq!(positions_of(&record(&store, &three).await), [3]);
}

/// A change may ask for a position that no partition stands before.
pub async fn a_change_can_ask_where_the_partitions_stand<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [5, 3]).await;
    for (generation, at_least, is_met) in [(1, 4, false), (1, 3, true), (2, 0, true)] {
        let asking = SubscriptionChange {
            at_least: Some(at_least.into()),
            ..change_of(&key, generation)
        };
        let changed = change(&store, [asking]).await;
        assert_eq!(changed, is_met, "at least {at_least}");
    }
    let lease = leased(&store, &key, 1).await;
    let moved = commit(&store, progress(&lease, 3, 4)).await;
    assert_eq!(moved, Committed::Done);
    let asking = SubscriptionChange {
        at_least: Some(4.into()),
        ..change_of(&key, 3)
    };
    assert!(change(&store, [asking]).await);
}

/// Of several that make or change a subscription at the same time, one does.
pub async fn of_changes_made_at_once_one_wins<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..5 {
        let key = key(&format!("round {round}"));
        for expected in 0..3 {
            let changed = at_once(4, |position| {
                let store = store.clone();
                let wanted = SubscriptionChange {
                    expected,
                    ..creation(&key, [position as u64])
                };
                async move { change(&store, [wanted]).await }
            });
            let winners = changed.await.into_iter().filter(|changed| *changed);
            assert_eq!(winners.count(), 1, "from generation {expected}");
            assert_eq!(record(&store, &key).await.generation, expected + 1);
        }
    }
}

/// Fencing takes all partitions from their owners, who can commit nothing any more.
pub async fn fencing_frees_the_partitions<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3, 5]).await;
    let lease = leased(&store, &key, 0).await;
    let before = record(&store, &key).await;
    let fence = SubscriptionChange {
        partitions: Partitions::Fence,
        ..change_of(&key, 1)
    };
    assert!(change(&store, [fence]).await);
    let after = record(&store, &key).await;
    assert_eq!(owners_of(&after), [None, None]);
    assert_eq!(positions_of(&after), [3, 5]);
    for (after, before) in epochs_of(&after).into_iter().zip(epochs_of(&before)) {
        assert!(after > before);
    }
    let late = commit(&store, progress(&lease, 3, 4)).await;
    assert_eq!(late, Committed::LeaseLost);
    let next = leased(&store, &key, 0).await;
    let moved = commit(&store, progress(&next, 3, 4)).await;
    assert_eq!(moved, Committed::Done);
}

/// Partitions that are kept keep their owners too.
pub async fn kept_partitions_keep_their_owners<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3]).await;
    let lease = leased(&store, &key, 0).await;
    let mut paused = change_of(&key, 1);
    paused.definition.state = SubscriptionState::Paused;
    assert!(change(&store, [paused]).await);
    let moved = commit(&store, progress(&lease, 3, 4)).await;
    assert_eq!(moved, Committed::Done);
    assert!(record(&store, &key).await.partitions[0].owner.is_some());
}

/// Replaced partitions are as many as they are said to be, free, with epochs above all there were.
pub async fn replaced_partitions_have_higher_epochs<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3, 3]).await;
    for (generation, positions) in [(1, vec![4, 5, 6]), (2, vec![7]), (3, vec![0, 0])] {
        let lease = leased(&store, &key, 0).await;
        let before = epochs_of(&record(&store, &key).await);
        let replaced = SubscriptionChange {
            expected: generation,
            ..creation(&key, positions.clone())
        };
        assert!(change(&store, [replaced]).await);
        let after = record(&store, &key).await;
        assert_eq!(positions_of(&after), positions);
        assert_eq!(owners_of(&after), vec![None; positions.len()]);
        assert!(epochs_of(&after).iter().min() > before.iter().max());
        assert_lost(&store, &lease, positions[0]).await;
    }
}

/// Who held a subscription that was removed can do nothing to the one that is made in its place.
pub async fn an_owner_of_what_was_removed_stays_shut_out<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3]).await;
    let old = leased(&store, &key, 0).await;
    let removed = store.remove_subscription(&key).await;
    assert!(removed.expect("a subscription can be removed"));
    made(&store, "balances", [3]).await;
    assert_lost(&store, &old, 3).await;
    let new = leased(&store, &key, 0).await;
    assert_lost(&store, &old, 3).await;
    assert_eq!(commit(&store, progress(&new, 3, 4)).await, Committed::Done);
}

async fn assert_lost(store: &impl SubscriptionStore, lease: &LeaseKey, from: u64) {
    let late = commit(store, progress(lease, from, from + 1)).await;
    assert_eq!(late, Committed::LeaseLost);
}

/// By name in the order of bytes, then by version; or those of one name.
pub async fn subscriptions_are_listed_by_name_and_version<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    for (name, version) in [("b", 1), ("a", 10), ("ab", 1), ("a", 9), ("B", 1)] {
        let key = SubscriptionKey::new(name, version);
        assert!(change(&store, [creation(&key, [0])]).await);
    }
    let all = listed(&store, None).await;
    let names = [("B", 1), ("a", 9), ("a", 10), ("ab", 1), ("b", 1)];
    assert_eq!(all, names.map(|(name, version)| (name.to_owned(), version)));
    let own = listed(&store, Some("a")).await;
    assert_eq!(own, [("a".to_owned(), 9), ("a".to_owned(), 10)]);
    assert_eq!(listed(&store, Some("nothing")).await, []);
}

async fn listed(store: &impl SubscriptionStore, name: Option<&str>) -> Vec<(String, u32)> {
    let records = store.subscriptions(name).await;
    let records = records.expect("subscriptions can be read").into_iter();
    records
        .map(|record| (record.key.name.to_string(), record.key.version))
        .collect()
}

/// What belongs to a subscription goes with it, and nothing of others, not even of another version.
pub async fn a_subscription_is_removed_with_what_belongs_to_it<F: SubscriptionFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    let (one, owner) = (key("one"), OwnerId::random());
    let others = [SubscriptionKey::new("one", 2), key("two")];
    let lease = furnished(&store, &one, owner).await;
    let mut before = Vec::new();
    for other in &others {
        furnished(&store, other, owner).await;
        before.push(kept(&store, other).await);
    }
    assert_eq!(kept(&store, &one).await.counts(), [2, 1, 1, 1]);
    assert!(store.remove_subscription(&one).await.expect("removed"));
    let gone = kept(&store, &one).await;
    assert_eq!((&gone.record, gone.counts()), (&None, [0; 4]));
    assert_lost(&store, &lease, 0).await;
    for (other, before) in others.iter().zip(before) {
        assert_eq!(kept(&store, other).await, before);
    }
    assert!(!store.remove_subscription(&one).await.expect("removed"));
    assert!(change(&store, [creation(&one, [0])]).await);
    let anew = kept(&store, &one).await;
    assert_eq!(anew.counts(), [0; 4]);
    assert_eq!(anew.record.expect("it was made").members, 0);
}
