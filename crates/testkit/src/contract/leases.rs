//! Who works on what.

use std::collections::HashMap;

use ordain::store::{
    Change, Committed, LeaseKey, OwnerId, SubscriptionKey, SubscriptionRecord, SubscriptionState,
    SubscriptionStore, Trouble,
};

use super::SubscriptionFixture;
use super::read_side::*;
use super::support::{at_once, not_asserted};

/// A claim gives a lease of what nobody holds, and says where it stands.
pub async fn a_free_partition_is_claimed<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3, 5, 7]).await;
    let before = epochs_of(&record(&store, &key).await);
    let owner = OwnerId::random();
    let leases = claim(&store, owner, &key, [2, 0], LONG).await;
    let found = leases.iter().map(|lease| {
        assert_eq!(lease.key.subscription, key);
        assert_eq!(lease.trouble, None);
        (lease.key.partition, lease.position.get())
    });
    assert_eq!(found.collect::<Vec<_>>(), [(0, 3), (2, 7)]);
    let after = record(&store, &key).await;
    assert_eq!(owners_of(&after), [Some(owner), None, Some(owner)]);
    assert_eq!(positions_of(&after), [3, 5, 7]);
    assert_eq!(
        epochs_of(&after),
        [leases[0].key.epoch, before[1], leases[1].key.epoch]
    );
    assert!(leases[0].key.epoch > before[0]);
}

/// What is held is not claimed, neither by others nor again by its owner.
pub async fn a_held_partition_is_not_claimed<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [0, 0]).await;
    let owner = OwnerId::random();
    let first = claim(&store, owner, &key, [0], LONG).await;
    assert_eq!(first.len(), 1);
    assert_eq!(claim(&store, owner, &key, [0], LONG).await, []);
    let others = claim(&store, OwnerId::random(), &key, [0, 1], LONG).await;
    let found: Vec<_> = others.iter().map(|lease| lease.key.partition).collect();
    assert_eq!(found, [1]);
    assert_eq!(
        epochs_of(&record(&store, &key).await)[0],
        first[0].key.epoch
    );
}

/// What does not exist is not claimed.
pub async fn a_claim_passes_over_what_does_not_exist<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [0]).await;
    let owner = OwnerId::random();
    assert_eq!(claim(&store, owner, &key, [], LONG).await, []);
    assert_eq!(claim(&store, owner, &key, [1, 0], LONG).await.len(), 1);
    let unknown = [self::key("nothing"), SubscriptionKey::new("balances", 2)];
    for unknown in unknown {
        assert_eq!(claim(&store, owner, &unknown, [0], LONG).await, []);
    }
}

/// Only what is active, or is being built, is claimed.
pub async fn the_state_tells_whether_partitions_are_claimed<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    for (state, is_claimed) in [
        (SubscriptionState::Active, true),
        (SubscriptionState::Building, true),
        (SubscriptionState::Paused, false),
        (SubscriptionState::Stopped, false),
        (SubscriptionState::Retired, false),
    ] {
        let key = key(state.as_str());
        let mut creation = creation(&key, [0]);
        creation.definition.state = state;
        assert!(change(&store, [creation]).await);
        let leases = claim(&store, OwnerId::random(), &key, [0], LONG).await;
        assert_eq!(!leases.is_empty(), is_claimed, "{key}");
    }
}

/// Of several that claim the same partitions at the same time, one gets each.
pub async fn of_concurrent_claims_one_wins<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    for round in 0..10 {
        let key = made(&store, &format!("round {round}"), [0, 0, 0]).await;
        let claims = at_once(4, |_| {
            let (store, key) = (store.clone(), key.clone());
            async move { claim(&store, OwnerId::random(), &key, 0..3, LONG).await }
        });
        let mut leases: Vec<_> = claims.await.into_iter().flatten().collect();
        leases.sort_by_key(|lease| lease.key.partition);
        let won: Vec<_> = leases.iter().map(|lease| lease.key.partition).collect();
        assert_eq!(won, [0, 1, 2]);
        let epochs: Vec<_> = leases.iter().map(|lease| lease.key.epoch).collect();
        assert_eq!(epochs_of(&record(&store, &key).await), epochs);
    }
}

