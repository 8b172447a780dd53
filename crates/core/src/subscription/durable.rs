//! Durable subscriptions that the user drives: take, handle, acknowledge.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Semaphore, mpsc, watch};

use super::checkpoint::Checkpoint;
use super::control::{self, SubscriptionError};
use super::cut::Cut;
use super::feed::{Chunk, Feed};
use super::hub::{Hub, Member, Partition, Work};
use super::options::SubscriptionOptions;
use super::partition::bucket_of;
use super::runner::{check_head, leave_alone};
use crate::store::{Filter, LeaseKey, SubscriptionKey};
use crate::{GlobalPosition, RecordedEvent};

/// What gives an event its ordering key.
pub type KeyOf = dyn Fn(&RecordedEvent) -> String + Send + Sync;

/// A durable subscription to be opened.
#[derive(Clone)]
#[non_exhaustive]
pub struct Subscribe {
    /// Its name.
    pub name: String,
    /// The version of what it does; 1.
    pub version: u32,
    /// Which events are wanted; all. It must stay the same.
    pub filter: Filter,
    /// How it works.
    pub options: SubscriptionOptions,
    /// What partitions are told by; the stream.
    pub key_of: Option<Arc<KeyOf>>,
}

impl Subscribe {
    /// All events, under this name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: 1,
            filter: Filter::all(),
            options: SubscriptionOptions::default(),
            key_of: None,
        }
    }

    /// Wants only these events.
    #[must_use]
    pub fn filter(mut self, filter: Filter) -> Self {
        self.filter = filter;
        self
    }

    /// Works like this.
    #[must_use]
    pub fn options(mut self, options: SubscriptionOptions) -> Self {
        self.options = options;
        self
    }

    /// Another version of what it does.
    #[must_use]
    pub fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// Has partitions told by this key instead of the stream.
    #[must_use]
    pub fn partition_by(
        mut self,
        key_of: impl Fn(&RecordedEvent) -> String + Send + Sync + 'static,
    ) -> Self {
        self.key_of = Some(Arc::new(key_of));
        self
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("name", &self.name)
            .field("version", &self.version)
            .field("filter", &self.filter)
            .finish_non_exhaustive()
    }
}

/// An event of a durable subscription, to be acknowledged.
#[derive(Debug, Clone)]
pub struct Delivered {
    /// The event.
    pub event: RecordedEvent,
    lease: LeaseKey,
}

impl Delivered {
    /// The partition it comes from.
    pub fn partition(&self) -> u32 {
        self.lease.partition
    }

    /// The fencing number of the partition's owner.
    pub fn epoch(&self) -> u64 {
        self.lease.epoch
    }
}

/// An acknowledgement of something that was not delivered, or not under this claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "event {position} was not delivered to this subscription, or its partition has another owner"
)]
pub struct UnexpectedAck {
    /// The position of the event.
    pub position: GlobalPosition,
}

/// A durable subscription that is open here: this process's share of its events.
///
/// What was delivered and not acknowledged comes again, to whoever works on the partition next. Dropped, it
/// gives its partitions back, with the checkpoints written.
pub struct Subscription {
    events: mpsc::Receiver<Delivered>,
    shares: Arc<Shares>,
    member: Arc<Member>,
    hub: Arc<Hub>,
}

impl Subscription {
    pub(crate) async fn open(
        hub: &Arc<Hub>,
        subscribe: Subscribe,
    ) -> Result<Self, SubscriptionError> {
        check_name(&subscribe.name)?;
        let registration = control::Registration {
            key: SubscriptionKey::new(&subscribe.name, subscribe.version),
            filter: &subscribe.filter,
            options: &subscribe.options,
            beside: false,
        };
        let record = control::register(&*hub.store, &registration).await?;
        let name = subscribe.name.clone();
        let (sender, events) = mpsc::channel(subscribe.options.window.min(Semaphore::MAX_PERMITS));
        let shares = Arc::new(Shares::default());
        let work = Pumping {
            subscribe,
            sender,
            shares: Arc::clone(&shares),
        };
        let member = hub.join(record, Arc::new(work));
        let member = member.ok_or(SubscriptionError::AlreadyOpen { name })?;
        Ok(Self {
            events,
            shares,
            member,
            hub: Arc::clone(hub),
        })
    }

    /// The next event; `None` when the app has stopped. Cancel-safe.
    pub async fn next(&mut self) -> Option<Delivered> {
        loop {
            let delivered = tokio::select! {
                biased;
                delivered = self.events.recv() => delivered?,
                () = self.hub.until_stopping() => return None,
            };
            // What a partition had delivered before it was lost comes again.
            if self.shares.are_of(&delivered.lease) {
                return Some(delivered);
            }
        }
    }

