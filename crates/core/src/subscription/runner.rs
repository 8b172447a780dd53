//! Delivers a partition's events to a consumer.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures::FutureExt;
use tokio::sync::watch;
use uuid::Uuid;

use super::blocks::Blocks;
use super::checkpoint::{Checkpoint, Lost};
use super::consumer::{Consumer, Incoming, Unit, UnitFailure, Written};
use super::cut::Cut;
use super::feed::{Chunk, Feed};
use super::hub::{Hub, Partition, Work};
use super::options::SubscriptionOptions;
use super::partition::{bucket_of, partition_of};
use super::waiting::HANDLING;
use super::{control, redelivery};
use crate::aggregate::instance::panic_message;
use crate::clock::instant_after;
use crate::handler::{Delivery, FailureCause, Ordering};
use crate::store::{Change, Filter, Progress, SubscriptionChange, SubscriptionState};
use crate::stream::check_key;
use crate::{GlobalPosition, RecordedEvent, StoreError};

/// How long a partition that a newer program should have is left alone.
const GIVEN_BACK_FOR: Duration = Duration::from_secs(5);

/// How long a partition is left alone that could not be begun with.
const LEFT_ALONE_FOR: Duration = Duration::from_secs(1);

/// A consumer, as the work of a subscription.
pub(crate) struct Delivering<C> {
    pub(crate) consumer: C,
    pub(crate) filter: Filter,
    pub(crate) options: SubscriptionOptions,
}

#[async_trait]
impl<C: Consumer> Work for Delivering<C> {
    async fn run(self: Arc<Self>, partition: Partition) -> Duration {
        let held = partition.held.clone();
        let blocks = match begin(&partition).await {
            Ok(blocks) => blocks,
            Err(error) => return leave_alone(&partition, &error),
        };
        let mut runner = Runner::new(self, partition, blocks);
        let end = tokio::select! {
            biased;
            () = held.until_lost() => End::Lost,
            end = runner.run() => end,
        };
        match end {
            End::GivenBack => GIVEN_BACK_FOR,
            End::Lost | End::Stopped => Duration::ZERO,
        }
    }

    fn retention(&self) -> (Option<Duration>, Option<Duration>) {
        (self.options.dead_letters_kept, None)
    }

    fn keys_of(&self, event: &RecordedEvent) -> Option<Vec<String>> {
        Some(vec![self.find_key(&Incoming::outside(event))])
    }

    async fn reset(&self, hub: &Hub, change: SubscriptionChange) -> Result<bool, StoreError> {
        self.consumer.reset(hub, change).await
    }

    async fn take_over(
        &self,
        hub: &Hub,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        self.consumer.take_over(hub, changes).await
    }
}

impl<C: Consumer> Delivering<C> {
    /// The key that an event is ordered by. It is found out once, since it may have to be decoded for that.
    fn key_of<'i>(&self, incoming: &'i Incoming) -> &'i str {
        incoming.key.get_or_init(|| self.find_key(incoming))
    }

    fn find_key(&self, incoming: &Incoming) -> String {
        let ordering = || self.consumer.ordering(incoming);
        let ordering = std::panic::catch_unwind(AssertUnwindSafe(ordering));
        match ordering.unwrap_or_else(|panic| ordered_by_stream(incoming, &*panic)) {
            Ordering::Key(key) => storable(key),
            Ordering::Stream => incoming.event.stream.to_string(),
        }
    }
}

fn ordered_by_stream(incoming: &Incoming, panic: &(dyn Any + Send)) -> Ordering {
    tracing::error!(subscription = %incoming.subscription, panic = panic_message(panic), "what an event is ordered by cannot be told; it is ordered by its stream");
    Ordering::Stream
}

/// What has to be known before the first event.
async fn begin(partition: &Partition) -> Result<Blocks, StoreError> {
    check_head(partition).await?;
    Blocks::load(partition).await
}

