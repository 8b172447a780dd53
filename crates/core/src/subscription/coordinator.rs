//! What a process works on: it keeps its leases, takes its share of the partitions, and gives back the rest.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use super::control;
use super::hub::{Hub, Member, Partition};
use super::lease::{Held, Holder, good_until};
use super::rebuild::{self, Building, Step};
use super::share;
use crate::StoreError;
use crate::aggregate::instance::panic_message;
use crate::store::{
    Claim, Heartbeat, Lease, LeaseKey, SubscriptionChange, SubscriptionKey, SubscriptionRecord,
    SubscriptionState,
};

/// How long a partition is left alone whose work panicked.
const LEFT_AFTER_PANIC: Duration = Duration::from_secs(1);

/// Keeps the process's leases, takes its share of partitions and gives back what is too much.
pub(super) struct Coordinator {
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
    pub(super) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            running: HashMap::new(),
            ended: Vec::new(),
            left: HashMap::new(),
            building: HashMap::new(),
            held: HashMap::new(),
            chores: HashMap::new(),
        }
    }

    pub(super) async fn run(mut self) {
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
        if self.has_chore(&record.key) {
            return Ok(());
        }
        let known = self.hub.store.subscriptions(Some(&record.key.name)).await?;
        let lease = self.hub.options.lease;
        let building = self.building.entry(record.key.clone()).or_default();
        match building.step(&known, &record.key, lease) {
            Step::None => Ok(()),
            Step::Change(change) => self.change(change).await,
            Step::TakeOver(changes) => {
                let (work, hub) = (Arc::clone(&member.work), Arc::clone(&self.hub));
                let limit = lease * rebuild::TAKES_OVER_WITHIN;
                self.begin_chore(&record.key, async move {
                    tokio::time::timeout(limit, work.take_over(&hub, changes))
                        .await
                        .map_err(|_| {
                            StoreError::internal(format!("it took longer than {limit:?}"))
                        })?
                });
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
        let (held_for, lease) = (held.1.elapsed(), self.hub.options.lease);
        if held_for <= lease * 2 {
            return Ok(());
        }
        let known = self.hub.store.subscriptions(Some(&record.key.name)).await?;
        let is_due = held_for > lease * (rebuild::TAKES_OVER_WITHIN + 2);
        match is_due || !rebuild::is_worked_on(&known) {
            true => self.change(rebuild::released(record)).await,
            false => Ok(()),
        }
    }

    fn has_chore(&self, key: &SubscriptionKey) -> bool {
        self.chores.get(key).is_some_and(|task| !task.is_finished())
    }

    /// Runs the user's code for a subscription as a whole, beside the rounds: it may take long, fail or panic.
    fn begin_chore(
        &mut self,
        key: &SubscriptionKey,
        chore: impl Future<Output = Result<bool, StoreError>> + Send + 'static,
    ) {
        if self.has_chore(key) {
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
