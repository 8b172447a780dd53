//! Works on a partition of a process manager: one thing after the other, each with its own commit.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ProcessManager;
use super::cache::Cache;
use super::events::Backlog;
use super::instance::Instance;
use super::outgoing::{Done, Outgoing};
use super::timers::Timers;
use super::work::Managing;
use crate::store::{
    Block, BlockKind, Change, OutgoingQuery, OutgoingRecord, Requirement, Share, SubscriptionKey,
    SubscriptionStore,
};
use crate::subscription::{Blocks, Checkpoint, Chunk, Cut, Feed, Lost, Partition, check_head};
use crate::{BoxError, GlobalPosition, RecordedEvent, StoreError};

/// How many commands are read at once.
const OUTGOING_PAGE: u32 = 1_000;

/// Why a runner ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// The partition has another owner.
    Lost,
    /// There is nothing more to do: it is to be given back, or the subscription stops.
    Stopped,
    /// Only a newer program can go on.
    GivenBack,
    /// What is in memory may not be what is stored: it is read anew.
    Anew,
}

impl From<Lost> for End {
    fn from(Lost: Lost) -> Self {
        Self::Lost
    }
}

/// Works on a partition of a process manager.
///
/// Whatever is in memory is changed before it is committed; a commit that fails ends the runner, and the next
/// one reads what is stored.
pub(super) struct Runner<P> {
    pub(super) work: Arc<Managing<P>>,
    pub(super) partition: Partition,
    pub(super) checkpoint: Checkpoint,
    pub(super) blocks: Blocks,
    pub(super) instances: Cache<P>,
    pub(super) outgoing: Outgoing,
    pub(super) timers: Timers,
    /// Changes when a timer was set from outside.
    scheduled: watch::Receiver<()>,
    /// Parked instances that may go on.
    pub(super) unparked: VecDeque<String>,
    /// Parked instances that are tried again then.
    pub(super) retries: BTreeSet<(Instant, String)>,
    /// The events that parked instances wait with, where they are all in memory.
    pub(super) kept: HashMap<String, VecDeque<Arc<RecordedEvent>>>,
    pub(super) kept_count: usize,
    /// What was read and has not been handled, for want of room.
    pub(super) backlog: Option<Backlog>,
    /// Whether there was no room for more commands, and is not enough again.
    pub(super) is_full: bool,
    /// How often the event that cannot be routed was tried.
    pub(super) routing_attempts: u32,
    /// Instances put aside since something was last handled, for their events.
    pub(super) failing_events: u32,
    /// The same, for their commands.
    pub(super) failing_commands: u32,
    /// How many dead letters the process manager was last seen to have.
    /// Whether commands may be put that were settled before.
    pub(super) puts_again: bool,
    /// Attempts in a row that the store, or the load, kept from being carried out.
    pub(super) hindered: HashMap<String, u32>,
    pub(super) in_trouble: bool,
    feed: Option<Feed>,
    cut: Cut,
    wanted: watch::Receiver<GlobalPosition>,
}

enum Heard {
    Chunk(Result<Option<Chunk>, StoreError>),
    Done(Done),
    /// The record has changed.
    Record,
    /// Something is due.
    Time,
    /// A timer was set from outside.
    Scheduled,
    Stop,
}

impl<P: ProcessManager> Runner<P> {
    /// Reads what there is of a partition.
    pub(super) async fn load(work: Arc<Managing<P>>, partition: Partition) -> Result<Self, End> {
        // Without events there is nothing to read, and an empty filter would want everything.
        let has_events = !work.filter.types.is_empty();
        if has_events {
            check_head(&partition).await.map_err(unreadable)?;
        }
        let blocks = Blocks::load(&partition).await.map_err(unreadable)?;
        let checkpoint = Checkpoint::new(&partition, &work.options.subscription);
        let feed = has_events.then(|| {
            Feed::new(
                partition.hub.events(),
                partition.hub.tail.clone(),
                work.filter.clone(),
                work.options.subscription.page,
                checkpoint.reached(),
            )
        });
        let (max, idle) = (work.options.instances_max, work.options.instance_idle);
        let mut runner = Self {
            wanted: partition.hub.positions.wanted(),
            scheduled: partition.hub.scheduled.subscribe(),
            in_trouble: partition.held.lease.trouble.is_some(),
            instances: Cache::new(max, idle),
            outgoing: Outgoing::default(),
            timers: Timers::new(),
            unparked: VecDeque::new(),
            retries: BTreeSet::new(),
            kept: HashMap::new(),
            kept_count: 0,
            backlog: None,
            is_full: false,
            routing_attempts: 0,
            failing_events: 0,
            failing_commands: 0,
            puts_again: work.options.reissue,
            hindered: HashMap::new(),
            work,
            partition,
            checkpoint,
            blocks,
            feed,
            cut: Cut::default(),
        };
        runner.load_outgoing().await.map_err(unreadable)?;
        runner.adopt_outgoing().await?;
        runner.forget_what_is_before_a_reset().await?;
        runner.unpark_all();
        Ok(runner)
    }

