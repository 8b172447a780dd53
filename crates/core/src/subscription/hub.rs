//! The subscriptions of a process: who works on what, as long as it may.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::control;
use super::lease::{Held, Holder, good_until};
use super::positions::Positions;
use super::rate::Samples;
use super::rebuild::Building;
use super::share;
use super::tail::{TailHandle, TailOptions};
use crate::app::{Shared, WeakApp};
use crate::store::{
    Claim, EventStore, Heartbeat, Lease, LeaseKey, OwnerId, SubscriptionChange, SubscriptionKey,
    SubscriptionRecord, SubscriptionState, SubscriptionStore,
};
use crate::{GlobalPosition, StoreError};

/// What a subscription does.
#[async_trait]
pub(crate) trait Work: Send + Sync + 'static {
    /// Works on a partition until it is lost or to be given back, or there is nothing more to do; returns
    /// for how long this process should leave the partition to others.
    async fn run(self: Arc<Self>, partition: Partition) -> Duration;

    /// How long dead letters, and process instances that have ended, are kept.
    fn retention(&self) -> (Option<Duration>, Option<Duration>) {
        (None, None)
    }

    /// Empties what it has made, together with this change.
    async fn reset(&self, hub: &Hub, change: SubscriptionChange) -> Result<bool, StoreError> {
        hub.store.change_subscriptions(vec![change]).await
    }

    /// Puts what it has made in the place of the older version's, together with these changes.
    async fn take_over(
        &self,
        hub: &Hub,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        hub.store.change_subscriptions(changes).await
    }
}

/// A partition to be worked on.
pub(crate) struct Partition {
    pub(crate) held: Held,
    /// How many partitions there are.
    pub(crate) partitions: u32,
    pub(crate) record: watch::Receiver<SubscriptionRecord>,
    pub(crate) hub: Arc<Hub>,
}

impl Partition {
    pub(crate) fn key(&self) -> &LeaseKey {
        &self.held.lease.key
    }

    /// Whether what has this hash belongs here.
    pub(crate) fn holds(&self, bucket: u32) -> bool {
        super::partition_of(bucket, self.partitions) == self.key().partition
    }

    /// Where it has to stop, if the partitions are about to be replaced.
    pub(crate) fn barrier(&self) -> Option<GlobalPosition> {
        let record = self.record.borrow();
        record.definition.barrier.map(|barrier| barrier.position)
    }
}

/// How the hub works.
#[derive(Debug, Clone)]
pub(crate) struct HubOptions {
    /// How long a lease lasts.
    pub(crate) lease: Duration,
    /// How often the process gives a sign of life and looks how its subscriptions stand.
    pub(crate) beat: Duration,
    pub(crate) tail: TailOptions,
}

/// What the subscriptions of a process share.
pub(crate) struct Hub {
    pub(crate) store: Arc<dyn SubscriptionStore>,
    pub(crate) tail: TailHandle,
    pub(crate) positions: Positions,
    pub(super) samples: Arc<Mutex<Samples>>,
    pub(crate) owner: OwnerId,
    app: OnceLock<WeakApp>,
    options: HubOptions,
    members: Mutex<Vec<Arc<Member>>>,
    /// Has the coordinator look at once.
    pub(crate) wake: Notify,
    tracker: TaskTracker,
    stopping: CancellationToken,
    cut_off: CancellationToken,
}

/// A subscription that this process works on.
pub(crate) struct Member {
    pub(crate) key: SubscriptionKey,
    pub(super) work: Arc<dyn Work>,
    pub(crate) record: watch::Sender<SubscriptionRecord>,
    /// Cancelled when the process is to work on it no more.
    pub(crate) leaving: CancellationToken,
}

impl Hub {
    /// A hub that works until the app stops; then it gives back what it holds.
    pub(crate) fn start(
        store: Arc<dyn SubscriptionStore>,
        options: HubOptions,
        shared: &Shared,
    ) -> Arc<Self> {
        let events = Arc::clone(&store) as Arc<dyn EventStore>;
        // The tail outlives the partitions' last steps.
        let tail_ends = CancellationToken::new();
        let (tail, run_tail) = TailHandle::new(events, options.tail.clone(), tail_ends.clone());
        let hub = Arc::new(Self {
            store,
            tail,
            positions: Positions::default(),
            samples: Arc::default(),
            owner: OwnerId::random(),
            app: OnceLock::new(),
            options,
            members: Mutex::default(),
            wake: Notify::new(),
            tracker: shared.tracker.clone(),
            stopping: shared.stopping.clone(),
            cut_off: shared.cut_off.clone(),
        });
        shared.spawn(run_tail);
        let coordinator = Coordinator {
            hub: Arc::clone(&hub),
            running: HashMap::new(),
            left: HashMap::new(),
            building: HashMap::new(),
        };
        let tail_ends = tail_ends.drop_guard();
        shared.spawn(async move {
            let _tail_ends = tail_ends;
            coordinator.run().await;
        });
        hub
    }

    pub(crate) fn set_app(&self, app: WeakApp) {
        // There is one app to a hub.
        let _ = self.app.set(app);
    }

