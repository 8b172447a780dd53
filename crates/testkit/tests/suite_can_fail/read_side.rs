//! Stores with a defect of the read side, and the scenarios of delivery and of processes about them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Arrivals, Block, BlockRequest, Change, Claim, CommandKey, Committed,
    Deletion, Heartbeat, InstanceQuery, InstanceRecord, Lease, LeaseKey, LogPage, NewLinks,
    NewOutcome, OutgoingQuery, OutgoingRecord, OwnerId, Progress, ProjectionStore, ReadAll,
    ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
    SubscriptionChange, SubscriptionKey, SubscriptionRecord, SubscriptionStore, TimerQuery,
    TimerRecord, TimersDue,
};
use ordain::{
    Clock, Codec, EventStore, ExpectedVersion, GlobalPosition, MemoryStore, ReadModels, Snapshot,
    StoreError, StreamId,
};
use ordain_testkit::contract::{self, MemoryFixture, StoreFixture, SubscriptionFixture};
use time::OffsetDateTime;

/// How long a scenario may take that is to fail: some do by waiting for what never comes.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    None,
    DropsTimers,
    DropsInstances,
    DropsBlocks,
    /// Commands are written with what is committed next.
    DelaysCommands,
    /// What an append settles is not looked at.
    IgnoresSettled,
    IgnoresRequirements,
    IgnoresEpoch,
    /// A partition that somebody holds is given to who claims it.
    IgnoresOwner,
    IgnoresRequests,
    /// What was taken back once is said to be taken back again.
    CancelsTwice,
    /// A checkpoint is committed without its read model.
    DropsReadModel,
}

#[derive(Debug, Clone)]
struct Store {
    inner: MemoryStore,
    defect: Defect,
    delayed: Arc<Mutex<Vec<Change>>>,
}

#[derive(Debug)]
struct With(Defect);

impl With {
    fn wrap(&self, inner: MemoryStore) -> Store {
        Store {
            inner,
            defect: self.0,
            delayed: Arc::default(),
        }
    }
}

impl StoreFixture for With {
    type Store = Store;

    async fn open(&self) -> Store {
        self.wrap(MemoryFixture.open().await)
    }

    async fn open_without_hard_deletes(&self) -> Store {
        self.wrap(MemoryFixture.open_without_hard_deletes().await)
    }

    async fn open_with_clock(&self, clock: Arc<dyn Clock>) -> Option<Store> {
        let inner = MemoryFixture.open_with_clock(clock).await?;
        Some(self.wrap(inner))
    }
}

impl SubscriptionFixture for With {
    async fn put(&self, models: &mut ReadModels, key: &str, number: i64) {
        MemoryFixture.put(models, key, number).await;
    }

    async fn get(&self, models: &mut ReadModels, key: &str) -> Option<i64> {
        MemoryFixture.get(models, key).await
    }
}

impl Store {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    fn loses(&self, change: &Change) -> bool {
        match self.defect {
            Defect::DropsTimers => matches!(change, Change::PutTimer(_)),
            Defect::DropsInstances => matches!(change, Change::PutInstance(_)),
            Defect::DropsBlocks => matches!(change, Change::Block(_)),
            _ => false,
        }
    }

    /// Puts commands off, and hands over those that were put off before.
    fn delay(&self, changes: &mut Vec<Change>) {
        let is_command = |change: &mut Change| matches!(change, Change::PutOutgoing(_));
        let commands = changes.extract_if(.., is_command).collect();
        let mut delayed = self.delayed.lock().unwrap_or_else(PoisonError::into_inner);
        changes.extend(std::mem::replace(&mut *delayed, commands));
    }

    async fn current_epoch(&self, lease: &LeaseKey) -> Result<u64, StoreError> {
        let records = self.inner.subscriptions(Some(&lease.subscription.name));
        let records = records.await?;
        let record = records.iter().find(|it| it.key == lease.subscription);
        let partition = record.and_then(|it| it.partitions.get(lease.partition as usize));
        Ok(partition.map_or(lease.epoch, |partition| partition.epoch))
    }

