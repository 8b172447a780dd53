//! What the read side remembers outlives the store, and is closed with it.

use ordain::store::{
    BlockRequest, Claim, Heartbeat, OwnerId, SubscriptionKey, SubscriptionStore, TimerRecord,
};
use ordain::{EventStore, StoreError};

use super::SubscriptionFixture;
use super::read_side::*;
use super::support::{assert_fails, not_asserted};

/// Everything is there after a restart, leases too.
pub async fn a_reopened_store_remembers_the_read_side<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let owner = OwnerId::random();
    let keys = [key("one"), SubscriptionKey::new("one", 2)];
    let (mut leases, mut before) = (Vec::new(), Vec::new());
    for key in &keys {
        leases.push(furnished(&store, key, owner).await);
        before.push(kept(&store, key).await);
    }
    store.close().await;
    let Some(store) = fixture.reopen(store).await else {
        return not_asserted("nothing outlives the store");
    };
    for ((key, lease), before) in keys.iter().zip(&leases).zip(before) {
        assert_eq!(kept(&store, key).await, before);
        commit_changes(&store, lease, additions()).await;
    }
}

/// A closed store says so, to every request of the read side.
pub async fn a_closed_store_refuses_the_read_side<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let owner = OwnerId::random();
    let key = key("one");
    let lease = furnished(&store, &key, owner).await;
    store.close().await;
    let beat = Heartbeat {
        owner,
        ttl: LONG,
        subscriptions: vec![key.clone()],
        leases: vec![lease.clone()],
    };
    let claim = Claim {
        owner,
        ttl: LONG,
        subscription: key.clone(),
        partitions: vec![0],
    };
    let changes = vec![change_of(&key, 1)];
    let timer: TimerRecord = timer("a", "reminder");
    assert_fails!(store.subscriptions(None).await, StoreError::Closed);
    let changed = store.change_subscriptions(changes).await;
    assert_fails!(changed, StoreError::Closed);
    assert_fails!(store.remove_subscription(&key).await, StoreError::Closed);
    assert_fails!(store.keep_alive(beat).await, StoreError::Closed);
    assert_fails!(store.claim(claim).await, StoreError::Closed);
    let released = store.release(vec![lease.clone()]).await;
    assert_fails!(released, StoreError::Closed);
    assert_fails!(store.leave(owner).await, StoreError::Closed);
    let committed = store.commit(progress(&lease, 0, 1)).await;
    assert_fails!(committed, StoreError::Closed);
    assert_fails!(store.blocks(&key, 1).await, StoreError::Closed);
    let requested = store.request_blocks(&key, None, BlockRequest::Retry).await;
    assert_fails!(requested, StoreError::Closed);
    let instances = store.instances(&key, &["a".to_owned()]).await;
    assert_fails!(instances, StoreError::Closed);
    let instances = store.list_instances(all_instances(&key)).await;
    assert_fails!(instances, StoreError::Closed);
    let outgoing = store.outgoing(all_outgoing(&key)).await;
    assert_fails!(outgoing, StoreError::Closed);
    let due = store.timers_due(all_timers(&key)).await;
    assert_fails!(due, StoreError::Closed);
    assert_fails!(store.timers(&key, "a").await, StoreError::Closed);
    assert_fails!(store.set_timer(&key, timer).await, StoreError::Closed);
    let cancelled = store.cancel_timer(&key, "a", "reminder").await;
    assert_fails!(cancelled, StoreError::Closed);
    assert_fails!(store.prune(&key, None, None).await, StoreError::Closed);
}
