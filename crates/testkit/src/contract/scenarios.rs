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

/// Makes a test of every scenario of the delivery contract: what users of subscriptions, handlers and projections
/// are promised, on apps over the store.
///
/// Takes an expression that gives a [`SubscriptionFixture`](crate::contract::SubscriptionFixture), which has to
/// be `Send + Sync + 'static`; it is evaluated in each test. Call it once per module, beside the others or not.
#[macro_export]
macro_rules! delivery_contract {
    ($fixture:expr) => {
        $crate::__delivery_scenarios!(tests std::sync::Arc::new($fixture));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __delivery_scenarios {
    ($what:ident $($fixture:expr)?) => {
        $crate::__for_each_store_scenario! { $what $($fixture)?;
            catching_up {
                c021_who_follows_a_stream_gets_its_events_in_order
                c022_who_follows_a_stream_gets_nothing_of_others
                c023_who_follows_all_gets_the_order_of_the_log
                c071_history_goes_over_into_live_while_events_are_appended
                c072_a_subscription_begins_where_it_is_told
                c073_a_stream_that_does_not_exist_yet_is_subscribed_to
                c074_what_is_handed_over_may_be_lost_doubled_or_shuffled
                c075_subscriptions_work_side_by_side
                c076_links_are_delivered_to_those_who_want_them
                c077_deleted_streams_are_delivered_and_erased_ones_passed
                c077_a_delete_at_the_end_is_passed
                d4_a_soft_delete_disturbs_nobody
                c094_who_falls_behind_what_is_kept_for_it_reads_pages_again
                c094_every_page_and_window_gives_the_same
                c095_a_slow_reader_is_told_and_misses_nothing_in_silence
                c086_what_nobody_tells_of_is_delivered
                c071_what_another_process_appends_is_delivered
            }
            acknowledging {
                c024_c030_an_opened_subscription_is_there
                c025_appended_events_are_delivered_in_order
                c026_events_of_other_streams_are_not_delivered
                c027_c033_from_the_end_on_only_later_events_come
                c028_c031_c032_history_comes_first_and_later_events_follow
                c029_c034_a_filter_selects_what_comes
                c035_c037_c088_a_process_opens_a_subscription_once
                c043_c099_a_closed_subscription_gets_nothing
                c044_a_subscription_goes_on_after_the_last_acknowledgement
                c045_c046_a_removed_subscription_begins_anew
                c047_c048_c081_only_what_was_not_acknowledged_comes_again
                c049_c080_no_more_than_the_window_is_delivered
                c078_an_acknowledgement_may_cover_all_before_it
                c079_an_unexpected_acknowledgement_is_refused
                c082_the_checkpoint_is_written_at_its_threshold_and_at_the_end
                c082_the_checkpoint_is_written_after_its_time
                c083_the_checkpoint_moves_over_what_is_acknowledged_without_a_gap
                c087_following_the_log_moves_no_checkpoint
                c050_c051_a_subscription_ends_with_its_app
                d3_writing_the_checkpoint_does_not_end_catching_up
            }
            sharing {
                c036_c038_c039_c089_processes_share_the_partitions
                c040_c041_c093_a_partition_is_delivered_in_order
                c093_a_key_of_the_users_keeps_its_order
                c042_c091_c092_the_share_of_one_that_stops_goes_to_others
                c091_a_process_that_dies_is_replaced
                c085_who_waits_for_a_lease_begins_where_it_ended
                c084_a_lost_lease_delivers_again_what_was_not_acknowledged
                d6_an_owner_that_freezes_is_fenced
                a_store_that_fails_for_a_while_costs_no_event
                partitions_are_replaced_under_load
                a_barrier_that_is_moved_leaves_out_nothing
            }
            handling {
                c107_a_handler_gets_what_it_lists
                c107_a_handler_goes_on_where_it_stood
                c107_a_graceful_stop_ends_what_was_begun
                c107_a_reset_handler_begins_anew
                c107_a_handler_is_reset_to_any_position
                c107_batches_have_a_size_and_a_time
                d14_a_reset_forgets_a_batch_that_is_being_filled
                c097_old_events_come_as_what_they_have_become
                a_handler_that_wants_other_events_is_refused
                d17_an_unreadable_event_disturbs_only_those_who_want_it
            }
            failing {
                c107_an_event_that_fails_keeps_only_its_key
                a_key_that_cannot_be_stored_is_dead_lettered_by_one_that_can
                what_waits_behind_a_dead_letter_is_no_replay_after_a_reset
                c107_a_dead_letter_is_remembered
                a_key_whose_dead_letter_is_forgotten_goes_on
                c107_a_discarded_event_is_left_out
                c107_an_event_is_skipped_or_stopped_at
                an_outage_is_waited_for
                many_events_wait_behind_a_dead_letter
                c107_a_handler_that_takes_too_long_has_failed
                dead_letters_follow_their_keys_to_other_partitions
            }
            projecting {
                c109_every_event_is_taken_in_once
                c109_a_transaction_without_an_answer_counts_once
                c109_d15_what_fails_is_undone_and_tried_again
                c107_c109_a_reset_fills_the_read_model_again
                a_transaction_of_an_owner_that_freezes_is_not_committed
                replacing_partitions_survives_a_cut_at_every_step
                a_new_version_takes_the_place_of_the_old_one
                a_version_that_is_given_up_does_not_take_over
                dead_letters_of_a_new_version_are_retried
                a_switch_of_versions_survives_a_cut_at_every_step
            }
            waiting {
                c105_a_dispatch_waits_until_its_events_are_handled
                c105_without_events_it_waits_for_what_was_there
                c105_waiting_ends_in_time
                c105_another_process_waits
                c105_to_be_further_is_enough
                c105_to_wait_for_oneself_is_refused
                what_keeps_a_subscription_from_coming_is_told_at_once
                what_waits_behind_another_streams_dead_letter_is_told
                a_pause_ends_waiting
                who_waits_has_the_checkpoint_written
                c096_a_filter_that_matches_nothing_follows_the_log
            }
        }
    };
}

/// Makes a test of every scenario of the process contract: what users of process managers, timers and scheduled
/// commands are promised, on apps over the store.
///
/// Takes an expression that gives a [`SubscriptionFixture`](crate::contract::SubscriptionFixture), which has to
/// be `Send + Sync + 'static`; it is evaluated in each test. Call it once per module, beside the others or not.
#[macro_export]
macro_rules! process_contract {
    ($fixture:expr) => {
        $crate::__process_scenarios!(tests std::sync::Arc::new($fixture));
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __process_scenarios {
    ($what:ident $($fixture:expr)?) => {
        $crate::__for_each_store_scenario! { $what $($fixture)?;
            routing {
                start_begins_an_instance_or_goes_on_with_it
                continue_and_stop_pass_over_what_is_not_there
                stop_ends_an_instance_and_a_later_start_begins_anew
                a_stopped_instance_stays_stopped_though_it_was_not_in_memory
                an_instance_goes_on_with_its_state_after_a_restart
                strict_routes_that_do_not_hold_put_the_instance_aside
                an_event_may_be_for_many_instances
                an_event_that_names_an_instance_twice_is_handled_once
                an_event_may_end_an_instance_and_begin_it_anew
                a_panic_puts_its_instance_aside_and_others_go_on
                what_cannot_be_routed_stops_the_manager_or_is_skipped
                an_instance_whose_id_cannot_be_stored_stops_the_manager
                a_failure_may_stop_the_manager_which_then_goes_on_from_there
                wait_for_waits_for_a_parked_instance_too
                a_manager_that_is_shut_down_while_it_stops_loses_nothing
                an_id_that_no_store_keeps_cannot_be_routed
            }
            issuing {
                commands_of_an_instance_are_dispatched_in_order
                a_slow_target_holds_up_its_instance_alone
                parked_instances_go_on_after_a_restart_from_what_is_stored
                more_parked_instances_than_allowed_hold_up_the_reading
                more_commands_than_allowed_hold_up_the_reading
                a_rejected_command_is_tried_again_and_then_its_instance_put_aside
                a_command_put_aside_is_retried_when_somebody_asks
                each_answer_to_a_failed_command
                a_replacement_that_fails_is_replaced_in_turn
                a_failed_command_may_stop_the_manager
                what_the_store_hinders_is_tried_again_without_counting
                one_failing_instance_after_the_other_counts_as_an_outage
                what_an_event_carries_is_handed_on_to_its_commands
                old_events_have_their_commands_dispatched
                a_manager_is_refused_that_waits_for_itself
                a_command_that_gets_another_id_on_its_way_is_settled
            }
            timing {
                a_timer_fires_when_it_is_due_and_not_before
                a_manager_without_timers_does_not_look_for_any
                a_timer_can_be_replaced_and_taken_back
                a_timer_that_is_due_is_not_overtaken_by_what_lies_unread
                timers_fire_in_the_order_in_which_they_are_due_after_downtime_too
                a_timer_of_a_parked_instance_is_judged_again
                a_timer_does_not_overtake_what_a_command_has_led_to
                a_timer_that_fails_puts_its_instance_aside
                a_timer_that_fired_before_a_reset_issues_nothing_again
            }
            scheduling {
                commands_for_now_are_dispatched_at_once
                a_command_is_dispatched_at_its_time
                a_scheduled_command_can_be_taken_back
                a_command_that_is_taken_back_as_it_falls_due_is_dispatched_or_not
                a_firing_that_is_not_committed_can_be_taken_back
                a_scheduled_command_survives_a_restart_and_takes_effect_once
                a_scheduled_command_that_is_rejected_holds_up_no_other
                a_scheduled_command_needs_no_instance
                a_scheduled_command_that_cannot_be_read_can_be_discarded
            }
            resetting {
                a_reset_builds_the_instances_anew_and_issues_nothing_again
                a_reset_loses_no_command_of_what_waits
                a_reset_loses_no_timer_that_is_due
                a_reset_during_a_replay_issues_nothing_again
                a_timer_that_fires_again_after_a_reset_takes_effect_once
                a_reset_forgets_what_was_put_aside_beyond_it
                replayed_events_issue_commands_again_if_asked
                a_new_version_builds_its_instances_and_issues_only_what_is_new
                a_new_version_dispatches_what_the_older_one_has_left
                state_of_another_shape_is_migrated_or_its_instance_put_aside
                to_discard_what_a_timer_failed_with_skips_no_event
                a_command_that_is_issued_again_and_was_settled_leaves_nothing
            }
            keeping {
                instances_that_ended_long_ago_are_forgotten
                an_instance_that_is_forgotten_in_use_begins_anew
                an_instance_whose_dead_letter_is_forgotten_goes_on
                a_command_whose_dead_letter_is_forgotten_is_tried_again
                a_log_that_has_become_shorter_stops_the_manager
            }
            transferring {
                a_transfer_completes
                a_transfer_that_is_refused_or_has_no_target_is_undone
                a_transfer_that_takes_too_long_is_undone
                many_transfers_lose_no_money
            }
            surviving {
                a_kill_at_any_commit_leaves_nothing_undone_or_done_twice
                a_kill_at_any_append_leaves_nothing_undone_or_done_twice
                a_kill_at_any_load_leaves_nothing_undone_or_done_twice
                a_kill_while_a_scheduled_command_fires_costs_nothing
                faults_leave_nothing_undone_or_done_twice
                a_dispatcher_that_wakes_after_a_take_over_has_no_effect
                a_dispatcher_that_wakes_after_the_command_was_given_up_has_no_effect
                a_discard_that_comes_too_late_leaves_out_nothing_else
                instances_spread_over_processes_and_others_take_over
            }
            bounding {
                more_failing_instances_than_allowed_hold_up_the_reading
                more_commands_than_allowed_hold_up_timers
                commands_are_dispatched_while_many_timers_fire
                a_timer_that_is_tried_again_holds_up_no_other
                many_timers_of_a_held_instance_hide_no_others
                a_manager_with_all_it_may_have_under_way_reads_on_by_the_dozen
                instances_of_before_a_reset_are_read_together
            }
            chaos {
                promises_are_kept_whatever_happens
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

/// The scenarios of the delivery contract, as `module::name`.
pub const DELIVERY_SCENARIOS: &[&str] = crate::__delivery_scenarios!(names);

/// The scenarios of the process contract, as `module::name`.
pub const PROCESS_SCENARIOS: &[&str] = crate::__process_scenarios!(names);

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
