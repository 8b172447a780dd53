//! What the read side keeps, for tests.

use std::time::Duration;

use ordain::store::{
    Block, BlockKind, Claim, Definition, Heartbeat, InstanceRecord, LeaseKey, OutgoingRecord,
    OwnerId, Partitions, SubscriptionChange, SubscriptionKey, SubscriptionState, SubscriptionStore,
    TimerRecord,
};
use ordain::{CommandId, StoreError};
use time::OffsetDateTime;

pub(crate) fn key(name: &str) -> SubscriptionKey {
    SubscriptionKey::new(name, 1)
}

/// A new subscription with one partition.
pub(crate) fn made(name: &str) -> SubscriptionChange {
    SubscriptionChange {
        key: key(name),
        expected: 0,
        at_least: None,
        definition: Definition {
            state: SubscriptionState::Active,
            reason: None,
            fingerprint: "all".into(),
            replayed: Vec::new(),
            barrier: None,
        },
        partitions: Partitions::Replace(vec![0.into()]),
    }
}

pub(crate) fn claim(name: &str, ttl: Duration) -> Claim {
    Claim {
        owner: OwnerId::random(),
        ttl,
        subscription: key(name),
        partitions: vec![0],
    }
}

/// A sign of life of another process that works on the subscription.
pub(crate) fn beat(key: &SubscriptionKey) -> Heartbeat {
    Heartbeat {
        owner: OwnerId::random(),
        ttl: Duration::from_secs(60),
        subscriptions: vec![key.clone()],
        leases: Vec::new(),
    }
}

/// Makes a subscription, and claims its partition.
pub(crate) async fn leased(
    store: &impl SubscriptionStore,
    name: &str,
) -> Result<LeaseKey, StoreError> {
    assert!(store.change_subscriptions(vec![made(name)]).await?);
    let leases = store.claim(claim(name, Duration::from_secs(60))).await?;
    Ok(leases.into_iter().next().unwrap().key)
}

pub(crate) fn instance(id: &str) -> InstanceRecord {
    InstanceRecord {
        id: id.into(),
        bucket: 1,
        position: 1.into(),
        finished: false,
        data: "{}".into(),
        changed_at: OffsetDateTime::UNIX_EPOCH,
    }
}

pub(crate) fn outgoing(instance: &str, sequence: u64) -> OutgoingRecord {
    OutgoingRecord {
        command_id: CommandId::new(),
        instance: instance.into(),
        bucket: 1,
        sequence,
        attempts: 0,
        data: "{}".into(),
    }
}

pub(crate) fn timer(instance: &str, key: &str) -> TimerRecord {
    TimerRecord {
        instance: instance.into(),
        bucket: 1,
        key: key.into(),
        generation: 1,
        due_at: OffsetDateTime::UNIX_EPOCH,
        data: "{}".into(),
    }
}

pub(crate) fn dead_letter(key: &str) -> Block {
    Block {
        key: key.into(),
        kind: BlockKind::DeadLetter,
        position: 1.into(),
        event_id: None,
        error: "it failed\0".into(),
        attempts: 1,
        since: OffsetDateTime::UNIX_EPOCH,
        request: None,
    }
}