/// A lease ends by the store's clock: the partition is free then, and its late owner shut out once another
/// has claimed it.
pub async fn a_lease_that_is_over_is_claimed_by_another<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let key = made(store, "balances", [3]).await;
    let (late, next) = (OwnerId::random(), OwnerId::random());
    let lost = claim(store, late, &key, [0], timed.moment())
        .await
        .remove(0);
    timed.pass();
    eventually("the partition has no owner", async || {
        owners_of(&record(store, &key).await)[0]
            .is_none()
            .then_some(())
    })
    .await;
    let lease = claimed_when_free(store, next, &key, 0).await;
    assert!(lease.key.epoch > lost.key.epoch);
    assert_eq!(lease.position, 3);
    assert_eq!(owners_of(&record(store, &key).await), [Some(next)]);
    let committed = commit(store, progress(&lost.key, 3, 4)).await;
    assert_eq!(committed, Committed::LeaseLost);
    let committed = commit(store, progress(&lease.key, 3, 4)).await;
    assert_eq!(committed, Committed::Done);
}

/// An owner that is late may go on as long as nobody else has claimed the partition.
pub async fn a_late_owner_goes_on_if_nobody_has_claimed<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let key = made(store, "balances", [3]).await;
    let late = OwnerId::random();
    let lease = claim(store, late, &key, [0], timed.moment())
        .await
        .remove(0)
        .key;
    timed.pass();
    eventually("the lease is over", async || {
        owners_of(&record(store, &key).await)[0]
            .is_none()
            .then_some(())
    })
    .await;
    let committed = commit(store, progress(&lease, 3, 4)).await;
    assert_eq!(committed, Committed::Done);
    keep_alive(store, late, LONG, &[], std::slice::from_ref(&lease)).await;
    assert_eq!(owners_of(&record(store, &key).await), [Some(late)]);
    assert_eq!(claim(store, OwnerId::random(), &key, [0], LONG).await, []);
    assert_eq!(epochs_of(&record(store, &key).await), [lease.epoch]);
}

/// A sign of life renews the leases it names, and no others.
pub async fn a_sign_of_life_renews_leases<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let key = made(store, "balances", [0, 0]).await;
    let (owner, other) = (OwnerId::random(), OwnerId::random());
    let leases = claim(store, owner, &key, [0, 1], timed.moment()).await;
    keep_alive(
        store,
        owner,
        LONG,
        &[],
        std::slice::from_ref(&leases[0].key),
    )
    .await;
    timed.pass();
    claimed_when_free(store, other, &key, 1).await;
    assert_eq!(claim(store, other, &key, [0], LONG).await, []);
    let owners = owners_of(&record(store, &key).await);
    assert_eq!(owners, [Some(owner), Some(other)]);
}

/// A lease that is lost is not renewed: not one that another has, not one that was given back.
pub async fn a_lost_lease_is_not_renewed<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let key = made(store, "balances", [0, 0]).await;
    let (late, next) = (OwnerId::random(), OwnerId::random());
    let lost: Vec<LeaseKey> = claim(store, late, &key, [0, 1], timed.moment())
        .await
        .into_iter()
        .map(|lease| lease.key)
        .collect();
    store
        .release(vec![lost[1].clone()])
        .await
        .expect("released");
    timed.pass();
    claimed_when_free(store, next, &key, 0).await;
    keep_alive(store, late, LONG, &[], &lost).await;
    let owners = owners_of(&record(store, &key).await);
    assert_eq!(owners, [Some(next), None]);
    assert_eq!(claim(store, next, &key, [1], LONG).await.len(), 1);
}

/// Those that said lately that they are alive are counted, per subscription.
pub async fn members_are_counted_while_they_live<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let one = made(store, "one", [0]).await;
    let two = made(store, "two", [0]).await;
    let [stays, lapses, leaves] = [(); 3].map(|()| OwnerId::random());
    keep_alive(store, stays, LONG, &[one.clone(), two.clone()], &[]).await;
    keep_alive(store, lapses, LONG, std::slice::from_ref(&one), &[]).await;
    let told = keep_alive(store, leaves, LONG, std::slice::from_ref(&one), &[]).await;
    assert_eq!(told[0].members, 3);
    assert_eq!(record(store, &one).await.members, 3);
    assert_eq!(record(store, &two).await.members, 1);
    store.leave(leaves).await.expect("left");
    assert_eq!(record(store, &one).await.members, 2);
    keep_alive(
        store,
        lapses,
        timed.moment(),
        std::slice::from_ref(&one),
        &[],
    )
    .await;
    timed.pass();
    eventually("a member has lapsed", async || {
        (record(store, &one).await.members == 1).then_some(())
    })
    .await;
    assert_eq!(record(store, &two).await.members, 1);
}

/// The answer to a sign of life tells how the subscriptions it names stand, those that exist.
pub async fn a_sign_of_life_tells_how_subscriptions_stand<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let owner = OwnerId::random();
    let keys = [key("one"), SubscriptionKey::new("one", 2)];
    for key in &keys {
        furnished(&store, key, owner).await;
    }
    made(&store, "not named", [0]).await;
    let named = [keys[1].clone(), key("nothing"), keys[0].clone()];
    let mut told = keep_alive(&store, owner, LONG, &named, &[]).await;
    told.sort_by(|left, right| left.key.cmp(&right.key));
    let wanted: [SubscriptionRecord; 2] = [
        record(&store, &keys[0]).await,
        record(&store, &keys[1]).await,
    ];
    assert_eq!(told, wanted);
    assert_eq!(keep_alive(&store, owner, LONG, &[], &[]).await, []);
}

