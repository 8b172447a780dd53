//! The subscriptions of a process: who works on what, as long as it may.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use super::control;
use super::lease::{Held, Holder, good_until};
use super::positions::Positions;
use super::rate::Samples;
use super::rebuild::{self, Building, Step};
use super::share;
use super::tail::{TailHandle, TailOptions};
use crate::aggregate::instance::panic_message;
use crate::app::{Shared, WeakApp};
use crate::store::{
    Claim, EventStore, Heartbeat, Lease, LeaseKey, OwnerId, SubscriptionChange, SubscriptionKey,
    SubscriptionRecord, SubscriptionState, SubscriptionStore,
};
use crate::{GlobalPosition, RecordedEvent, StoreError};

/// How long a partition is left alone whose work panicked.
const LEFT_AFTER_PANIC: Duration = Duration::from_secs(1);

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

    /// The ordering keys that an event belongs to, where that is not its stream.
    fn keys_of(&self, event: &RecordedEvent) -> Option<Vec<String>> {
        let _ = event;
        None
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
            ended: Vec::new(),
            left: HashMap::new(),
            building: HashMap::new(),
            held: HashMap::new(),
            chores: HashMap::new(),
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

    /// Works on a subscription from now on; `None` if this process does so already.
    pub(crate) fn join(
        &self,
        record: SubscriptionRecord,
        work: Arc<dyn Work>,
    ) -> Option<Arc<Member>> {
        let mut members = self.lock_members();
        members.retain(|member| !member.leaving.is_cancelled());
        if members.iter().any(|member| member.key == record.key) {
            return None;
        }
        let member = Arc::new(Member {
            key: record.key.clone(),
            work,
            record: watch::Sender::new(record),
            leaving: CancellationToken::new(),
        });
        members.push(Arc::clone(&member));
        drop(members);
        self.wake.notify_one();
        Some(member)
    }

    /// Waits until the app stops, or is cut off.
    pub(crate) async fn until_stopping(&self) {
        tokio::select! {
            () = self.stopping.cancelled() => {}
            () = self.cut_off.cancelled() => {}
        }
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

    /// Runs a task that ends, at the latest, when the app is cut off.
    pub(crate) fn spawn(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> tokio::task::JoinHandle<()> {
        let (stopping, cut_off) = (self.stopping.clone(), self.cut_off.clone());
        let task = Box::pin(stopping.run_until_cancelled_owned(task));
        self.tracker.spawn(async move {
            cut_off.run_until_cancelled(task).await;
        })
    }

    /// This process's work on a subscription.
    pub(super) fn member(&self, key: &SubscriptionKey) -> Option<Arc<Member>> {
        let members = self.lock_members();
        members.iter().find(|member| member.key == *key).cloned()
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
    /// What is to be given back.
    ended: Vec<LeaseKey>,
    /// Partitions that are left to others until then.
    left: HashMap<(SubscriptionKey, u32), Instant>,
    /// What is built beside what is active.
    building: HashMap<SubscriptionKey, Building>,
    /// What waits for another version to take its place, as of which generation, and since when.
    held: HashMap<SubscriptionKey, (u64, Instant)>,
    /// What the user's code does for a subscription as a whole.
    chores: HashMap<SubscriptionKey, AbortOnDropHandle<()>>,
}

struct Running {
    member: Arc<Member>,
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
        self.give_back_ended().await;
        let members = self.hub.members();
        self.stop_left();
        if members.is_empty() && self.running.is_empty() {
            return Ok(());
        }
        let records = self.stay_alive(&members).await?;
        for member in members {
            let Some(record) = records.iter().find(|record| record.key == member.key) else {
                self.lose_all(&member.key);
                continue;
            };
            // What is wrong with one is not the others' fault.
            if let Err(error) = self.attend(&member, record).await {
                tracing::warn!(subscription = %member.key, %error, "a subscription cannot be attended to; it is tried again");
            }
        }
        Ok(())
    }

    /// Gives a sign of life and renews the leases; tells how the subscriptions stand.
    async fn stay_alive(
        &self,
        members: &[Arc<Member>],
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        let began = Instant::now();
        let beat = Heartbeat {
            owner: self.hub.owner,
            ttl: self.hub.options.lease,
            subscriptions: members.iter().map(|member| member.key.clone()).collect(),
            leases: self.leases(),
        };
        let records = self.hub.store.keep_alive(beat).await?;
        for record in &records {
            self.renew(record, began);
        }
        Ok(records)
    }

    fn leases(&self) -> Vec<LeaseKey> {
        let running = self.running.values();
        running.map(|running| running.lease.clone()).collect()
    }

    /// Stops what this process is to work on no more.
    fn stop_left(&self) {
        for running in self.running.values() {
            if running.member.leaving.is_cancelled() {
                running.holder.stopping.cancel();
            }
        }
    }

    fn lose_all(&self, key: &SubscriptionKey) {
        let running = self.running.iter().filter(|((owner, _), _)| owner == key);
        running.for_each(|(_, running)| running.holder.lost.cancel());
    }

    /// Gives back what has ended, lost or not: what has another owner is passed over.
    async fn give_back_ended(&mut self) {
        let ended: Vec<_> = self
            .running
            .extract_if(|_, running| running.task.is_finished())
            .collect();
        for (place, running) in ended {
            self.hub.positions.forget(&place);
            let leave = running.task.await.unwrap_or_else(|error| {
                tracing::error!(subscription = %place.0, partition = place.1, %error, "the work on a partition panicked; it is tried again");
                LEFT_AFTER_PANIC
            });
            if !leave.is_zero() {
                self.left.insert(place, Instant::now() + leave);
            }
            self.ended.push(running.lease);
        }
        if self.ended.is_empty() {
            return;
        }
        match self.hub.store.release(self.ended.clone()).await {
            Ok(()) => self.ended.clear(),
            Err(error) => {
                tracing::warn!(%error, "leases cannot be given back; it is tried again");
            }
        }
    }

    async fn attend(
        &mut self,
        member: &Arc<Member>,
        record: &SubscriptionRecord,
    ) -> Result<(), StoreError> {
        self.tell(member, record);
        self.note_orphans(record);
        if !rebuild::is_held(record) {
            self.held.remove(&record.key);
        }
        if !record.definition.state.is_claimable() {
            self.stop_all(&record.key);
            return match record.definition.state {
                SubscriptionState::Resetting => {
                    self.reset(member, record);
                    Ok(())
                }
                _ if rebuild::is_held(record) => self.release_if_forgotten(record).await,
                _ => Ok(()),
            };
        }
        if let Some(change) = control::barrier_moved(record) {
            return self.change(change).await;
        }
        if let Some(change) = share::replaced(record) {
            self.stop_all(&record.key);
            return self.change(change).await;
        }
        if record.definition.state == SubscriptionState::Building {
            self.build(member, record).await?;
        }
        let share = share::of(record, self.hub.owner);
        for partition in share.surplus {
            if let Some(running) = self.running.get(&(record.key.clone(), partition)) {
                running.holder.stopping.cancel();
            }
        }
        self.claim(member, record, share.wanted).await
    }

    /// Tells those who work on a subscription how it stands, if there is news. That dead letters wait for them
    /// they hear every time, since one may have been asked about again meanwhile.
    fn tell(&self, member: &Member, record: &SubscriptionRecord) {
        member.record.send_if_modified(|known| {
            let is_news = known != record || record.requests > 0;
            known.clone_from(record);
            is_news
        });
        for partition in &record.partitions {
            let place = (record.key.clone(), partition.partition);
            if !self.running.contains_key(&place) {
                self.hub.positions.forget(&place);
            }
        }
    }

    /// What this process has claimed without hearing of it is to be given back.
    fn note_orphans(&mut self, record: &SubscriptionRecord) {
        for partition in &record.partitions {
            let place = (record.key.clone(), partition.partition);
            if partition.owner != Some(self.hub.owner) || self.running.contains_key(&place) {
                continue;
            }
            let lease = LeaseKey {
                subscription: place.0,
                partition: place.1,
                epoch: partition.epoch,
            };
            if !self.ended.contains(&lease) {
                self.ended.push(lease);
            }
        }
    }

    async fn change(&self, change: SubscriptionChange) -> Result<(), StoreError> {
        self.hub.store.change_subscriptions(vec![change]).await?;
        self.hub.wake.notify_one();
        Ok(())
    }

    /// Renews what is still this process's own, and gives up what is not.
    fn renew(&self, record: &SubscriptionRecord, began: Instant) {
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

    fn reset(&mut self, member: &Arc<Member>, record: &SubscriptionRecord) {
        if let Some(change) = share::begun_anew(record) {
            let (work, hub) = (Arc::clone(&member.work), Arc::clone(&self.hub));
            self.begin_chore(&record.key, async move { work.reset(&hub, change).await });
        }
    }

    /// Brings a version nearer to taking the place of the active one.
    async fn build(
        &mut self,
        member: &Arc<Member>,
        record: &SubscriptionRecord,
    ) -> Result<(), StoreError> {
        let known = self.hub.store.subscriptions(Some(&record.key.name)).await?;
        let building = self.building.entry(record.key.clone()).or_default();
        match building.step(&known, &record.key, self.hub.options.lease) {
            Step::None => Ok(()),
            Step::Change(change) => self.change(change).await,
            Step::TakeOver(changes) => {
                let (work, hub) = (Arc::clone(&member.work), Arc::clone(&self.hub));
                self.begin_chore(
                    &record.key,
                    async move { work.take_over(&hub, changes).await },
                );
                Ok(())
            }
        }
    }

    /// Has a version go on if that which was to take its place does not let it.
    async fn release_if_forgotten(
        &mut self,
        record: &SubscriptionRecord,
    ) -> Result<(), StoreError> {
        let now = (record.generation, Instant::now());
        let held = self.held.entry(record.key.clone()).or_insert(now);
        if held.0 != record.generation {
            *held = now;
        }
        if held.1.elapsed() > self.hub.options.lease * 2 {
            return self.change(rebuild::released(record)).await;
        }
        Ok(())
    }

    /// Runs the user's code for a subscription as a whole, beside the rounds: it may take long, fail or panic.
    fn begin_chore(
        &mut self,
        key: &SubscriptionKey,
        chore: impl Future<Output = Result<bool, StoreError>> + Send + 'static,
    ) {
        let is_under_way = |task: &AbortOnDropHandle<()>| !task.is_finished();
        if self.chores.get(key).is_some_and(is_under_way) {
            return;
        }
        let hub = Arc::clone(&self.hub);
        let chore = Box::pin(AssertUnwindSafe(chore).catch_unwind());
        let subscription = key.clone();
        let task = self.hub.tracker.spawn(async move {
            let problem = match hub.cut_off.run_until_cancelled(chore).await {
                None => return,
                Some(Ok(Ok(_))) => return hub.wake.notify_one(),
                Some(Ok(Err(error))) => error.to_string(),
                Some(Err(panic)) => panic_message(&*panic),
            };
            tracing::error!(%subscription, problem, "a subscription cannot be reset or take over; it is tried again");
            tokio::time::sleep(hub.options.beat).await;
        });
        self.chores
            .insert(key.clone(), AbortOnDropHandle::new(task));
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
        let leases = self.hub.store.claim(claim).await?;
        if leases.is_empty() {
            return Ok(());
        }
        self.begin_all(member, leases, began).await
    }

    /// Begins the work on partitions, by how the subscription stands after they were claimed: before, it may
    /// have had other partitions, or no barrier. What changes from now on takes the leases away.
    async fn begin_all(
        &mut self,
        member: &Arc<Member>,
        leases: Vec<Lease>,
        began: Instant,
    ) -> Result<(), StoreError> {
        let name = Some(&*member.key.name);
        let known = match self.hub.store.subscriptions(name).await {
            Ok(known) => known,
            Err(error) => {
                self.ended.extend(leases.into_iter().map(|lease| lease.key));
                return Err(error);
            }
        };
        let Some(record) = known.into_iter().find(|one| one.key == member.key) else {
            return Ok(());
        };
        member.record.send_replace(record.clone());
        for lease in leases {
            let partition = record.partitions.get(lease.key.partition as usize);
            if partition.is_some_and(|partition| partition.epoch == lease.key.epoch) {
                self.begin(member, lease, &record, began);
            }
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
            held,
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
            member: Arc::clone(member),
            lease: key,
            holder,
            task: AbortOnDropHandle::new(task),
        };
        self.running.insert(place, running);
    }

    /// Gives everything back, when what is under way has ended.
    async fn end(mut self) {
        self.chores.clear();
        for running in self.running.values() {
            running.holder.stopping.cancel();
        }
        while let Some(running) = self
            .running
            .values_mut()
            .find(|one| !one.task.is_finished())
        {
            // A panic in there ends the lease as any other end.
            let ended = tokio::time::timeout(self.hub.options.beat, &mut running.task).await;
            if ended.is_err()
                && let Err(error) = self.stay_alive(&self.hub.members()).await
            {
                tracing::warn!(%error, "the leases cannot be renewed; it is tried again");
            }
        }
        let left = self.hub.store.leave(self.hub.owner).await;
        if let Err(error) = left {
            tracing::warn!(%error, "the leases of this process could not be given back; they end by themselves");
        }
    }
}
