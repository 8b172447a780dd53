//! The suite finds what it is for: each of these stores has one defect, and the scenario about it
//! fails.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod read_side;

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use ordain::store::{
    Append, Appended, Arrivals, CommandKey, Deletion, LogPage, MemoryOptions, NewLinks, NewOutcome,
    ReadAll, ReadStream, Repeat, StreamHead, StreamInfo, StreamList, StreamPage, StreamQuery,
};
use ordain::{
    Codec, CommandId, EventId, EventStore, ExpectedVersion, GlobalPosition, MemoryStore, NewEvent,
    Snapshot, StoreError, StreamId,
};
use ordain_testkit::contract::{self, StoreFixture};
use time::OffsetDateTime;
use tokio::sync::Mutex;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Defect {
    /// None; appends only wait for their turn, so that they are under way for a while.
    Queues,
    LosesEventInLog,
    IgnoresBuildsOn,
    AcceptsAnyVersion,
    ForgetsOutcome,
    StoresHalfOfSeveral,
    IgnoresFilter,
    EndsPageEarly,
    KeepsDuplicates,
    ErasesLinkedEvents,
    ShowsPositionsEarly,
    ReordersAppends,
    ReopensErasedNames,
    IgnoresDeadline,
    KeepsOldSnapshot,
    // Of the read side.
    AnswersWhenClosed,
    BeginsPagesAnew,
    ChangesOneByOne,
    ChecksBeforeItSettles,
    ClaimsInAnyState,
    ClaimsWhatIsHeld,
    CommitsChangesApart,
    CommitsReadModelsApart,
    CommitsWhatIsDropped,
    CountsForEver,
    CountsNoDeadLetters,
    FencesAlways,
    FencesNothing,
    ForgetsPartOfDefinition,
    ForgetsTrouble,
    IgnoresAtLeast,
    IgnoresEpoch,
    IgnoresFrom,
    IgnoresGeneration,
    IgnoresRequirements,
    IgnoresShare,
    KeepsGivenTimes,
    KeepsOldTimer,
    LeasesForEver,
    LeasesForNothing,
    LeavesNothing,
    ListsWithoutOrder,
    MixesVersions,
    OrdersAsPeopleDo,
    PrunesTooMuch,
    ReleasesNothing,
    ReleasesWhatIsLost,
    RemovesAllVersions,
    RenewsNothing,
    RenewsWhatIsLost,
    RequestsAll,
    ReversesChanges,
    SettlesBeforeItLooks,
    SettlesNothing,
    SettlesOutsideTheChain,
    StandsStill,
    TellsNoNextTimer,
    TellsNobody,
    TellsWithHoles,
    TouchesAlways,
    TriesToSettleFirst,
}

#[derive(Debug, Clone)]
struct Store {
    inner: MemoryStore,
    defect: Defect,
    turn: Arc<Mutex<()>>,
    appends: Arc<AtomicU64>,
    /// Told what is not so.
    arrivals: Arrivals,
}

#[derive(Debug)]
struct With(Defect);

impl With {
    fn wrap(&self, inner: MemoryStore) -> Store {
        Store {
            inner,
            defect: self.0,
            turn: Arc::default(),
            appends: Arc::default(),
            arrivals: Arrivals::new(),
        }
    }
}

impl StoreFixture for With {
    type Store = Store;

    async fn open(&self) -> Store {
        self.wrap(MemoryStore::with_options(
            MemoryOptions::new().hard_deletes(true),
        ))
    }

    async fn open_without_hard_deletes(&self) -> Store {
        self.wrap(MemoryStore::new())
    }
}

impl Store {
    fn is(&self, defect: Defect) -> bool {
        self.defect == defect
    }