    /// The app, for those who handle its events.
    pub(crate) fn app(&self) -> Option<WeakApp> {
        self.app.get().cloned()
    }

    /// The log.
    pub(crate) fn events(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store) as Arc<dyn EventStore>
    }

    /// Works on a subscription from now on.
    pub(crate) fn join(&self, record: SubscriptionRecord, work: Arc<dyn Work>) -> Arc<Member> {
        let member = Arc::new(Member {
            key: record.key.clone(),
            work,
            record: watch::Sender::new(record),
            leaving: CancellationToken::new(),
        });
        self.lock_members().push(Arc::clone(&member));
        self.wake.notify_one();
        member
    }

    /// Forgets what has been kept long enough.
    pub(crate) async fn prune(&self) {
        for member in self.members() {
            let (dead_letters, finished) = member.work.retention();
            if dead_letters.is_none() && finished.is_none() {
                continue;
            }
            let pruned = self.store.prune(&member.key, dead_letters, finished).await;
            if let Err(error) = pruned {
                tracing::warn!(subscription = %member.key, %error, "what was kept long enough could not be forgotten");
            }
        }
    }

    /// Whether this process works on a subscription already.
    pub(crate) fn works_on(&self, key: &SubscriptionKey) -> bool {
        self.members().iter().any(|member| member.key == *key)
    }

    /// Runs a task that ends, at the latest, when the app is cut off.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let stopping = self.stopping.clone();
        let task = Box::pin(task);
        self.tracker.spawn(async move {
            stopping.run_until_cancelled(task).await;
        })
    }

    fn members(&self) -> Vec<Arc<Member>> {
        let mut members = self.lock_members();
        members.retain(|member| !member.leaving.is_cancelled());
        members.clone()
    }

    fn lock_members(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps the process's leases, takes its share of partitions and gives back what is too much.
struct Coordinator {
    hub: Arc<Hub>,
    running: HashMap<(SubscriptionKey, u32), Running>,
    /// Partitions that are left to others until then.
    left: HashMap<(SubscriptionKey, u32), Instant>,
    /// What is built beside what is active.
    building: HashMap<SubscriptionKey, Building>,
}

struct Running {
    lease: LeaseKey,
    holder: Holder,
    task: AbortOnDropHandle<Duration>,
}

impl Coordinator {
    async fn run(mut self) {
        let hub = Arc::clone(&self.hub);
        loop {
            if let Err(error) = self.beat().await {
                tracing::warn!(%error, "the state of the subscriptions cannot be read; it is tried again");
            }
            tokio::select! {
                () = hub.stopping.cancelled() => break,
                () = hub.wake.notified() => {}
                () = tokio::time::sleep(hub.options.beat) => {}
            }
        }
        self.end().await;
    }

    /// One round: gives back what has ended, gives a sign of life, and takes what is due.
    async fn beat(&mut self) -> Result<(), StoreError> {
        self.give_back_ended().await?;
        let members = self.hub.members();
        self.stop_without_member(&members);
        if members.is_empty() && self.running.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let beat = Heartbeat {
            owner: self.hub.owner,
            ttl: self.hub.options.lease,
            subscriptions: members.iter().map(|member| member.key.clone()).collect(),
            leases: self.leases(),
        };
        let records = self.hub.store.keep_alive(beat).await?;
        for member in members {
            match records.iter().find(|record| record.key == member.key) {
                Some(record) => self.attend(&member, record, began).await?,
                None => self.lose_all(&member.key),
            }
        }
        Ok(())
    }

    fn leases(&self) -> Vec<LeaseKey> {
        let running = self.running.values();
        running.map(|running| running.lease.clone()).collect()
    }

    /// Stops what this process is to work on no more.
    fn stop_without_member(&mut self, members: &[Arc<Member>]) {
        for ((key, _), running) in &self.running {
            if !members.iter().any(|member| member.key == *key) {
                running.holder.stopping.cancel();
            }
        }
    }

    fn lose_all(&mut self, key: &SubscriptionKey) {
        let running = self.running.iter().filter(|((owner, _), _)| owner == key);
        running.for_each(|(_, running)| running.holder.lost.cancel());
    }

    async fn give_back_ended(&mut self) -> Result<(), StoreError> {
        let ended: Vec<_> = self
            .running
            .extract_if(|_, running| running.task.is_finished())
            .collect();
        let mut leases = Vec::new();
        for (place, running) in ended {
            self.hub.positions.forget(&place);
            // A panic in there ends the lease as any other end.
            let leave = running.task.await.unwrap_or_default();
            if !leave.is_zero() {
                self.left.insert(place, Instant::now() + leave);
            }
            if !running.holder.lost.is_cancelled() {
                leases.push(running.lease);
            }
        }
        if leases.is_empty() {
            return Ok(());
        }
        self.hub.store.release(leases).await
    }

    async fn attend(
        &mut self,
        member: &Arc<Member>,
        record: &SubscriptionRecord,
        began: Instant,
    ) -> Result<(), StoreError> {
        self.renew(record, began);
        if member.record.send_if_modified(|known| {
            let changed = known != record;
            if changed {
                known.clone_from(record);
            }
            changed
        }) {
            self.note_positions(record);
        }
        if !record.definition.state.is_claimable() {
            self.stop_all(&record.key);
            if record.definition.state == SubscriptionState::Resetting {
                self.reset(member, record).await?;
            }
            return Ok(());
        }
        if let Some(change) = control::barrier_moved(record) {
            self.hub.store.change_subscriptions(vec![change]).await?;
            self.hub.wake.notify_one();
            return Ok(());
        }
        if let Some(change) = share::replaced(record) {
            self.stop_all(&record.key);
            self.hub.store.change_subscriptions(vec![change]).await?;
            self.hub.wake.notify_one();
            return Ok(());
        }
        if record.definition.state == SubscriptionState::Building {
            let building = self.building.entry(record.key.clone()).or_default();
            if building.step(&self.hub, member, record).await? {
                self.hub.wake.notify_one();
            }
        }
        let share = share::of(record, self.hub.owner);
        for partition in share.surplus {
            if let Some(running) = self.running.get(&(record.key.clone(), partition)) {
                running.holder.stopping.cancel();
            }
        }
        self.claim(member, record, share.wanted).await
    }

    fn note_positions(&self, record: &SubscriptionRecord) {
        for partition in &record.partitions {
            let position = partition.position;
            let key = (record.key.clone(), partition.partition);
            if !self.running.contains_key(&key) {
                self.hub.positions.forget(&key);
            } else {
                self.hub.positions.note(key, position);
            }
        }
    }

    /// Renews what is still this process's own, and gives up what is not.
    fn renew(&mut self, record: &SubscriptionRecord, began: Instant) {
        let until = good_until(began, self.hub.options.lease);
        for ((key, number), running) in &self.running {
            if *key != record.key {
                continue;
            }
            let partition = record.partitions.get(*number as usize);
            let is_own = partition.is_some_and(|partition| {
                partition.epoch == running.lease.epoch && partition.owner == Some(self.hub.owner)
            });
            if is_own {
                running.holder.renew(until);
            } else {
                running.holder.lost.cancel();
            }
        }
    }

    fn stop_all(&self, key: &SubscriptionKey) {
        let running = self.running.iter().filter(|((owner, _), _)| owner == key);
        running.for_each(|(_, running)| running.holder.stopping.cancel());
    }

    async fn reset(&self, member: &Member, record: &SubscriptionRecord) -> Result<(), StoreError> {
        if let Some(change) = share::begun_anew(record) {
            member.work.reset(&self.hub, change).await?;
            self.hub.wake.notify_one();
        }
        Ok(())
    }

    async fn claim(
        &mut self,
        member: &Arc<Member>,
        record: &SubscriptionRecord,
        wanted: Vec<u32>,
    ) -> Result<(), StoreError> {
        let now = Instant::now();
        self.left.retain(|_, until| *until > now);
        let is_taken = |partition: &u32| {
            let place = (record.key.clone(), *partition);
            self.running.contains_key(&place) || self.left.contains_key(&place)
        };
        let partitions: Vec<_> = wanted.into_iter().filter(|one| !is_taken(one)).collect();
        if partitions.is_empty() {
            return Ok(());
        }
        let began = Instant::now();
        let claim = Claim {
            owner: self.hub.owner,
            ttl: self.hub.options.lease,
            subscription: record.key.clone(),
            partitions,
        };
        for lease in self.hub.store.claim(claim).await? {
            self.begin(member, lease, record, began);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        member: &Arc<Member>,
        lease: Lease,
        record: &SubscriptionRecord,
        began: Instant,
    ) {
        let until = good_until(began, self.hub.options.lease);
        let (key, place) = (lease.key.clone(), (record.key.clone(), lease.key.partition));
        self.hub.positions.note(place.clone(), lease.position);
        let (held, holder) = Held::new(lease, until);
        let partition = Partition {
            held: held.clone(),
            partitions: u32::try_from(record.partitions.len()).unwrap_or(u32::MAX),
            record: member.record.subscribe(),
            hub: Arc::clone(&self.hub),
        };
        let (work, hub) = (Arc::clone(&member.work), Arc::clone(&self.hub));
        let task = self.hub.tracker.spawn(async move {
            let leave = hub.cut_off.run_until_cancelled(work.run(partition)).await;
            hub.wake.notify_one();
            leave.unwrap_or_default()
        });
        let running = Running {
            lease: key,
            holder,
            task: AbortOnDropHandle::new(task),
        };
        self.running.insert(place, running);
    }

    /// Gives everything back.
    async fn end(mut self) {
        for running in self.running.values() {
            running.holder.stopping.cancel();
        }
        while let Some(running) = self
            .running
            .values_mut()
            .find(|one| !one.task.is_finished())
        {
            // A panic in there was told of already.
            let _ = (&mut running.task).await;
        }
        let left = self.hub.store.leave(self.hub.owner).await;
        if let Err(error) = left {
            tracing::warn!(%error, "the leases of this process could not be given back; they end by themselves");
        }
    }
}