/// That the log has not become shorter than what was handled of it; otherwise the subscription stops.
pub(crate) async fn check_head(partition: &Partition) -> Result<(), StoreError> {
    let (key, position) = (partition.key(), partition.held.lease.position);
    let head = partition.hub.store.head().await?;
    if position > head {
        let reason = format!(
            "the store went backwards: partition {} had come to position {position}, and the log ends at {head}; restore what is missing, or reset the subscription",
            key.partition
        );
        let stopped = control::stop(&*partition.hub.store, &key.subscription, reason.clone()).await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "that the subscription stops cannot be written");
        }
        return Err(StoreError::internal(reason));
    }
    Ok(())
}

/// A partition cannot be begun with; says for how long it is left alone.
pub(super) fn leave_alone(partition: &Partition, error: &StoreError) -> Duration {
    let key = partition.key();
    tracing::warn!(subscription = %key.subscription, partition = key.partition, %error, "the partition cannot be worked on; it is tried again");
    LEFT_ALONE_FOR
}

/// Why a runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The partition has another owner.
    Lost,
    /// There is nothing more to do: it is to be given back, or the subscription stops.
    Stopped,
    /// Only a newer program can go on.
    GivenBack,
}

impl From<Lost> for End {
    fn from(Lost: Lost) -> Self {
        Self::Lost
    }
}

/// Delivers a partition's events to a consumer.
pub(super) struct Runner<C> {
    pub(super) work: Arc<Delivering<C>>,
    pub(super) partition: Partition,
    pub(super) checkpoint: Checkpoint,
    pub(super) blocks: Blocks,
    feed: Feed,
    cut: Cut,
    wanted: watch::Receiver<GlobalPosition>,
    /// Keys that were dead-lettered since something was last handled.
    pub(super) failing_keys: u32,
    /// Whether what keeps the partition from going on is written down.
    pub(super) in_trouble: bool,
}

enum Heard {
    Chunk(Result<Option<Chunk>, StoreError>),
    /// The record has changed.
    Record,
    /// The checkpoint is to be written.
    Checkpoint,
    Stop,
}

impl<C: Consumer> Runner<C> {
    fn new(work: Arc<Delivering<C>>, partition: Partition, blocks: Blocks) -> Self {
        let checkpoint = Checkpoint::new(&partition, &work.options);
        let feed = Feed::new(
            partition.hub.events(),
            partition.hub.tail.clone(),
            work.filter.clone(),
            work.options.page,
            checkpoint.reached(),
        );
        Self {
            wanted: partition.hub.positions.wanted(),
            in_trouble: partition.held.lease.trouble.is_some(),
            failing_keys: 0,
            work,
            partition,
            checkpoint,
            blocks,
            feed,
            cut: Cut::default(),
        }
    }

    async fn run(&mut self) -> End {
        let ended = match self.forget_what_is_before_a_reset().await {
            Ok(()) => self.deliver_all().await,
            Err(Lost) => return End::Lost,
        };
        if matches!(ended, Err(End::Lost)) {
            return End::Lost;
        }
        // The checkpoint is written whatever it ends for.
        match self.checkpoint.write().await {
            Ok(()) => ended.err().unwrap_or(End::Stopped),
            Err(Lost) => End::Lost,
        }
    }

    async fn forget_what_is_before_a_reset(&mut self) -> Result<(), Lost> {
        let forgotten = self.blocks.forget_beyond(self.checkpoint.written());
        if forgotten.is_empty() {
            return Ok(());
        }
        let unblock = |key| Change::Unblock { key };
        let changes = forgotten.into_iter().map(unblock).collect();
        self.checkpoint
            .write_with(Vec::new(), changes)
            .await
            .map(drop)
    }