    async fn append_settling(
        &self,
        mut append: Append,
        command_id: CommandId,
    ) -> Result<Appended, StoreError> {
        match self.defect {
            Defect::ChecksBeforeItSettles => {
                if !self.has_issued(command_id).await {
                    return Err(StoreError::Settled { command_id });
                }
                tokio::task::yield_now().await;
                append.settles = None;
            }
            Defect::SettlesBeforeItLooks => {
                let stream = StreamId::new("settled", &command_id.to_string()).unwrap();
                let event = NewEvent::new("Settled", "{}");
                let apart = Append::new(stream, ExpectedVersion::Any, vec![event]);
                self.inner.append(apart.settling(Some(command_id))).await?;
                append.settles = None;
            }
            Defect::TriesToSettleFirst if !self.has_issued(command_id).await => {
                return Err(StoreError::Settled { command_id });
            }
            _ => {}
        }
        self.inner.append(append).await
    }

    async fn links_of(&self, stream: &StreamId) -> Vec<StreamId> {
        let read = ReadStream::forward(stream.clone());
        let page = self.inner.read_stream(read).await;
        let events = page.map(|page| page.events).unwrap_or_default();
        let links: HashSet<_> = events
            .into_iter()
            .filter(|event| event.link.is_some())
            .map(|event| event.stream)
            .collect();
        links.into_iter().collect()
    }
}

#[async_trait]
impl EventStore for Store {
    fn codec(&self) -> &Codec {
        self.inner.codec()
    }

    fn arrivals(&self) -> Option<&Arrivals> {
        match self.defect {
            Defect::TellsNobody | Defect::TellsWithHoles => Some(&self.arrivals),
            _ => self.inner.arrivals(),
        }
    }

    async fn append(&self, mut append: Append) -> Result<Appended, StoreError> {
        let number = self.appends.fetch_add(1, Ordering::Relaxed);
        if self.is(Defect::ReordersAppends) && number.is_multiple_of(2) {
            tokio::task::yield_now().await;
        }
        let _turn = match self.defect {
            Defect::Queues => Some(self.turn.lock().await),
            _ => None,
        };
        if self.is(Defect::Queues) {
            tokio::task::yield_now().await;
        }
        for write in &mut append.writes {
            match self.defect {
                Defect::IgnoresBuildsOn => write.builds_on = None,
                Defect::AcceptsAnyVersion => {
                    (write.expected, write.builds_on) = (ExpectedVersion::Any, None);
                }
                Defect::KeepsDuplicates => {
                    for event in &mut write.events {
                        event.event_id = EventId::new();
                    }
                }
                _ => {}
            }
        }
        match self.defect {
            Defect::IgnoresDeadline => append.deadline = None,
            Defect::StoresHalfOfSeveral if append.writes.len() > 1 => {
                let first = append.writes.remove(0);
                let _ = self.inner.append(Append::several(vec![first])).await;
            }
            Defect::SettlesOutsideTheChain if append.settles.is_some() => append.chain = None,
            Defect::SettlesNothing => append.settles = None,
            _ => {}
        }
        if let Some(command_id) = append.settles {
            return self.append_settling(append, command_id).await;
        }
        let appended = self.inner.append(append).await;
        if self.is(Defect::TellsWithHoles) {
            let mut events = self.inner.read_all(ReadAll::forward()).await?.events;
            events.retain(|event| event.position != 2);
            self.arrivals.hand_over(events);
        }
        appended
    }

    async fn record_outcome(&self, outcome: NewOutcome) -> Result<(), StoreError> {
        match self.defect {
            Defect::ForgetsOutcome => Ok(()),
            _ => self.inner.record_outcome(outcome).await,
        }
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
        if self.is(Defect::ErasesLinkedEvents) && deletion == Deletion::Hard {
            for linked in self.links_of(stream).await {
                self.inner
                    .delete_stream(&linked, ExpectedVersion::Any, deletion)
                    .await?;
            }
        }
        self.inner.delete_stream(stream, expected, deletion).await
    }

