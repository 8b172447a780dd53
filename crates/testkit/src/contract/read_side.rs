//! What the scenarios of the read side build and compare.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use ordain::store::{
    Barrier, Block, BlockKind, Change, Claim, Committed, Definition, Heartbeat, InstanceQuery,
    InstanceRecord, Lease, LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Partitions, Progress,
    Share, SubscriptionChange, SubscriptionKey, SubscriptionRecord, SubscriptionState,
    SubscriptionStore, TimerQuery, TimerRecord,
};
use ordain::{CommandId, EventId, GlobalPosition};
use time::OffsetDateTime;
use time::macros::datetime;

use super::StoreFixture;
use super::apps::SHORT;
use crate::ManualClock;

/// A time to live that no scenario outlives.
pub(super) const LONG: Duration = Duration::from_secs(3_600);

/// How long something may take that is to come by itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// All instances.
pub(super) const ALL: Share = Share {
    partition: 0,
    partitions: 1,
};

/// A time before that of any store.
pub(super) const PAST: OffsetDateTime = datetime!(2000-01-01 00:00 UTC);

/// A store in which a scenario lets time pass.
pub(super) struct Timed<S> {
    pub(super) store: S,
    clock: Option<ManualClock>,
}

impl<S: SubscriptionStore> Timed<S> {
    pub(super) async fn open<F: StoreFixture<Store = S>>(fixture: &F) -> Self {
        let clock = ManualClock::new();
        match fixture.open_with_clock(Arc::new(clock.clone())).await {
            Some(store) => Self {
                store,
                clock: Some(clock),
            },
            None => Self {
                store: fixture.open().await,
                clock: None,
            },
        }
    }

    /// A time that a scenario can wait for.
    pub(super) fn moment(&self) -> Duration {
        match self.clock {
            Some(_) => Duration::from_secs(30),
            None => Duration::from_millis(300),
        }
    }

    /// A time within which a scenario can do what has to be done before.
    pub(super) fn later(&self) -> Duration {
        match self.clock {
            Some(_) => self.moment(),
            None => Duration::from_secs(2),
        }
    }

    /// Lets a moment pass, or begins to wait for it.
    pub(super) fn pass(&self) {
        if let Some(clock) = &self.clock {
            clock.advance(self.moment() + Duration::from_secs(1));
        }
    }

    /// How long the leases of processes last that are going to die.
    pub(super) fn lease(&self) -> Duration {
        match self.clock {
            Some(_) => LONG,
            None => SHORT,
        }
    }

    /// Lets leases end, or begins to wait for it.
    pub(super) fn end_leases(&self) {
        if let Some(clock) = &self.clock {
            clock.advance(LONG + Duration::from_secs(1));
        }
    }

    /// How many cases to go on by: where leases have to be waited for, not all of them are tried.
    pub(super) fn stride(&self) -> usize {
        match self.clock {
            Some(_) => 1,
            None => 2,
        }
    }

    /// The store's clock, if the scenario moves it.
    pub(super) fn clock(&self) -> Option<ManualClock> {
        self.clock.clone()
    }
}

/// Asks until there is an answer.
pub(super) async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub(super) fn key(name: &str) -> SubscriptionKey {
    SubscriptionKey::new(name, 1)
}

pub(super) fn definition(state: SubscriptionState) -> Definition {
    Definition {
        state,
        reason: Some("because it’s told".to_owned()),
        fingerprint: "deposits 1".to_owned(),
        replayed: vec![7.into(), 8.into()],
        barrier: Some(Barrier {
            position: 9.into(),
            partitions: 3,
        }),
    }
}

/// What makes an active subscription with partitions that stand here.
pub(super) fn creation(
    key: &SubscriptionKey,
    positions: impl IntoIterator<Item = u64>,
) -> SubscriptionChange {
    let positions = positions.into_iter().map(GlobalPosition::new).collect();
    SubscriptionChange {
        partitions: Partitions::Replace(positions),
        ..change_of(key, 0)
    }
}

/// A change that leaves the partitions, to the generation expected.
pub(super) fn change_of(key: &SubscriptionKey, expected: u64) -> SubscriptionChange {
    SubscriptionChange {
        key: key.clone(),
        expected,
        at_least: None,
        definition: definition(SubscriptionState::Active),
        partitions: Partitions::Keep,
    }
}

pub(super) async fn change<const N: usize>(
    store: &impl SubscriptionStore,
    changes: [SubscriptionChange; N],
) -> bool {
    let changed = store.change_subscriptions(changes.into()).await;
    changed.expect("subscriptions can be changed")
}