    /// Acknowledges an event. The checkpoint moves over what is acknowledged without a gap.
    ///
    /// # Errors
    /// If it was not delivered, or its partition has another owner by now.
    pub fn ack(&self, delivered: &Delivered) -> Result<(), UnexpectedAck> {
        self.shares.ack(delivered, false)
    }

    /// Acknowledges an event with all of its partition that were delivered before it.
    ///
    /// # Errors
    /// As [`ack`](Self::ack).
    pub fn ack_up_to(&self, delivered: &Delivered) -> Result<(), UnexpectedAck> {
        self.shares.ack(delivered, true)
    }

    /// Gives its partitions back, and waits until the checkpoints are written.
    pub async fn close(self) {
        self.leave();
        self.shares.until_empty().await;
    }

    fn leave(&self) {
        self.member.leaving.cancel();
        self.hub.wake.notify_one();
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.leave();
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("subscription", &self.member.key)
            .finish_non_exhaustive()
    }
}

fn check_name(name: &str) -> Result<(), SubscriptionError> {
    let problem = match name {
        _ if name.trim().is_empty() => "must not be blank",
        _ if name.starts_with('$') => "must not begin with `$`: such names are the framework's own",
        _ => return Ok(()),
    };
    Err(SubscriptionError::Option {
        name: name.to_owned(),
        option: "name",
        problem,
    })
}

/// What is delivered from each partition and not acknowledged.
#[derive(Debug, Default)]
struct Shares {
    by_lease: Mutex<HashMap<LeaseKey, Unacked>>,
    changed: watch::Sender<()>,
}

/// What is delivered from one partition and not acknowledged.
#[derive(Debug, Default)]
struct Unacked {
    /// By position, whether it is acknowledged.
    delivered: BTreeMap<GlobalPosition, bool>,
    /// Up to here the log was looked at.
    seen: GlobalPosition,
}

impl Shares {
    fn ack(&self, delivered: &Delivered, before_too: bool) -> Result<(), UnexpectedAck> {
        let position = delivered.event.read_position();
        let unexpected = UnexpectedAck { position };
        let mut shares = self.lock();
        let unacked = shares.get_mut(&delivered.lease).ok_or(unexpected)?;
        if unacked.delivered.get(&position) != Some(&false) {
            return Err(unexpected);
        }
        let first = match before_too {
            true => GlobalPosition::ORIGIN,
            false => position,
        };
        for (_, is_acked) in unacked.delivered.range_mut(first..=position) {
            *is_acked = true;
        }
        drop(shares);
        self.changed.send_replace(());
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<LeaseKey, Unacked>> {
        self.by_lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn are_of(&self, lease: &LeaseKey) -> bool {
        self.lock().contains_key(lease)
    }

    fn begin(self: &Arc<Self>, lease: &LeaseKey) -> ShareGuard {
        self.lock().insert(lease.clone(), Unacked::default());
        ShareGuard {
            shares: Arc::clone(self),
            lease: lease.clone(),
        }
    }

    fn end(&self, lease: &LeaseKey) {
        self.lock().remove(lease);
        self.changed.send_replace(());
    }

    fn deliver(&self, lease: &LeaseKey, position: GlobalPosition) {
        if let Some(unacked) = self.lock().get_mut(lease) {
            unacked.delivered.insert(position, false);
            unacked.seen = position;
        }
    }

    fn see(&self, lease: &LeaseKey, position: GlobalPosition) {
        if let Some(unacked) = self.lock().get_mut(lease) {
            unacked.seen = position;
        }
    }

    /// How many are delivered and not settled by the checkpoint yet. Those acknowledged before one that is not
    /// count, or an event that is never acknowledged would let them become any number.
    fn waiting(&self, lease: &LeaseKey) -> usize {
        let shares = self.lock();
        shares
            .get(lease)
            .map_or(0, |unacked| unacked.delivered.len())
    }

    /// How far everything is acknowledged, and how many events that were since the last time.
    fn settle(&self, lease: &LeaseKey) -> Option<(GlobalPosition, u64)> {
        let mut shares = self.lock();
        let unacked = shares.get_mut(lease)?;
        let mut settled = 0;
        while let Some(first) = unacked.delivered.first_entry()
            && *first.get()
        {
            first.remove();
            settled += 1;
        }
        let until = match unacked.delivered.first_key_value() {
            Some((first, _)) => GlobalPosition::new(first.get().saturating_sub(1)),
            None => unacked.seen,
        };
        Some((until, settled))
    }

    async fn until_empty(&self) {
        let mut changes = self.changed.subscribe();
        while !self.lock().is_empty() {
            // Cannot fail: this holds the sender.
            let _ = changes.changed().await;
        }
    }
}

/// Ends a share with the work on its partition, also when that is cut off.
struct ShareGuard {
    shares: Arc<Shares>,
    lease: LeaseKey,
}

impl Drop for ShareGuard {
    fn drop(&mut self) {
        self.shares.end(&self.lease);
    }
}

/// Hands a partition's events to the user.
struct Pumping {
    subscribe: Subscribe,
    sender: mpsc::Sender<Delivered>,
    shares: Arc<Shares>,
}

#[async_trait]
impl Work for Pumping {
    async fn run(self: Arc<Self>, partition: Partition) -> Duration {
        if let Err(error) = check_head(&partition).await {
            return leave_alone(&partition, &error);
        }
        let held = partition.held.clone();
        let _share = self.shares.begin(&held.lease.key);
        let mut pump = Pump::new(&self, partition);
        tokio::select! {
            biased;
            () = held.until_lost() => {}
            () = pump.run() => {}
        }
        Duration::ZERO
    }
}

struct Pump<'w> {
    work: &'w Pumping,
    partition: Partition,
    feed: Feed,
    cut: Cut,
    checkpoint: Checkpoint,
    acks: watch::Receiver<()>,
    wanted: watch::Receiver<GlobalPosition>,
    waiting: VecDeque<RecordedEvent>,
    /// Up to here the log was looked at.
    to: GlobalPosition,
}

impl<'w> Pump<'w> {
    fn new(work: &'w Pumping, partition: Partition) -> Self {
        let options = &work.subscribe.options;
        let checkpoint = Checkpoint::new(&partition, options);
        let feed = Feed::new(
            partition.hub.events(),
            partition.hub.tail.clone(),
            work.subscribe.filter.clone(),
            options.page,
            checkpoint.reached(),
        );
        work.shares.see(partition.key(), checkpoint.reached());
        Self {
            to: checkpoint.reached(),
            acks: work.shares.changed.subscribe(),
            wanted: partition.hub.positions.wanted(),
            waiting: VecDeque::new(),
            work,
            partition,
            feed,
            cut: Cut::default(),
            checkpoint,
        }
    }