    async fn undelete_stream(&self, stream: &StreamId) -> Result<StreamHead, StoreError> {
        self.inner.undelete_stream(stream).await
    }

    async fn read_stream(&self, read: ReadStream) -> Result<StreamPage, StoreError> {
        let stream = read.stream.clone();
        match self.inner.read_stream(read).await {
            Err(StoreError::StreamErased { .. }) if self.is(Defect::ReopensErasedNames) => {
                Err(StoreError::StreamNotFound { stream })
            }
            result => result,
        }
    }

    async fn read_all(&self, mut read: ReadAll) -> Result<LogPage, StoreError> {
        if self.is(Defect::IgnoresFilter) {
            read.filter = Default::default();
        }
        let mut page = self.inner.read_all(read).await?;
        match self.defect {
            Defect::LosesEventInLog => page.events.retain(|event| event.position != 5),
            Defect::EndsPageEarly if page.events.is_empty() => page.at_end = true,
            Defect::ShowsPositionsEarly if page.at_end => {
                page.examined = page.examined.next();
            }
            _ => {}
        }
        Ok(page)
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
        if self.is(Defect::KeepsOldSnapshot) {
            let _ = self.inner.delete_snapshot(&snapshot.stream).await;
        }
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

/// A store whose appends are under way for a while keeps the contracts; so does one without a clock that can
/// be moved.
mod queues {
    use super::{Defect, With};

    ordain_testkit::store_contract!(With(Defect::Queues));
    ordain_testkit::subscription_contract!(With(Defect::Queues));
}

macro_rules! finds {
    ($($test:ident: $defect:ident by $module:ident::$scenario:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let fixture = With(Defect::$defect);
                let scenario = contract::$module::$scenario(&fixture);
                let run = AssertUnwindSafe(|| contract::run(stringify!($scenario), scenario));
                assert!(catch_unwind(run).is_err(), "the scenario passes in spite of the defect");
            }
        )*
    };
}

/// Scenarios that wait for what never comes.
macro_rules! finds_by_waiting {
    ($($test:ident: $defect:ident by $module:ident::$scenario:ident;)*) => {
        $(
            #[test]
            fn $test() {
                contract::run(stringify!($scenario), async {
                    let fixture = With(Defect::$defect);
                    let scenario = Box::pin(contract::$module::$scenario(&fixture));
                    let passed = tokio::time::timeout(Duration::from_secs(3), scenario).await;
                    assert!(passed.is_err(), "the scenario passes in spite of the defect");
                });
            }
        )*
    };
}

finds_by_waiting! {
    a_lease_for_ever: LeasesForEver by leases::a_lease_that_is_over_is_claimed_by_another;
    a_member_for_ever: CountsForEver by leases::members_are_counted_while_they_live;
    a_follower_that_is_not_told: TellsNobody by arrivals::appended_events_arrive;
    a_follower_that_is_not_told_of_concurrent_appends: TellsNobody by arrivals::concurrent_appends_all_arrive;
    a_follower_that_is_not_told_of_links: TellsNobody by arrivals::links_and_deletes_are_announced;
}

finds! {
    a_lost_event: LosesEventInLog by order::positions_are_dense_and_in_commit_order;
    a_lost_event_by_a_reader: LosesEventInLog by order::every_reader_sees_a_beginning_of_the_same_log;
    an_examined_position_beyond_the_head: ShowsPositionsEarly by order::positions_are_dense_and_in_commit_order;
    aba_in_a_chain: IgnoresBuildsOn by chains::a_foreign_append_does_not_stand_in_for_a_failed_one;
    aba_in_the_model: IgnoresBuildsOn by model::pipelined_and_foreign_writers_leave_no_hole;
    any_version: AcceptsAnyVersion by append::c009_a_wrong_version_is_refused_and_nothing_is_stored;
    two_winners: AcceptsAnyVersion by append::c053_four_appends_at_one_version_have_one_winner;
    a_version_nobody_checks_in_the_model: AcceptsAnyVersion by model::pipelined_and_foreign_writers_leave_no_hole;
    a_forgotten_outcome: ForgetsOutcome by commands::a_command_with_a_remembered_outcome_is_recognised;
    half_an_append: StoresHalfOfSeveral by several::if_one_of_several_streams_is_refused_none_is_written;
    an_ignored_filter: IgnoresFilter by filter::a_filter_selects_by_type_category_or_stream;
    an_early_end: EndsPageEarly by filter::a_page_does_not_end_early_because_of_its_filter;
    a_duplicate: KeepsDuplicates by append::c055_a_used_event_id_is_refused;
    erased_targets: ErasesLinkedEvents by links::d1_erasing_links_leaves_their_targets;
    a_changed_order: ReordersAppends by chains::appends_in_flight_are_decided_in_the_order_of_their_first_poll;
    a_reopened_name: ReopensErasedNames by delete::c066_an_erased_stream_is_gone_and_its_name_closed;
    a_missed_deadline: IgnoresDeadline by append::an_append_after_its_deadline_is_not_begun;
    a_snapshot_replaced_by_an_older_one: KeepsOldSnapshot by snapshots::an_older_snapshot_does_not_replace_a_newer_one;
    two_changes_of_a_generation: IgnoresGeneration by subscriptions::of_changes_made_at_once_one_wins;
    a_stale_generation: IgnoresGeneration by subscriptions::a_change_needs_the_generation_it_expects;
    a_subscription_made_twice: IgnoresGeneration by subscriptions::a_subscription_is_made_once;
    half_a_definition: ForgetsPartOfDefinition by subscriptions::a_subscription_is_made_once;
    half_of_several_changes: ChangesOneByOne by subscriptions::several_changes_are_made_together_or_not_at_all;
    an_unasked_position: IgnoresAtLeast by subscriptions::a_change_can_ask_where_the_partitions_stand;
    an_owner_who_stays: FencesNothing by subscriptions::fencing_frees_the_partitions;
    an_owner_who_goes: FencesAlways by subscriptions::kept_partitions_keep_their_owners;
    an_owner_of_replaced_partitions: IgnoresEpoch by subscriptions::replaced_partitions_have_higher_epochs;
    a_list_without_order: ListsWithoutOrder by subscriptions::subscriptions_are_listed_by_name_and_version;
    another_version_removed: RemovesAllVersions by subscriptions::a_subscription_is_removed_with_what_belongs_to_it;
    a_lease_of_nothing: LeasesForNothing by leases::a_free_partition_is_claimed;
    two_owners: ClaimsWhatIsHeld by leases::a_held_partition_is_not_claimed;
    two_owners_at_once: ClaimsWhatIsHeld by leases::of_concurrent_claims_one_wins;
    a_claim_while_paused: ClaimsInAnyState by leases::the_state_tells_whether_partitions_are_claimed;
    a_late_owner: IgnoresEpoch by leases::a_lease_that_is_over_is_claimed_by_another;
    an_owner_that_is_not_renewed: RenewsNothing by leases::a_sign_of_life_renews_leases;
    a_late_owner_that_is_not_renewed: RenewsNothing by leases::a_late_owner_goes_on_if_nobody_has_claimed;
    a_released_lease_renewed: RenewsWhatIsLost by leases::a_lost_lease_is_not_renewed;
    a_member_that_stays: LeavesNothing by leases::members_are_counted_while_they_live;
    miscounted_dead_letters: CountsNoDeadLetters by blocks::blocked_keys_are_kept;
    a_lease_not_released: ReleasesNothing by leases::a_released_partition_is_free_at_once;
    another_lease_released: ReleasesWhatIsLost by leases::a_released_partition_is_free_at_once;
    leases_of_those_who_left: LeavesNothing by leases::a_process_that_leaves_gives_everything_back;
    a_forgotten_trouble: ForgetsTrouble by leases::the_trouble_of_a_partition_is_handed_on;
    a_checkpoint_that_stands_still: StandsStill by progress::a_commit_moves_the_checkpoint;
    a_move_that_was_none: TouchesAlways by progress::the_time_of_a_move_is_kept;
    a_commit_from_anywhere: IgnoresFrom by progress::a_commit_from_elsewhere_does_nothing;
    a_zombie: IgnoresEpoch by progress::a_commit_under_a_lost_lease_does_nothing;
    half_a_commit: CommitsChangesApart by progress::a_commit_under_a_lost_lease_does_nothing;
    half_a_commit_without_requirements: CommitsChangesApart by progress::a_commit_needs_what_it_requires;
    half_a_commit_at_once: CommitsChangesApart by progress::of_commits_made_at_once_one_is_made;
    an_unmet_requirement: IgnoresRequirements by progress::a_commit_needs_what_it_requires;
    a_foreign_requirement: IgnoresRequirements by progress::a_commit_requires_what_is_its_own;
    reversed_changes: ReversesChanges by progress::changes_are_made_in_their_order;
    a_time_that_was_given: KeepsGivenTimes by blocks::blocked_keys_are_kept;
    a_changed_time_that_was_given: KeepsGivenTimes by processes::instances_are_kept;
    requests_for_all: RequestsAll by blocks::requests_reach_dead_letters;
    young_dead_letters: PrunesTooMuch by blocks::dead_letters_are_pruned_by_age;
    young_instances: PrunesTooMuch by processes::finished_instances_are_pruned_by_age;
    instances_listed_twice: BeginsPagesAnew by processes::instances_are_listed_in_pages;
    commands_listed_twice: BeginsPagesAnew by processes::outgoing_commands_have_an_order;
    commands_in_another_order: OrdersAsPeopleDo by processes::outgoing_commands_have_an_order;
    a_foreign_share: IgnoresShare by processes::a_share_is_seen_by_bucket;
    timers_in_another_order: OrdersAsPeopleDo by processes::timers_fall_due_by_the_clock_of_the_store;
    a_timer_nobody_waits_for: TellsNoNextTimer by processes::timers_fall_due_by_the_clock_of_the_store;
    a_timer_not_replaced: KeepsOldTimer by processes::timers_are_set_and_cancelled_by_anybody;
    versions_mixed_up: MixesVersions by processes::versions_share_nothing;
    a_command_not_settled: SettlesNothing by settling::an_append_settles_its_command;
    a_command_settled_by_a_refused_append: SettlesBeforeItLooks by settling::a_refused_append_settles_nothing;
    a_command_settled_twice: SettlesNothing by settling::a_settled_command_is_not_settled_again;
    a_repeat_not_recognised: TriesToSettleFirst by settling::a_repeated_command_is_recognised_before_it_settles;
    a_command_settled_by_two: ChecksBeforeItSettles by settling::of_appends_that_settle_at_once_one_is_stored;
    a_command_settled_by_append_and_commit: SettlesNothing by settling::an_append_and_a_commit_do_not_both_settle;
    a_chain_that_goes_on: SettlesOutsideTheChain by settling::what_rests_on_a_settled_append_fails;
    a_read_model_without_its_checkpoint: CommitsReadModelsApart by projections::a_read_model_stays_where_its_checkpoint_does;
    a_read_model_without_its_subscription: CommitsReadModelsApart by projections::a_read_model_changes_with_its_subscription;
    a_read_model_without_its_events: CommitsReadModelsApart by projections::a_refused_append_undoes_what_was_written;
    a_dropped_transaction: CommitsWhatIsDropped by projections::a_dropped_transaction_is_undone;
    an_arrival_with_a_hole: TellsWithHoles by arrivals::appended_events_arrive;
    an_answer_of_a_closed_store: AnswersWhenClosed by restart::a_closed_store_refuses_the_read_side;
}