/// Makes an active subscription with partitions that stand here.
pub(super) async fn made(
    store: &impl SubscriptionStore,
    name: &str,
    positions: impl IntoIterator<Item = u64>,
) -> SubscriptionKey {
    let key = key(name);
    assert!(change(store, [creation(&key, positions)]).await);
    key
}

/// Makes a subscription with one partition at the origin; returns its lease.
pub(super) async fn made_and_leased(store: &impl SubscriptionStore, name: &str) -> LeaseKey {
    let key = made(store, name, [0]).await;
    leased(store, &key, 0).await
}

pub(super) async fn find(
    store: &impl SubscriptionStore,
    key: &SubscriptionKey,
) -> Option<SubscriptionRecord> {
    let records = store.subscriptions(Some(&key.name)).await;
    let mut records = records.expect("subscriptions can be read").into_iter();
    records.find(|record| record.key == *key)
}

pub(super) async fn record(
    store: &impl SubscriptionStore,
    key: &SubscriptionKey,
) -> SubscriptionRecord {
    let record = find(store, key).await;
    record.unwrap_or_else(|| panic!("there is no subscription {key}"))
}

pub(super) fn positions_of(record: &SubscriptionRecord) -> Vec<u64> {
    let partitions = record.partitions.iter();
    partitions
        .map(|partition| partition.position.get())
        .collect()
}

pub(super) fn epochs_of(record: &SubscriptionRecord) -> Vec<u64> {
    let partitions = record.partitions.iter();
    partitions.map(|partition| partition.epoch).collect()
}

pub(super) fn owners_of(record: &SubscriptionRecord) -> Vec<Option<OwnerId>> {
    let partitions = record.partitions.iter();
    partitions.map(|partition| partition.owner).collect()
}

/// Claims partitions; the leases come in their order.
pub(super) async fn claim(
    store: &impl SubscriptionStore,
    owner: OwnerId,
    subscription: &SubscriptionKey,
    partitions: impl IntoIterator<Item = u32>,
    ttl: Duration,
) -> Vec<Lease> {
    let claim = Claim {
        owner,
        ttl,
        subscription: subscription.clone(),
        partitions: partitions.into_iter().collect(),
    };
    let mut leases = store.claim(claim).await.expect("partitions can be claimed");
    leases.sort_by_key(|lease| lease.key.partition);
    leases
}

/// The lease of a free partition, claimed for long by somebody.
pub(super) async fn leased(
    store: &impl SubscriptionStore,
    subscription: &SubscriptionKey,
    partition: u32,
) -> LeaseKey {
    let owner = OwnerId::random();
    let leases = claim(store, owner, subscription, [partition], LONG).await;
    let lease = leases.into_iter().next();
    lease.expect("the partition is free").key
}

/// Waits until somebody else can claim a partition.
pub(super) async fn claimed_when_free(
    store: &impl SubscriptionStore,
    owner: OwnerId,
    subscription: &SubscriptionKey,
    partition: u32,
) -> Lease {
    eventually("a lease is over", async || {
        let leases = claim(store, owner, subscription, [partition], LONG).await;
        leases.into_iter().next()
    })
    .await
}

pub(super) async fn keep_alive(
    store: &impl SubscriptionStore,
    owner: OwnerId,
    ttl: Duration,
    subscriptions: &[SubscriptionKey],
    leases: &[LeaseKey],
) -> Vec<SubscriptionRecord> {
    let beat = Heartbeat {
        owner,
        ttl,
        subscriptions: subscriptions.to_vec(),
        leases: leases.to_vec(),
    };
    let records = store.keep_alive(beat).await;
    records.expect("a process can say that it is alive")
}

pub(super) fn progress(lease: &LeaseKey, from: u64, to: u64) -> Progress {
    Progress::new(lease.clone(), from.into(), to.into())
}

pub(super) async fn commit(store: &impl SubscriptionStore, progress: Progress) -> Committed {
    let committed = store.commit(progress).await;
    committed.expect("progress can be committed")
}

/// Commits changes of a partition that stands at the origin and stays there.
pub(super) async fn commit_changes(
    store: &impl SubscriptionStore,
    lease: &LeaseKey,
    changes: Vec<Change>,
) {
    let progress = Progress {
        changes,
        ..progress(lease, 0, 0)
    };
    assert_eq!(commit(store, progress).await, Committed::Done);
}