/// What is given back is free at once; its owner can commit nothing any more.
pub async fn a_released_partition_is_free_at_once<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [0, 0]).await;
    let lease = leased(&store, &key, 0).await;
    let other = leased(&store, &key, 1).await;
    store.release(vec![lease.clone()]).await.expect("released");
    assert_eq!(owners_of(&record(&store, &key).await)[0], None);
    let late = commit(&store, progress(&lease, 0, 1)).await;
    assert_eq!(late, Committed::LeaseLost);
    let next = leased(&store, &key, 0).await;
    assert!(next.epoch > lease.epoch);
    // Both are lost already, and nobody else loses anything.
    let lost = vec![lease.clone(), lease];
    store.release(lost).await.expect("released");
    for lease in [next, other] {
        let committed = commit(&store, progress(&lease, 0, 1)).await;
        assert_eq!(committed, Committed::Done);
    }
}

/// A process that leaves gives back all its leases, and counts nowhere; those of others stay.
pub async fn a_process_that_leaves_gives_everything_back<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (leaves, stays) = (OwnerId::random(), OwnerId::random());
    let keys = [key("one"), SubscriptionKey::new("one", 2), key("two")];
    let mut leases = HashMap::new();
    for key in &keys {
        assert!(change(&store, [creation(key, [0, 0])]).await);
        for (owner, partition) in [(leaves, 0), (stays, 1)] {
            let lease = claim(&store, owner, key, [partition], LONG)
                .await
                .remove(0)
                .key;
            leases.insert((key, partition), lease);
            keep_alive(&store, owner, LONG, std::slice::from_ref(key), &[]).await;
        }
    }
    store.leave(leaves).await.expect("left");
    store.leave(leaves).await.expect("left twice");
    for key in &keys {
        let record = record(&store, key).await;
        assert_eq!(
            (record.members, owners_of(&record)),
            (1, vec![None, Some(stays)])
        );
        let late = commit(&store, progress(&leases[&(key, 0)], 0, 1)).await;
        assert_eq!(late, Committed::LeaseLost);
        let committed = commit(&store, progress(&leases[&(key, 1)], 0, 1)).await;
        assert_eq!(committed, Committed::Done);
        leased(&store, key, 0).await;
    }
}

/// What keeps a partition from going on is handed to its next owner.
pub async fn the_trouble_of_a_partition_is_handed_on<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [0, 0]).await;
    let trouble = Trouble {
        position: 4.into(),
        error: "no connection".to_owned(),
        attempts: 7,
        next_attempt: Some(PAST),
    };
    let lease = leased(&store, &key, 1).await;
    let change = Change::Trouble(Some(trouble.clone()));
    commit_changes(&store, &lease, vec![change]).await;
    let partitions = record(&store, &key).await.partitions;
    assert_eq!(partitions[0].trouble, None);
    assert_eq!(partitions[1].trouble, Some(trouble.clone()));
    store.release(vec![lease]).await.expect("released");
    let leases = claim(&store, OwnerId::random(), &key, [0, 1], LONG).await;
    assert_eq!(leases[0].trouble, None);
    assert_eq!(leases[1].trouble, Some(trouble));
    commit_changes(&store, &leases[1].key, vec![Change::Trouble(None)]).await;
    assert_eq!(record(&store, &key).await.partitions[1].trouble, None);
}

/// Two stores on the same data see each other's subscriptions and leases.
pub async fn two_handles_share_leases<F: SubscriptionFixture>(fixture: &F) {
    let one = fixture.open().await;
    let Some(other) = fixture.open_another_handle(&one).await else {
        return not_asserted("the store's data has one handle");
    };
    let lease = made_and_leased(&one, "balances").await;
    let key = &lease.subscription;
    assert_eq!(record(&other, key).await, record(&one, key).await);
    assert_eq!(claim(&other, OwnerId::random(), key, [0], LONG).await, []);
    one.release(vec![lease.clone()]).await.expect("released");
    let next = leased(&other, key, 0).await;
    let late = commit(&one, progress(&lease, 0, 1)).await;
    assert_eq!(late, Committed::LeaseLost);
    let moved = commit(&other, progress(&next, 0, 1)).await;
    assert_eq!(moved, Committed::Done);
    assert_eq!(positions_of(&record(&one, key).await), [1]);
}
