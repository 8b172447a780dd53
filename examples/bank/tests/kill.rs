//! A bank on SQLite that is killed. The long form takes a few minutes:
//!
//! ```text
//! cargo test --release -p bank --test kill -- --ignored --nocapture
//! ```
//!
//! `BANK_KILL_COMMANDS`, `BANK_KILL_KILLS` and `BANK_KILL_SEED` change it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use support::kill::Plan;
use support::store_named;

#[test]
fn a_day_that_is_killed_five_times_ends_as_if_nothing_had_happened() {
    carry_out(&Plan::short());
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn a_long_day_that_is_killed_twenty_times_ends_as_if_nothing_had_happened() {
    carry_out(&Plan::long());
}

fn carry_out(plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let store = |name| store_named(directory.path(), name);
    plan.carry_out(&store("undisturbed.db"), &store("killed.db"));
}