pub(super) fn dead_letter(key: &str) -> Block {
    Block {
        key: key.to_owned(),
        kind: BlockKind::DeadLetter,
        position: 4.into(),
        event_id: Some(EventId::new()),
        error: "the mail server said no".to_owned(),
        attempts: 3,
        since: PAST,
        request: None,
    }
}

pub(super) fn parked(key: &str) -> Block {
    Block {
        kind: BlockKind::Parked,
        event_id: None,
        error: String::new(),
        attempts: 0,
        ..dead_letter(key)
    }
}

pub(super) fn instance(id: &str) -> InstanceRecord {
    InstanceRecord {
        id: id.to_owned(),
        bucket: u32::MAX,
        position: 4.into(),
        finished: false,
        data: opaque(id),
        changed_at: PAST,
    }
}

pub(super) fn outgoing(instance: &str, sequence: u64) -> OutgoingRecord {
    OutgoingRecord {
        command_id: CommandId::new(),
        instance: instance.to_owned(),
        bucket: u32::MAX,
        sequence,
        attempts: 0,
        data: opaque(instance),
    }
}

/// A timer that is due.
pub(super) fn timer(instance: &str, key: &str) -> TimerRecord {
    TimerRecord {
        instance: instance.to_owned(),
        bucket: u32::MAX,
        key: key.to_owned(),
        generation: 1,
        due_at: PAST,
        data: opaque(key),
    }
}

/// Bytes that are no text.
fn opaque(text: &str) -> Bytes {
    [b"\x00\xff", text.as_bytes()].concat().into()
}

pub(super) fn all_outgoing(subscription: &SubscriptionKey) -> OutgoingQuery {
    OutgoingQuery {
        subscription: subscription.clone(),
        share: ALL,
        after: None,
        limit: 1_000,
    }
}

pub(super) fn all_timers(subscription: &SubscriptionKey) -> TimerQuery {
    TimerQuery {
        subscription: subscription.clone(),
        share: ALL,
        limit: 1_000,
    }
}

pub(super) fn all_instances(subscription: &SubscriptionKey) -> InstanceQuery {
    InstanceQuery {
        subscription: subscription.clone(),
        after: None,
        finished: None,
        limit: 1_000,
    }
}

/// The time by the store's clock.
pub(super) async fn now_of(store: &impl SubscriptionStore) -> OffsetDateTime {
    let due = store.timers_due(all_timers(&key("nothing"))).await;
    due.expect("timers can be read").now
}

/// All that is kept of a subscription.
#[derive(Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) record: Option<SubscriptionRecord>,
    pub(super) blocks: Vec<Block>,
    pub(super) instances: Vec<InstanceRecord>,
    pub(super) outgoing: Vec<OutgoingRecord>,
    pub(super) due: Vec<TimerRecord>,
}

pub(super) async fn kept(store: &impl SubscriptionStore, key: &SubscriptionKey) -> Kept {
    let blocks = store.blocks(key, 1_000).await;
    let instances = store.list_instances(all_instances(key)).await;
    let outgoing = store.outgoing(all_outgoing(key)).await;
    let due = store.timers_due(all_timers(key)).await;
    Kept {
        record: find(store, key).await,
        blocks: blocks.expect("blocks can be read"),
        instances: instances.expect("instances can be read"),
        outgoing: outgoing.expect("outgoing commands can be read"),
        due: due.expect("timers can be read").timers,
    }
}

impl Kept {
    /// How many blocks, instances, outgoing commands and due timers there are.
    pub(super) fn counts(&self) -> [usize; 4] {
        let (blocks, instances) = (self.blocks.len(), self.instances.len());
        [blocks, instances, self.outgoing.len(), self.due.len()]
    }
}

/// One change of every kind that adds something.
pub(super) fn additions() -> Vec<Change> {
    vec![
        Change::Block(dead_letter("a")),
        Change::Block(parked("b")),
        Change::PutInstance(instance("a")),
        Change::PutOutgoing(outgoing("a", 1)),
        Change::PutTimer(timer("a", "reminder")),
    ]
}

/// Makes a subscription with something of everything; returns its lease.
pub(super) async fn furnished(
    store: &impl SubscriptionStore,
    key: &SubscriptionKey,
    owner: OwnerId,
) -> LeaseKey {
    assert!(change(store, [creation(key, [0])]).await);
    let lease = claim(store, owner, key, [0], LONG).await.remove(0).key;
    commit_changes(store, &lease, additions()).await;
    keep_alive(store, owner, LONG, std::slice::from_ref(key), &[]).await;
    lease
}
