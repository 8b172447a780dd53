//! The bank on PostgreSQL. Killing it in the long form takes a few minutes:
//!
//! ```text
//! cargo test --release -p bank --test postgres -- --ignored --nocapture
//! ```
//!
//! `BANK_KILL_COMMANDS`, `BANK_KILL_KILLS` and `BANK_KILL_SEED` change it.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::net::TcpListener;

use ordain_testkit::postgres::{Database, ServerUrl};
use support::kill::Plan;
use support::{FEW, SHOWN, bank, bank_on_stdin, check_history, day, store_in};

/// A database of the test's own.
fn database() -> Database {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(Database::create())
}

fn store_of(database: &Database, schema: &str) -> String {
    let url = database.url();
    let sign = if url.contains('?') { '&' } else { '?' };
    format!("{url}{sign}schema={schema}")
}

#[test]
fn the_table_is_that_of_the_other_stores_at_every_concurrency() {
    let (database, directory, day) = (database(), tempfile::tempdir().unwrap(), day());
    let run = |store: &str, concurrency: &str| {
        let day = day.to_str().unwrap();
        bank(["run", day, "--store", store, "--concurrency", concurrency])
    };
    let in_memory = run("memory", "64");
    let in_a_file = run(&store_in(directory.path()), "64");
    assert_eq!(in_memory.table(), in_a_file.table());
    for concurrency in ["16", "256"] {
        let ran = run(
            &store_of(&database, &format!("at_{concurrency}")),
            concurrency,
        );
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
        assert_eq!(ran.table(), in_memory.table(), "{concurrency} at once");
    }
}

#[test]
fn the_same_file_again_changes_nothing_and_prints_the_same() {
    let (database, day) = (database(), day());
    let day = day.to_str().unwrap();
    let first = bank(["run", day, "--store", &database.url()]);
    assert!(!first.out.contains("earlier run"));
    let again = bank(["run", day, "--store", &database.url()]);
    assert_eq!((again.code, again.table()), (0, first.table()));
    let said = format!("{} had been done in an earlier run", first.number("all"));
    assert!(again.out.contains(&said), "{}", again.out);
}

#[test]
fn an_account_is_shown_with_its_history() {
    let database = database();
    let store = store_of(&database, "branch");
    let ran = bank_on_stdin(&["run", "-", "--store", &store], FEW.as_bytes());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let shown = bank(["show", "A1", "--store", &store]);
    assert_eq!((shown.code, shown.out.as_str()), (0, SHOWN));
    check_history(&bank(["history", "A1", "--store", &store]));
    let unknown = bank(["show", "A2", "--store", &store]);
    assert_eq!(unknown.code, 1);
    assert_eq!(unknown.err, "bank: account-A2 does not exist\n");
}

#[test]
fn a_store_is_made_by_a_run_only() {
    let database = database();
    let store = store_of(&database, "branch");
    for action in ["show", "history"] {
        let missing = bank([action, "A1", "--store", &store]);
        assert_eq!((missing.code, missing.out.as_str()), (1, ""));
        assert!(missing.err.contains("schema=branch"), "{}", missing.err);
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = 'branch'";
    let schemas = runtime.block_on(database.value(schemas)).unwrap();
    assert_eq!(schemas.as_deref(), Some("0"));
}

#[test]
fn a_server_that_cannot_be_reached_is_an_error_without_the_password() {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let store = format!("postgres://ann:hunter2@127.0.0.1:{port}/bank?acquire_timeout_ms=500");
    for arguments in [["run", "-"], ["show", "A1"], ["history", "A1"]] {
        let [action, what] = arguments;
        let ran = bank_on_stdin(&[action, what, "--store", &store], b"");
        assert_eq!((ran.code, ran.out.as_str()), (1, ""));
        let place =
            format!("bank: the store postgres://ann:***@127.0.0.1:{port}/bank cannot be used");
        assert!(ran.err.starts_with(&place), "{}", ran.err);
        assert!(!ran.err.contains("hunter2"), "{}", ran.err);
    }
}

#[test]
fn the_summary_names_the_store_without_the_password() {
    let database = database();
    let (role, password) = ServerUrl::parse(&database.url()).unwrap().role();
    let ran = bank_on_stdin(&["run", "-", "--store", &database.url()], FEW.as_bytes());
    assert!(ran.out.contains("store postgres"), "{}", ran.out);
    assert!(
        ran.out.contains(&role) && ran.out.contains(&database.name()),
        "{}",
        ran.out
    );
    assert!(
        password.is_empty() || !ran.out.contains(&password),
        "{}",
        ran.out
    );
}

#[test]
fn a_day_that_is_killed_five_times_ends_as_if_nothing_had_happened() {
    kill(&Plan::short());
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn a_long_day_that_is_killed_twenty_times_ends_as_if_nothing_had_happened() {
    kill(&Plan::long());
}

fn kill(plan: &Plan) {
    let database = database();
    let store = |schema| store_of(&database, schema);
    plan.carry_out(&store("undisturbed"), &store("killed"));
}