    pub(super) async fn run(&mut self) -> End {
        match self.go_on().await {
            Err(end @ (End::Lost | End::Anew)) => end,
            ended => match self.checkpoint.write().await {
                Ok(()) => ended.err().unwrap_or(End::Stopped),
                Err(Lost) => End::Lost,
            },
        }
    }

    /// Goes on until there is a reason to end.
    async fn go_on(&mut self) -> Result<(), End> {
        loop {
            if self.partition.held.stopping.is_cancelled() || self.is_at_end() {
                return Ok(());
            }
            while let Some(done) = self.outgoing.under_way.try_join_next() {
                self.end_dispatch(done).await?;
            }
            self.dispatch_ready()?;
            self.instances.shrink();
            let mut has_worked = self.answer_request().await?;
            has_worked |= self.go_on_with_parked().await?;
            has_worked |= self.fire_timers().await?;
            has_worked |= self.take_what_is_ready().await?;
            if has_worked {
                tokio::task::yield_now().await;
                continue;
            }
            match self.hear().await {
                Heard::Stop => return Ok(()),
                Heard::Record => self.look_at_record().await,
                Heard::Time => self.write_if_due().await?,
                Heard::Scheduled => self.timers.look_soon(),
                Heard::Done(done) => self.end_dispatch(Ok(done)).await?,
                Heard::Chunk(Ok(Some(chunk))) => {
                    self.backlog = Some(self.cut.make(&self.partition, chunk).into());
                }
                Heard::Chunk(Ok(None)) => return Ok(()),
                Heard::Chunk(Err(error)) => {
                    let key = self.partition.key();
                    tracing::warn!(subscription = %key.subscription, partition = key.partition, %error, "the log cannot be read; it is tried again");
                }
            }
        }
    }