    /// Takes everything away from others.
    async fn disown(&self, claim: &Claim) -> Result<(), StoreError> {
        let mut leases = Vec::new();
        for partition in &claim.partitions {
            let mut lease = LeaseKey {
                subscription: claim.subscription.clone(),
                partition: *partition,
                epoch: 0,
            };
            lease.epoch = self.current_epoch(&lease).await?;
            leases.push(lease);
        }
        self.inner.release(leases).await
    }
}

#[async_trait]
impl EventStore for Store {
    fn codec(&self) -> &Codec {
        self.inner.codec()
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        self.inner.arrivals()
    }

    async fn append(&self, mut append: Append) -> Result<Appended, StoreError> {
        if self.is(Defect::IgnoresSettled) {
            append.settles = None;
        }
        self.inner.append(append).await
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        self.inner.record_outcome(outcome).await
    }

    async fn find_repeat(&self, command: &CommandKey) -> Result<Option<Repeat>, StoreError> {
        self.inner.find_repeat(command).await
    }

    async fn forget_outcomes(&self, before: OffsetDateTime) -> Result<u64, StoreError> {
        self.inner.forget_outcomes(before).await
    }

    async fn link(&self, links: NewLinks) -> Result<Appended, StoreError> {
        self.inner.link(links).await
    }

    async fn delete_stream(
        &self,
        stream: &StreamId,
        expected: ExpectedVersion,
        deletion: Deletion,
    ) -> Result<StreamHead, StoreError> {
        self.inner.delete_stream(stream, expected, deletion).await
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.inner.undelete_stream(stream).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        self.inner.read_stream(read).await
    }

    async fn read_all(&self, read: ReadAll) -> Result<LogPage, StoreError> {
        self.inner.read_all(read).await
    }

    async fn stream_head(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.inner.stream_head(stream).await
    }

    async fn stream_info(&self, stream: &StreamId) -> Result<StreamInfo, StoreError> {
        self.inner.stream_info(stream).await
    }

    async fn list_streams(&self, query: StreamQuery) -> Result<StreamList, StoreError> {
        self.inner.list_streams(query).await
    }

    async fn head(&self) -> Result<GlobalPosition, StoreError> {
        self.inner.head().await
    }

    async fn position_at(&self, time: OffsetDateTime) -> Result<GlobalPosition, StoreError> {
        self.inner.position_at(time).await
    }

    async fn record_snapshot(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.record_snapshot(snapshot).await
    }

    async fn read_snapshot(&self, stream: &StreamId) -> Result<Snapshot, StoreError> {
        self.inner.read_snapshot(stream).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.inner.delete_snapshot(stream).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[async_trait]
impl SubscriptionStore for Store {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        self.inner.subscriptions(name).await
    }

    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        self.inner.change_subscriptions(changes).await
    }

    async fn remove_subscription(&self, key: &SubscriptionKey) -> Result<bool, StoreError> {
        self.inner.remove_subscription(key).await
    }

    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        let owner = beat.owner;
        let mut records = self.inner.keep_alive(beat).await?;
        if self.is(Defect::IgnoresOwner) {
            for partition in records.iter_mut().flat_map(|it| &mut it.partitions) {
                partition.owner = partition.owner.filter(|it| *it == owner);
            }
        }
        Ok(records)
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError> {
        if self.is(Defect::IgnoresOwner) {
            self.disown(&claim).await?;
        }
        self.inner.claim(claim).await
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        self.inner.release(leases).await
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        self.inner.leave(owner).await
    }

    async fn commit(&self, mut progress: Progress) -> Result<Committed, StoreError> {
        progress.changes.retain(|change| !self.loses(change));
        match self.defect {
            Defect::DelaysCommands => self.delay(&mut progress.changes),
            Defect::IgnoresRequirements => progress.requires.clear(),
            Defect::IgnoresEpoch => {
                progress.lease.epoch = self.current_epoch(&progress.lease).await?;
            }
            _ => {}
        }
        self.inner.commit(progress).await
    }

