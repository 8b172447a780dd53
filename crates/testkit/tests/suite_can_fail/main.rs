//! The suite finds what it is for: each of these stores has one defect, and the scenario about it
//! fails.

mod store;

use std::convert::identity;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use ordain_testkit::contract;

use crate::store::{Defect, With};

/// How long a scenario may take that is to fail: some do by waiting for what never comes.
const PATIENCE: Duration = Duration::from_secs(10);

/// A store whose appends are under way for a while keeps the contract.
mod queues {
    use super::{Defect, With};

    ordain_testkit::store_contract!(With(Defect::Queues));
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
    ($fixture:path; $($test:ident: $defect:ident by $module:ident::$scenario:ident;)*) => {
        $(
            #[test]
            fn $test() {
                let sound = Arc::new(With(Defect::None));
                let scenario = contract::$module::$scenario($fixture(&sound));
                contract::run(stringify!($scenario), scenario);
                let defective = Arc::new(With(Defect::$defect));
                let has_failed = fails(contract::$module::$scenario($fixture(&defective)));
                assert!(has_failed, "the scenario passes in spite of the defect");
            }
        )*
    };
}

finds! {
    Deref::deref;
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
}

finds! {
    identity;
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