    async fn hear(&mut self) -> Heard {
        let is_pending = self.checkpoint.reached() > self.checkpoint.written();
        if is_pending && *self.wanted.borrow() > self.checkpoint.written() {
            return Heard::Time;
        }
        let wake = tokio::time::sleep_until(self.wake_at().into());
        let (feed, has_room) = (&mut self.feed, self.backlog.is_none());
        let chunk = async {
            match feed {
                Some(feed) if has_room => feed.next().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.partition.held.stopping.cancelled() => Heard::Stop,
            changed = self.partition.record.changed() => match changed {
                Ok(()) => Heard::Record,
                Err(_) => Heard::Stop,
            },
            Some(done) = self.outgoing.under_way.join_next() => match done {
                Ok(done) => Heard::Done(done),
                Err(_) => Heard::Stop,
            },
            () = wake => Heard::Time,
            _ = self.wanted.changed(), if is_pending => Heard::Time,
            _ = self.scheduled.changed(), if P::STATELESS => Heard::Scheduled,
            chunk = chunk => Heard::Chunk(chunk),
        }
    }

    /// When something is due, at the latest.
    fn wake_at(&self) -> Instant {
        let retry = self.retries.first().map(|(until, _)| *until);
        let all = [
            self.timers.look_at(),
            self.checkpoint.idle_due_at(),
            self.outgoing.next_attempt(),
            retry,
        ];
        let first = all.into_iter().flatten().min();
        // Without any, it is heard of what it waits for.
        first.unwrap_or_else(|| Instant::now() + self.work.options.timer_poll)
    }

    /// Handles what was read before, or can be read without waiting.
    async fn take_what_is_ready(&mut self) -> Result<bool, End> {
        if self.backlog.is_none()
            && let Some(feed) = &mut self.feed
            && let Some(chunk) = feed.ready()
        {
            self.backlog = Some(self.cut.make(&self.partition, chunk).into());
        }
        if !self.may_take() {
            return Ok(false);
        }
        match self.backlog.take() {
            Some(backlog) => self.take(backlog).await,
            None => Ok(false),
        }
    }

    async fn write_if_due(&mut self) -> Result<(), End> {
        let is_wanted = *self.wanted.borrow_and_update() > self.checkpoint.written();
        let due = self.checkpoint.idle_due_at();
        if is_wanted || due.is_some_and(|due| Instant::now() >= due) {
            self.checkpoint.write().await?;
        }
        Ok(())
    }

    async fn look_at_record(&mut self) {
        let is_outdated = {
            let record = self.partition.record.borrow_and_update();
            self.blocks.may_be_outdated(&record)
        };
        if !is_outdated {
            return;
        }
        match Blocks::load(&self.partition).await {
            Ok(blocks) => self.replace_blocks(blocks),
            Err(error) => {
                self.blocks.doubt();
                tracing::warn!(%error, "the dead letters cannot be read; it is tried again");
            }
        }
    }

    /// Instances that are not put aside any more have their commands dispatched.
    fn replace_blocks(&mut self, blocks: Blocks) {
        let before = std::mem::replace(&mut self.blocks, blocks);
        let freed = before
            .iter()
            .filter(|block| block.kind == BlockKind::DeadLetter)
            .filter(|block| self.blocks.get(&block.key).is_none());
        for block in freed {
            self.outgoing.make_ready(&block.key);
        }
    }

    fn is_at_end(&self) -> bool {
        self.cut.ends(&self.partition, self.checkpoint.reached())
    }

    async fn load_outgoing(&mut self) -> Result<(), StoreError> {
        let own = self.partition.key().subscription.clone();
        for record in self.outgoing_of(&own).await? {
            self.outgoing.push(record);
        }
        Ok(())
    }

    async fn outgoing_of(
        &self,
        subscription: &SubscriptionKey,
    ) -> Result<Vec<OutgoingRecord>, StoreError> {
        let mut all: Vec<OutgoingRecord> = Vec::new();
        loop {
            let last = all.last();
            let query = OutgoingQuery {
                subscription: subscription.clone(),
                share: self.share(),
                after: last.map(|last| (last.instance.clone(), last.sequence)),
                limit: OUTGOING_PAGE,
            };
            let page = self.store().outgoing(query).await?;
            if page.is_empty() {
                return Ok(all);
            }
            all.extend(page);
        }
    }

    /// What older versions have issued, and is not settled, is this version's to dispatch.
    async fn adopt_outgoing(&mut self) -> Result<(), End> {
        let own = self.partition.key().subscription.clone();
        let known = self.store().subscriptions(Some(&own.name)).await;
        for record in known.map_err(unreadable)? {
            if record.key.version >= own.version {
                continue;
            }
            let left = self.outgoing_of(&record.key).await.map_err(unreadable)?;
            self.puts_again |= !left.is_empty();
            for batch in left.chunks(OUTGOING_PAGE as usize) {
                let changes = batch.iter().cloned().map(Change::PutOutgoing);
                self.commit(Vec::new(), changes.collect()).await?;
            }
            left.into_iter()
                .for_each(|record| self.outgoing.push(record));
        }
        Ok(())
    }

    /// What is passed over from a place that is not come to yet stems from before a reset.
    async fn forget_what_is_before_a_reset(&mut self) -> Result<(), End> {
        let written = self.checkpoint.written();
        let stale = self.blocks.iter().filter(|block| is_stale(block, written));
        let stale: Vec<_> = stale.map(|block| block.key.clone()).collect();
        if stale.is_empty() {
            return Ok(());
        }
        stale.iter().for_each(|key| self.blocks.remove(key));
        let changes = stale.into_iter().map(|key| Change::Unblock { key });
        self.commit(Vec::new(), changes.collect()).await
    }

    fn unpark_all(&mut self) {
        let parked = self
            .blocks
            .iter()
            .filter(|block| block.kind == BlockKind::Parked && !self.outgoing.has(&block.key));
        self.unparked = parked.map(|block| block.key.clone()).collect();
    }

    /// Commits changes with the checkpoint; what is required and gone was changed by somebody else.
    pub(super) async fn commit(
        &mut self,
        requires: Vec<Requirement>,
        changes: Vec<Change>,
    ) -> Result<(), End> {
        match self.checkpoint.write_with(requires, changes).await? {
            true => Ok(()),
            false => Err(End::Anew),
        }
    }

    /// An instance, unless there is none, or what is stored of it cannot be read.
    pub(super) async fn instance(
        &mut self,
        id: &str,
    ) -> Result<Result<Option<Instance<P>>, BoxError>, End> {
        if let Some(instance) = self.instances.get(id) {
            return Ok(Ok(Some(instance.clone())));
        }
        let subscription = &self.partition.key().subscription;
        let ids = [id.to_owned()];
        let found = self.store().instances(subscription, &ids).await;
        let record = found.map_err(unreadable)?.pop();
        let read = record.map_or(Ok(None), |record| self.read(&record));
        if let Ok(Some(instance)) = &read {
            self.instances.put(id.to_owned(), instance.clone());
        }
        Ok(read)
    }

    /// Which of the partitions' instances are its own.
    pub(super) fn share(&self) -> Share {
        Share {
            partition: self.partition.key().partition,
            partitions: self.partition.partitions,
        }
    }

    pub(super) fn store(&self) -> &dyn SubscriptionStore {
        &*self.partition.hub.store
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

/// Whether a block stems from before a reset. An instance that a command or a timer has put aside, or that was let
/// go on, waits with the event after the checkpoint; one that failed with that event has not come to it yet.
fn is_stale(block: &Block, written: GlobalPosition) -> bool {
    let next = written.next();
    let has_failed = block.kind == BlockKind::DeadLetter && block.event_id.is_some();
    block.position > next || block.position == next && has_failed
}

/// What cannot be read now is read anew.
pub(super) fn unreadable(error: StoreError) -> End {
    tracing::warn!(%error, "a process manager cannot read its instances; it is tried again");
    End::Anew
}