    async fn blocks(&self, key: &SubscriptionKey, limit: u32) -> Result<Vec<Block>, StoreError> {
        self.inner.blocks(key, limit).await
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        if self.is(Defect::IgnoresRequests) {
            return Ok(1);
        }
        self.inner.request_blocks(subscription, key, request).await
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        self.inner.instances(subscription, ids).await
    }

    async fn list_instances(
        &self,
        query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        self.inner.list_instances(query).await
    }

    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        self.inner.outgoing(query).await
    }

    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError> {
        self.inner.timers_due(query).await
    }

    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError> {
        self.inner.timers(subscription, instance).await
    }

    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError> {
        self.inner.set_timer(subscription, timer).await
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        let inner = self.inner.cancel_timer(subscription, instance, key);
        Ok(inner.await? || self.is(Defect::CancelsTwice))
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        self.inner
            .prune(subscription, dead_letters, finished_instances)
            .await
    }
}

impl ProjectionStore for Store {
    type Connection = <MemoryStore as ProjectionStore>::Connection;
    type Work = <MemoryStore as ProjectionStore>::Work;

    async fn begin_work(&self) -> Result<Self::Work, StoreError> {
        self.inner.begin_work().await
    }

    fn connection(work: &mut Self::Work) -> &mut Self::Connection {
        MemoryStore::connection(work)
    }

    async fn commit_work(
        &self,
        work: Self::Work,
        progress: Progress,
    ) -> Result<Committed, StoreError> {
        if self.is(Defect::DropsReadModel) {
            drop(work);
            return self.inner.commit(progress).await;
        }
        self.inner.commit_work(work, progress).await
    }

    async fn commit_change(
        &self,
        work: Self::Work,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        self.inner.commit_change(work, changes).await
    }

    async fn commit_append(
        &self,
        work: Self::Work,
        append: Append,
    ) -> Result<Appended, StoreError> {
        self.inner.commit_append(work, append).await
    }
}

/// Whether a scenario fails, or waits for what does not come.
fn fails(scenario: impl Future<Output = ()>) -> bool {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let run = || runtime.block_on(async { tokio::time::timeout(PATIENCE, scenario).await });
    let ended = catch_unwind(AssertUnwindSafe(run));
    runtime.shutdown_background();
    !matches!(ended, Ok(Ok(())))
}

/// Each scenario passes without the defect, and fails with it.
macro_rules! finds {
    ($($test:ident: $defect:ident by $module:ident::$scenario:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let sound = Arc::new(With(Defect::None));
                contract::run(stringify!($scenario), contract::$module::$scenario(&sound));
                let defective = Arc::new(With(Defect::$defect));
                let has_failed = fails(contract::$module::$scenario(&defective));
                assert!(has_failed, "the scenario passes in spite of the defect");
            }
        )*
    };
}

finds! {
    lost_timers: DropsTimers by timing::a_timer_fires_when_it_is_due_and_not_before;
    lost_instances: DropsInstances by routing::an_instance_goes_on_with_its_state_after_a_restart;
    lost_dead_letters: DropsBlocks by failing::c107_an_event_that_fails_keeps_only_its_key;
    lost_parked_instances: DropsBlocks by issuing::parked_instances_go_on_after_a_restart_from_what_is_stored;
    commands_after_the_checkpoint: DelaysCommands by surviving::a_kill_at_any_commit_leaves_nothing_undone_or_done_twice;
    commands_that_are_given_up_and_carried_out: IgnoresSettled by surviving::a_dispatcher_that_wakes_after_the_command_was_given_up_has_no_effect;
    timers_that_are_taken_back_and_fire: IgnoresRequirements by scheduling::a_firing_that_is_not_committed_can_be_taken_back;
    late_commits: IgnoresEpoch by sharing::d6_an_owner_that_freezes_is_fenced;
    two_owners: IgnoresOwner by sharing::c085_who_waits_for_a_lease_begins_where_it_ended;
    ignored_requests: IgnoresRequests by failing::c107_a_discarded_event_is_left_out;
    timers_taken_back_twice: CancelsTwice by scheduling::a_scheduled_command_can_be_taken_back;
    a_checkpoint_without_its_read_model: DropsReadModel by projecting::c109_every_event_is_taken_in_once;
}