    /// Goes on until there is a reason to end.
    async fn deliver_all(&mut self) -> Result<(), End> {
        loop {
            if self.is_at_end() || self.is_stopping() {
                return Ok(());
            }
            if self.blocks.requested().is_some() {
                redelivery::go_on(self).await?;
                if let Some(chunk) = self.feed.ready() {
                    self.take(chunk).await?;
                }
                continue;
            }
            match self.hear().await {
                Heard::Stop => return Ok(()),
                Heard::Checkpoint => self.checkpoint.write().await?,
                Heard::Record => self.look_at_record().await?,
                Heard::Chunk(Ok(Some(chunk))) => self.take(chunk).await?,
                Heard::Chunk(Ok(None)) => return Ok(()),
                Heard::Chunk(Err(error)) => {
                    let key = self.partition.key();
                    tracing::warn!(subscription = %key.subscription, partition = key.partition, %error, "the log cannot be read; it is tried again");
                }
            }
        }
    }

    async fn hear(&mut self) -> Heard {
        let position = self.checkpoint.reached();
        let is_pending = position > self.checkpoint.written();
        if is_pending && (self.checkpoint.is_due() || self.is_wanted()) {
            return Heard::Checkpoint;
        }
        let due = self.checkpoint.idle_due_at();
        let rest = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.partition.held.stopping.cancelled() => Heard::Stop,
            changed = self.partition.record.changed() => match changed {
                Ok(()) => Heard::Record,
                Err(_) => Heard::Stop,
            },
            _ = self.wanted.changed(), if is_pending => Heard::Checkpoint,
            chunk = self.feed.next() => Heard::Chunk(chunk),
            () = rest => Heard::Checkpoint,
        }
    }

    /// Whether somebody waits for what is done and not written down.
    fn is_wanted(&self) -> bool {
        *self.wanted.borrow() > self.checkpoint.written()
    }

    fn is_at_end(&self) -> bool {
        self.cut.ends(&self.partition, self.checkpoint.reached())
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.partition.held.stopping.is_cancelled()
    }

    async fn look_at_record(&mut self) -> Result<(), End> {
        let is_outdated = {
            let record = self.partition.record.borrow_and_update();
            self.blocks.may_be_outdated(&record)
        };
        if is_outdated {
            match Blocks::load(&self.partition).await {
                Ok(blocks) => self.blocks = blocks,
                Err(error) => {
                    self.blocks.doubt();
                    tracing::warn!(%error, "the dead letters cannot be read; it is tried again");
                }
            }
        }
        Ok(())
    }

    async fn take(&mut self, chunk: Chunk) -> Result<(), End> {
        let chunk = self.gather(chunk).await;
        let chunk = self.cut.make(&self.partition, chunk);
        let delivery = self.delivery_of_all(&chunk.events);
        let events: Vec<_> = chunk
            .events
            .into_iter()
            .filter_map(|event| self.admit(event, delivery))
            .collect();
        let size = match self.work.consumer.unit() {
            Unit::One => 1,
            Unit::Many => self.work.options.batch_max,
        };
        let mut rest = events.into_iter().peekable();
        while rest.peek().is_some() {
            if self.is_stopping() {
                return Err(End::Stopped);
            }
            let unit: Vec<_> = rest.by_ref().take(size).collect();
            let to = match (rest.peek(), unit.last()) {
                (Some(_), Some(last)) => last.event.read_position(),
                _ => chunk.to,
            };
            self.deliver(unit, to).await?;
        }
        self.checkpoint.reach(chunk.to, 0);
        Ok(())
    }

    /// Waits for more, where a batch should be full.
    async fn gather(&mut self, mut chunk: Chunk) -> Chunk {
        let options = &self.work.options;
        if self.work.consumer.unit() == Unit::One || options.batch_wait.is_zero() {
            return chunk;
        }
        let until = instant_after(Instant::now(), options.batch_wait);
        let (max, stopping) = (options.batch_max, self.partition.held.stopping.clone());
        while !chunk.events.is_empty() && chunk.events.len() < max {
            let more = tokio::select! {
                () = stopping.cancelled() => return chunk,
                more = tokio::time::timeout_at(until.into(), self.feed.next()) => more,
            };
            let Ok(Ok(Some(more))) = more else {
                return chunk;
            };
            chunk.events.extend(more.events);
            chunk.to = more.to;
        }
        chunk
    }

    /// The event, if it is to be handled here and now; its key need not be known if all are delivered in one way.
    fn admit(&self, event: RecordedEvent, delivery: Option<Delivery>) -> Option<Incoming> {
        if event.read_position() <= self.checkpoint.reached() {
            return None;
        }
        let mut incoming = self.incoming(event);
        incoming.delivery = match delivery {
            Some(delivery) => delivery,
            None => self.delivery_of_one(&incoming)?,
        };
        let is_wanted = incoming.delivery == Delivery::Live || self.work.consumer.wants_replays();
        is_wanted.then_some(incoming)
    }

    /// How these events are delivered, if the key of none matters.
    fn delivery_of_all(&self, events: &[RecordedEvent]) -> Option<Delivery> {
        if self.partition.partitions > 1 || !self.blocks.is_empty() {
            return None;
        }
        let record = self.partition.record.borrow();
        let definition = &record.definition;
        if definition.state == SubscriptionState::Building {
            return Some(Delivery::Replay);
        }
        let first = events.first()?.read_position();
        let is_beyond = definition.replayed.iter().all(|end| *end < first);
        is_beyond.then_some(Delivery::Live)
    }

    /// How an event is delivered, if this partition has it, and its key does not wait.
    fn delivery_of_one(&self, incoming: &Incoming) -> Option<Delivery> {
        let key = self.key_of(incoming);
        let position = incoming.event.read_position();
        let is_due = self.partition.holds(bucket_of(key)) && !self.blocks.hold(key, position);
        is_due.then(|| self.delivery_of(key, position))
    }

    pub(super) fn delivery_of(&self, key: &str, position: GlobalPosition) -> Delivery {
        let record = self.partition.record.borrow();
        let definition = &record.definition;
        if definition.state == SubscriptionState::Building
            || was_replayed(&definition.replayed, bucket_of(key), position)
        {
            Delivery::Replay
        } else {
            Delivery::Live
        }
    }

    pub(super) fn incoming(&self, event: RecordedEvent) -> Incoming {
        let key = self.partition.key();
        Incoming {
            event: Arc::new(event),
            key: OnceLock::new(),
            delivery: Delivery::Live,
            subscription: key.subscription.clone(),
            partition: key.partition,
            epoch: key.epoch,
            app: self.partition.hub.app(),
        }
    }

    pub(super) fn key_of<'i>(&self, incoming: &'i Incoming) -> &'i str {
        self.work.key_of(incoming)
    }

    /// Delivers events of which one may fail: then the batch is split until it is found.
    async fn deliver(&mut self, unit: Vec<Incoming>, to: GlobalPosition) -> Result<(), End> {
        let mut waiting = vec![(unit, to)];
        while let Some((mut unit, to)) = waiting.pop() {
            self.leave_out_blocked(&mut unit);
            if unit.is_empty() {
                self.checkpoint.reach(to, 0);
                continue;
            }
            let progress = self.checkpoint.progress_to(to);
            match self.attempt(&unit, 1, progress).await? {
                Ok(written) => self.done(written, to, unit.len() as u64).await?,
                Err(cause) if unit.len() == 1 => self.struggle(&unit[0], to, cause).await?,
                Err(_) => {
                    let later = unit.split_off(unit.len() / 2);
                    let middle = unit[unit.len() - 1].event.read_position();
                    waiting.push((later, to));
                    waiting.push((unit, middle));
                }
            }
        }
        Ok(())
    }

    /// What came before in the same batch may have blocked a key.
    fn leave_out_blocked(&self, unit: &mut Vec<Incoming>) {
        if !self.blocks.is_empty() {
            unit.retain(|one| {
                let position = one.event.read_position();
                !self.blocks.hold(self.key_of(one), position)
            });
        }
    }

    /// Notes what was handled, and writes the checkpoint if it is time.
    pub(super) async fn done(
        &mut self,
        written: Written,
        to: GlobalPosition,
        events: u64,
    ) -> Result<(), End> {
        self.failing_keys = 0;
        match written {
            Written::Together => self.checkpoint.wrote(to),
            Written::Lost => return Err(self.checkpoint.lose().into()),
            Written::Not => self.checkpoint.reach(to, events),
        }
        if self.in_trouble {
            self.in_trouble = false;
            let changes = vec![Change::Trouble(None)];
            self.checkpoint.write_with(Vec::new(), changes).await?;
        } else if self.checkpoint.is_due() {
            self.checkpoint.write().await?;
        }
        Ok(())
    }

    /// Has events handled once: the outer error ends the runner, the inner is theirs.
    pub(super) async fn attempt(
        &self,
        unit: &[Incoming],
        attempt: u32,
        progress: Progress,
    ) -> Result<Result<Written, FailureCause>, End> {
        let pauses = crate::retry::Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        for failures in 1.. {
            if !self.partition.held.is_good() {
                return Err(self.checkpoint.lose().into());
            }
            match self.handle(unit, attempt, progress.clone()).await {
                Ok(written) => return Ok(Ok(written)),
                Err(UnitFailure::Event(cause)) => return Ok(Err(cause)),
                Err(UnitFailure::Newer(error)) => {
                    tracing::warn!(%error, "an event was written by a newer program; the partition is left to it");
                    return Err(End::GivenBack);
                }
                Err(UnitFailure::Store(error)) => {
                    let key = self.partition.key();
                    tracing::warn!(subscription = %key.subscription, partition = key.partition, %error, "the store cannot work; it is tried again");
                    self.pause(pauses.pause(failures)).await?;
                }
            }
        }
        Err(End::Stopped)
    }

    async fn handle(
        &self,
        unit: &[Incoming],
        attempt: u32,
        progress: Progress,
    ) -> Result<Written, UnitFailure> {
        let limit = self.work.options.time_limit;
        let name = Arc::clone(&self.partition.key().subscription.name);
        let handling = self.work.consumer.handle(unit, attempt, progress);
        let handling = AssertUnwindSafe(HANDLING.scope(name, handling));
        match tokio::time::timeout(limit, handling.catch_unwind()).await {
            Ok(Ok(handled)) => handled,
            Ok(Err(panic)) => Err(FailureCause::Panic(panic_message(&*panic)).into()),
            Err(_) => Err(FailureCause::TimedOut(limit).into()),
        }
    }

    /// Waits, unless the partition is to be given back.
    pub(super) async fn pause(&self, pause: Duration) -> Result<(), End> {
        tokio::select! {
            biased;
            () = self.partition.held.stopping.cancelled() => Err(End::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}

/// Whether an event lies within what was handled before a reset, by the partitions of that time.
pub(crate) fn was_replayed(
    replayed: &[GlobalPosition],
    bucket: u32,
    position: GlobalPosition,
) -> bool {
    let count = u32::try_from(replayed.len()).unwrap_or(u32::MAX);
    replayed
        .get(partition_of(bucket, count) as usize)
        .is_some_and(|until| position <= *until)
}

/// An ordering key as stores can keep it: one that they cannot is told by its beginning and a digest.
fn storable(key: String) -> String {
    /// Keeps these ids apart from others.
    const NAMESPACE: Uuid = Uuid::from_u128(0x6f72_6461_696e_8000_8000_6f72_6465_7269);
    if check_key(&key).is_ok() {
        return key;
    }
    let digest = Uuid::new_v5(&NAMESPACE, key.as_bytes());
    let beginning = key.chars().filter(|one| *one != '\0').take(100);
    format!("{} {digest}", beginning.collect::<String>())
}
