//! The list of scenarios, and how one is run.

use std::time::Duration;

/// How long a scenario may take before it counts as stuck.
const DEADLINE: Duration = Duration::from_secs(120);

/// Makes a test of every scenario of the [store contract](crate::contract).
///
/// Takes an expression that gives a [`StoreFixture`](crate::contract::StoreFixture); it is evaluated
/// in each test. Call it once per module.
#[macro_export]
macro_rules! store_contract {
    ($fixture:expr) => {
        $crate::__store_scenarios!(tests $fixture);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __store_scenarios {
    ($what:ident $($fixture:expr)?) => {
        $crate::__for_each_store_scenario! { $what $($fixture)?;
            append {
                c001_is_a_store
                c002_appends_at_the_expected_version
                c003_appends_at_any_version
                c004_a_new_stream_where_none_is_expected
                c005_no_stream_is_refused_where_one_exists
                c006_stream_exists_is_accepted_where_one_exists
                c007_stream_exists_is_refused_where_none_exists
                c008_a_version_is_refused_where_no_stream_exists
                c009_a_wrong_version_is_refused_and_nothing_is_stored
                c052_appends_of_four_tasks_at_any_version_all_succeed
                c053_four_appends_at_one_version_have_one_winner
                c054_one_append_of_8001_events
                c055_a_used_event_id_is_refused
                c055_of_concurrent_appends_with_one_event_id_one_wins
                c056_a_given_event_id_is_kept
                an_expected_version_of_zero_means_no_stream
                an_append_says_where_its_events_stand
                appenders_of_many_streams_do_not_disturb_each_other
                an_append_of_10_000_events_is_all_or_nothing
                a_large_payload_is_kept_and_a_too_large_one_refused
                an_append_after_its_deadline_is_not_begun
            }
            chains {
                appends_in_flight_are_decided_in_the_order_of_their_first_poll
                chained_appends_in_flight_follow_each_other
                what_rests_on_a_failed_append_fails
                a_foreign_append_does_not_stand_in_for_a_failed_one
                a_foreign_append_in_the_middle_of_a_chain_breaks_it
                an_append_is_refused_if_it_builds_on_another_entry
                a_chain_through_an_append_to_several_streams_fails_with_it
                a_trusted_version_that_is_stale_is_refused
                a_dropped_append_is_stored_whole_or_not_at_all
                equal_ids_in_another_history_do_not_stand_in_for_a_failed_append
                a_failed_append_cuts_off_only_what_rests_on_it
            }
            several {
                an_append_to_several_streams_is_contiguous_in_order_of_writes
                if_one_of_several_streams_is_refused_none_is_written
                appends_to_the_same_streams_in_any_order_do_not_deadlock
            }
            read {
                c010_a_missing_stream_is_not_found
                c011_events_are_read_in_order_and_unchanged
                c012_events_carry_their_ids_and_their_time
                c013_a_stream_is_read_from_a_version
                c014_streams_are_read_from_zero_and_apart
                c015_pages_of_two_hold_ten_events_once
                c059_the_time_of_occurrence_is_kept_beside_that_of_recording
                c060_unicode_survives
                c060_similar_names_are_different_streams
                c062_backward_reads_mirror_forward_ones
                c062_all_page_sizes_read_the_same
                c062_a_start_beyond_the_end_gives_nothing
                the_head_of_a_stream_is_its_last_entry
            }
            filter {
                a_filter_selects_by_type_category_or_stream
                a_filter_asks_for_one_entry_of_every_list
                a_filter_sees_links_only_when_asked
                a_page_examines_unwanted_events_too
                a_page_does_not_end_early_because_of_its_filter
                a_filter_that_matches_nothing_follows_the_head
                a_filter_may_have_many_entries
            }
            links {
                c064_links_show_events_of_other_streams
                c064_links_stand_in_the_log_when_asked_for
                c064_an_event_is_linked_once_in_a_stream
                c064_a_link_needs_its_target
                c064_five_identical_links_at_once_have_one_winner
                c064_links_heed_the_expected_version
                d7_concurrent_links_at_one_version_have_one_winner
                a_link_to_a_link_leads_to_the_target
                a_stream_holds_either_events_or_links
                the_checks_of_a_link_have_an_order
                a_stream_of_links_is_deleted_and_undeleted
                links_to_erased_events_are_passed_over
                d1_erasing_links_leaves_their_targets
            }
            delete {
                c065_c066_a_stream_is_deleted_at_a_fitting_version
                c065_c066_a_delete_that_does_not_fit_is_refused
                c065_a_soft_deleted_stream_is_closed_but_stays_in_the_log
                an_undeleted_stream_goes_on_after_its_tombstone
                only_a_soft_deleted_stream_is_undeleted
                c066_a_hard_delete_has_to_be_enabled
                c066_an_erased_stream_is_gone_and_its_name_closed
                c066_positions_of_erased_events_at_the_end_are_not_reused
                a_soft_deleted_stream_is_erased
                erasing_takes_snapshots_and_outcomes_along
                c063_pages_lead_across_erased_events
                d8_an_append_racing_a_delete_comes_before_it_or_is_refused
                d8_of_concurrent_deletes_one_wins
            }
            commands {
                a_command_with_events_is_recognised
                a_command_with_a_remembered_outcome_is_recognised
                a_command_is_recognised_only_on_its_stream
                an_outcome_does_not_make_a_stream
                an_outcome_decided_on_a_stream_that_moved_is_refused
                a_command_has_one_outcome_or_events
                a_command_dispatched_by_many_has_one_effect
                the_checks_of_an_append_have_an_order
                a_command_on_several_streams_is_recognised
                outcomes_are_forgotten_by_age
            }
            snapshots {
                c017_a_snapshot_is_recorded
                c018_snapshots_are_read_by_their_stream
                c019_a_missing_snapshot_is_not_found
                c020_a_snapshot_is_deleted
                an_older_snapshot_does_not_replace_a_newer_one
                a_snapshot_of_another_schema_version_replaces
                a_stream_is_loaded_from_its_snapshot_on
                a_snapshot_without_a_stream_is_dropped
            }
            streams {
                c068_stream_info_tells_version_and_times
                c068_streams_are_listed_by_name_in_pages
                c068_streams_are_searched_literally
                c068_streams_are_sorted
                c068_deleted_streams_are_listed_until_they_are_erased
            }
            time {
                position_at_is_the_last_position_until_then
                position_at_of_an_empty_log_is_its_origin
                position_at_follows_the_clock
                recorded_at_does_not_run_backwards
            }
            input {
                c057_reserved_names_name_no_stream
                d5_the_longest_stream_name_works_everywhere
                unusable_stream_names_are_refused
                an_append_of_nothing_or_to_a_stream_twice_is_refused
                too_many_events_are_refused
                unusable_event_types_are_refused
                a_nul_in_a_payload_is_refused
                unusable_metadata_is_refused
                a_payload_that_is_not_json_is_refused
                unusable_schema_versions_are_refused
                the_largest_versions_are_only_versions
            }
            order {
                positions_are_dense_and_in_commit_order
                every_reader_sees_a_beginning_of_the_same_log
            }
            model {
                pipelined_and_foreign_writers_leave_no_hole
                concurrent_pipelined_writers_leave_no_hole
            }
            isolation {
                c016_two_stores_do_not_see_each_others_streams
                c069_two_stores_share_nothing
            }
            lifecycle {
                a_closed_store_refuses_every_request
                a_reopened_store_goes_on_where_it_was
                closing_finishes_what_was_begun
                two_handles_share_one_log
            }
        }
    };
}

/// Makes a test of every scenario of the subscription contract: what a
/// [`ProjectionStore`](ordain::store::ProjectionStore) does beyond an event store.
///
/// Takes an expression that gives a [`SubscriptionFixture`](crate::contract::SubscriptionFixture); it is
/// evaluated in each test. Call it once per module, beside [`store_contract!`](crate::store_contract) or not.
#[macro_export]
macro_rules! subscription_contract {
    ($fixture:expr) => {
        $crate::__subscription_scenarios!(tests $fixture);
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __subscription_scenarios {
    ($what:ident $($fixture:expr)?) => {
        $crate::__for_each_store_scenario! { $what $($fixture)?;
            subscriptions {
                a_subscription_is_made_once
                a_change_needs_the_generation_it_expects
                a_subscription_has_any_state
                several_changes_are_made_together_or_not_at_all
                a_change_can_ask_where_the_partitions_stand
                of_changes_made_at_once_one_wins
                fencing_frees_the_partitions
                kept_partitions_keep_their_owners
                replaced_partitions_have_higher_epochs
                an_owner_of_what_was_removed_stays_shut_out
                subscriptions_are_listed_by_name_and_version
                a_subscription_is_removed_with_what_belongs_to_it
            }
            leases {
                a_free_partition_is_claimed
                a_held_partition_is_not_claimed
                a_claim_passes_over_what_does_not_exist
                the_state_tells_whether_partitions_are_claimed
                of_concurrent_claims_one_wins
                a_lease_that_is_over_is_claimed_by_another
                a_late_owner_goes_on_if_nobody_has_claimed
                a_sign_of_life_renews_leases
                a_lost_lease_is_not_renewed
                members_are_counted_while_they_live
                a_sign_of_life_tells_how_subscriptions_stand
                a_released_partition_is_free_at_once
                a_process_that_leaves_gives_everything_back
                the_trouble_of_a_partition_is_handed_on
                two_handles_share_leases
            }
            progress {
                a_commit_moves_the_checkpoint
                the_time_of_a_move_is_kept
                a_commit_from_elsewhere_does_nothing
                a_commit_under_a_lost_lease_does_nothing
                a_commit_needs_what_it_requires
                a_commit_requires_what_is_its_own
                changes_are_made_in_their_order
                of_commits_made_at_once_one_is_made
            }
            blocks {
                blocked_keys_are_kept
                requests_reach_dead_letters
                dead_letters_are_pruned_by_age
            }
            processes {
                instances_are_kept
                instances_are_listed_in_pages
                finished_instances_are_pruned_by_age
                outgoing_commands_have_an_order
                outgoing_commands_are_kept_until_they_are_settled
                a_share_is_seen_by_bucket
                timers_are_kept_by_key
                timers_are_set_and_cancelled_by_anybody
                timers_fall_due_by_the_clock_of_the_store
                versions_share_nothing
            }
            settling {
                an_append_settles_its_command
                a_refused_append_settles_nothing
                a_settled_command_is_not_settled_again
                a_repeated_command_is_recognised_before_it_settles
                of_appends_that_settle_at_once_one_is_stored
                an_append_and_a_commit_do_not_both_settle
                what_rests_on_a_settled_append_fails
            }
            arrivals {
                appended_events_arrive
                concurrent_appends_all_arrive
                appends_of_others_are_announced
                links_and_deletes_are_announced
            }
            projections {
                a_read_model_moves_with_its_checkpoint
                a_read_model_stays_where_its_checkpoint_does
                a_dropped_transaction_is_undone
                giving_up_a_transaction_holds_up_nobody
                a_read_model_changes_with_its_subscription
                a_read_model_is_written_with_an_append
                a_refused_append_undoes_what_was_written
                a_closed_store_begins_no_transaction
                projections_work_at_the_same_time
            }
            restart {
                a_reopened_store_remembers_the_read_side
                a_closed_store_refuses_the_read_side
            }
        }
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __for_each_store_scenario {
    (tests $fixture:expr; $($module:ident { $($name:ident)* })*) => {
        $($(
            #[test]
            fn $name() {
                $crate::contract::run(stringify!($name), async {
                    let fixture = $fixture;
                    $crate::contract::$module::$name(&fixture).await;
                });
            }
        )*)*
    };
    (names; $($module:ident { $($name:ident)* })*) => {
        &[$($(concat!(stringify!($module), "::", stringify!($name)),)*)*]
    };
}

/// The scenarios of the store contract, as `module::name`.
pub const SCENARIOS: &[&str] = crate::__store_scenarios!(names);

/// The scenarios of the subscription contract, as `module::name`.
pub const SUBSCRIPTION_SCENARIOS: &[&str] = crate::__subscription_scenarios!(names);

/// Runs a scenario on a runtime of its own.
///
/// # Panics
/// If the scenario does, or does not end.
pub fn run(name: &str, scenario: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .expect("a runtime can be started");
    let ended =
        runtime.block_on(async { tokio::time::timeout(DEADLINE, Box::pin(scenario)).await });
    runtime.shutdown_background();
    assert!(ended.is_ok(), "{name} did not end within {DEADLINE:?}");
}