    async fn run(&mut self) {
        while self.step().await {}
        self.settle();
        // If it is lost, the next owner delivers again what is not written.
        let _ = self.checkpoint.write().await;
    }

    /// One step; `false` when the partition is to be given back.
    async fn step(&mut self) -> bool {
        self.settle();
        let is_pending = self.checkpoint.reached() > self.checkpoint.written();
        if is_pending && (self.checkpoint.is_due() || self.is_wanted()) {
            return self.checkpoint.write().await.is_ok();
        }
        if self.cut.ends(&self.partition, self.checkpoint.reached()) {
            return false;
        }
        let room =
            self.work.shares.waiting(self.partition.key()) < self.work.subscribe.options.window;
        let has_waiting = !self.waiting.is_empty();
        let reads_on = !has_waiting && !self.cut.is_made();
        let work = self.work;
        let due = self.checkpoint.due_at();
        let timer = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.partition.held.stopping.cancelled() => return false,
            changed = self.acks.changed() => return changed.is_ok(),
            _ = self.wanted.changed(), if is_pending => {}
            changed = self.partition.record.changed() => return changed.is_ok(),
            place = work.sender.reserve(), if room && has_waiting => match place {
                Ok(place) => self.deliver(place),
                Err(_) => return false,
            },
            chunk = self.feed.next(), if reads_on => match chunk {
                Ok(Some(chunk)) => self.take(chunk),
                Ok(None) => return false,
                Err(error) => tracing::warn!(%error, "the log cannot be read; it is tried again"),
            },
            () = timer => {}
        }
        true
    }

    /// Whether somebody waits for what is done and not written down.
    fn is_wanted(&self) -> bool {
        *self.wanted.borrow() > self.checkpoint.written()
    }

    fn deliver(&mut self, place: mpsc::Permit<'_, Delivered>) {
        let Some(event) = self.waiting.pop_front() else {
            return;
        };
        let lease = self.partition.key().clone();
        self.work.shares.deliver(&lease, event.read_position());
        place.send(Delivered { event, lease });
        if self.waiting.is_empty() {
            self.work.shares.see(self.partition.key(), self.to);
        }
    }

    fn take(&mut self, chunk: Chunk) {
        let chunk = self.cut.make(&self.partition, chunk);
        let events = chunk.events.into_iter();
        let own = events.filter(|event| self.partition.holds(self.bucket_of(event)));
        self.waiting = own.collect();
        self.to = chunk.to;
        if self.waiting.is_empty() {
            self.work.shares.see(self.partition.key(), self.to);
        }
    }

    fn bucket_of(&self, event: &RecordedEvent) -> u32 {
        match &self.work.subscribe.key_of {
            Some(key_of) => bucket_of(&key_of(event)),
            None => bucket_of(event.stream.as_str()),
        }
    }

    fn settle(&mut self) {
        if let Some((until, acked)) = self.work.shares.settle(self.partition.key()) {
            self.checkpoint.reach(until, acked);
        }
    }
}
