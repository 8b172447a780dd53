//! What the subscriptions of a process share, and what a subscription does.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::coordinator::Coordinator;
use super::lease::Held;
use super::positions::Positions;
use super::rate::Samples;
use super::tail::{TailHandle, TailOptions};
use crate::app::{Shared, WeakApp};
use crate::store::{
    EventStore, LeaseKey, OwnerId, SubscriptionChange, SubscriptionKey, SubscriptionRecord,
    SubscriptionStore,
};
use crate::{GlobalPosition, RecordedEvent, StoreError};

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

    /// The ordering keys that an event belongs to under this subscription, where that is not its stream.
    fn keys_of(
        &self,
        subscription: &SubscriptionKey,
        event: &RecordedEvent,
    ) -> Option<Vec<String>> {
        let _ = (subscription, event);
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
    pub(super) options: HubOptions,
    members: Mutex<Vec<Arc<Member>>>,
    /// Has the coordinator look at once.
    pub(crate) wake: Notify,
    /// Has who fires scheduled commands look at once.
    pub(crate) scheduled: watch::Sender<()>,
    pub(super) tracker: TaskTracker,
    pub(super) stopping: CancellationToken,
    pub(super) cut_off: CancellationToken,
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
            scheduled: watch::Sender::new(()),
            tracker: shared.tracker.clone(),
            stopping: shared.stopping.clone(),
            cut_off: shared.cut_off.clone(),
        });
        shared.spawn(run_tail);
        let coordinator = Coordinator::new(Arc::clone(&hub));
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

    pub(super) fn members(&self) -> Vec<Arc<Member>> {
        let mut members = self.lock_members();
        members.retain(|member| !member.leaving.is_cancelled());
        members.clone()
    }

    fn lock_members(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
