//! Banks that serve under load while something goes wrong: a process is killed, another is frozen, the
//! server restarts, a read model is made anew, the next release is started. The long forms take minutes:
//!
//! ```text
//! cargo test --release -p bank --test trouble -- --ignored --nocapture --test-threads 1
//! ```
#![cfg(unix)]
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test may panic, and tells what it measured"
)]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use bank::{Balances, Bank, DailyStatement};
use ordain_testkit::postgres::{Database, PgBouncer, PoolMode, Server, ServerOptions, Stop};
use rustix::process::Signal;
use support::load::{Load, Readers};
use support::serve::{Answer, PATIENCE, Served};
use support::store_in;

/// How long a bank's hold on its work lasts without a sign of life, in seconds.
const LEASE: u64 = 2;
/// In what time others have to go on, the lease included.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(LEASE + 8);
/// In what time a bank has to go on when its server is back.
const RECOVERED_WITHIN: Duration = Duration::from_secs(10);

/// How much happens.
struct Plan {
    /// How many times each thing goes wrong.
    rounds: usize,
    /// How many transfers are accepted before it does.
    transfers: usize,
}

const SHORT: Plan = Plan {
    rounds: 1,
    transfers: 40,
};
const LONG: Plan = Plan {
    rounds: 5,
    transfers: 400,
};

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

fn start(store: &str, directory: &Path) -> Served {
    start_with(store, directory, &[])
}

fn start_with(store: &str, directory: &Path, options: &[&str]) -> Served {
    let receipts = directory.join("receipts");
    let (lease, receipts) = (LEASE.to_string(), receipts.to_str().unwrap());
    let usual = ["--store", store, "--lease", &lease, "--receipts", receipts];
    Served::start(usual.iter().chain(options))
}

fn said(what: &str, elapsed: Duration, limit: Duration) {
    println!("{what}: {elapsed:?}");
    assert!(elapsed < limit, "{what} took {elapsed:?}");
}

/// What a process that is frozen may keep from all others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Frozen {
    /// Nothing for long: its sessions are the server's to end.
    Nothing,
    /// The file's lock, which nobody can take from it.
    Lock,
}

/// Two banks on one store; one is killed and comes back, the other is frozen for longer than its lease.
fn kill_and_freeze(store: &str, frozen: Frozen, plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let (mut first, mut second) = (
        start(store, directory.path()),
        start(store, directory.path()),
    );
    let load = Load::on(&[first.url(), second.url()]);
    for _ in 0..plan.rounds {
        load.go_on_for(plan.transfers);
        first.kill();
        let taken_over = load.time_of_a_transfer(second.url());
        said(
            "a killed bank's work goes on after",
            taken_over,
            TAKEN_OVER_WITHIN,
        );
        first = start(store, directory.path());
        load.send_to(&[first.url(), second.url()]);
        load.go_on_for(plan.transfers);

        second.signal(Signal::STOP);
        if frozen == Frozen::Nothing {
            let taken_over = load.time_of_a_transfer(first.url());
            said(
                "a frozen bank's work goes on after",
                taken_over,
                TAKEN_OVER_WITHIN,
            );
        }
        std::thread::sleep(Duration::from_secs(2 * LEASE));
        second.signal(Signal::CONT);
        load.go_on_for(plan.transfers);
        std::mem::swap(&mut first, &mut second);
    }
    // One is told to stop while it is asked, as in a deployment.
    assert_eq!(second.stop(), Some(0));
    load.go_on_for(plan.transfers);
    let carried = load.end();
    carried.await_ends(first.url());
    assert_eq!(first.stop(), Some(0));
    carried.check(store, directory.path());
}

/// The server of a bank restarts.
fn restart_server(plan: &Plan) {
    let server = wait(Server::start(ServerOptions::new())).unwrap();
    let database = wait(server.create_database("bank")).unwrap();
    restart(&server, &database.url(), plan);
}

/// The same, behind PgBouncer, which stays.
fn restart_server_behind_a_pooler(plan: &Plan) {
    let server = wait(Server::start(ServerOptions::new())).unwrap();
    let database = wait(server.create_database("bank")).unwrap();
    behind_a_pooler_of(&database, |store| restart(&server, store, plan));
}

/// The server of a bank restarts, in the one way and in the other.
fn restart(server: &Server, store: &str, plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let served = start(store, directory.path());
    let load = Load::on(&[served.url()]);
    for round in 0..plan.rounds * 2 {
        load.go_on_for(plan.transfers);
        let stop = match round % 2 {
            0 => Stop::Fast,
            _ => Stop::Immediate,
        };
        wait(server.stop(stop)).unwrap();
        served
            .client()
            .until("/health/ready", |ready| ready.status == 503);
        assert_eq!(served.client().get("/health/live").status, 200);
        std::thread::sleep(Duration::from_secs(1));
        wait(server.start_again()).unwrap();
        let recovered = load.time_of_a_transfer(served.url());
        said(
            "transfers go on after a restart after",
            recovered,
            RECOVERED_WITHIN,
        );
        served
            .client()
            .until("/health/ready", |ready| ready.status == 200);
    }
    load.go_on_for(plan.transfers);
    let carried = load.end();
    carried.await_ends(served.url());
    assert_eq!(served.stop(), Some(0));
    carried.check(store, directory.path());
}

/// The read models are emptied and made anew while they are read.
fn rebuild(store: &str, plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let served = start(store, directory.path());
    let (load, client) = (Load::on(&[served.url()]), served.client());
    for _ in 0..plan.rounds {
        load.go_on_for(plan.transfers);
        let begin = Instant::now();
        reset(store);
        let path = format!("/accounts/{}", load.account());
        while begin.elapsed() < Duration::from_secs(1) {
            let shown = client.get(&path);
            assert!(matches!(shown.status, 200 | 404), "{shown:?}");
        }
        client.until(&path, |shown| shown.status == 200);
        load.go_on_for(plan.transfers);
    }
    let carried = load.end();
    carried.await_ends(served.url());
    assert_eq!(served.stop(), Some(0));
    carried.check(store, directory.path());
}

/// The next release is started beside the present one, and builds its version of the balances while they are read
/// and written; then the present one is stopped.
fn release(store: &str, plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let present = start(store, directory.path());
    let load = Load::on(&[present.url()]);
    load.go_on_for(plan.transfers);
    let readers = Readers::of(&load, present.url());

    let begin = Instant::now();
    let next = start_with(store, directory.path(), &["--next"]);
    let is_active = |shown: &Answer| {
        let versions = shown.body.as_array().unwrap().iter();
        let versions: Vec<_> = versions
            .filter(|one| one["name"] == "balances")
            .map(|one| (one["version"].clone(), one["state"].clone()))
            .collect();
        versions == [(1.into(), "retired".into()), (2.into(), "active".into())]
    };
    next.client().until("/subscriptions", is_active);
    said(
        "the next version takes over after",
        begin.elapsed(),
        PATIENCE,
    );
    load.send_to(&[next.url()]);
    readers.end_by(next.url());
    assert_eq!(present.stop(), Some(0));
    load.go_on_for(plan.transfers);
    let carried = load.end();
    carried.await_ends(next.url());
    carried.check(store, directory.path());
    assert_eq!(next.stop(), Some(0));
}

fn reset(store: &str) {
    wait(async {
        let operator = Bank::open_existing(&store.parse().unwrap()).await.unwrap();
        for name in [<Balances>::NAME, DailyStatement::NAME] {
            operator.app().subscriptions().reset(name, 0).await.unwrap();
        }
        operator.close().await.unwrap();
    });
}

fn database() -> Database {
    wait(Database::create())
}

/// On a database behind PgBouncer, which gives sessions away after each transaction.
fn behind_a_pooler(carry_out: impl FnOnce(&str)) {
    behind_a_pooler_of(&database(), carry_out);
}

fn behind_a_pooler_of(database: &Database, carry_out: impl FnOnce(&str)) {
    // By default it would not look for 15 seconds whether a server is back.
    let settings = [("server_login_retry", "1")];
    let bouncer = wait(PgBouncer::start(database, PoolMode::Transaction, &settings)).unwrap();
    let url = bouncer.url(&database.name());
    let sign = if url.contains('?') { '&' } else { '?' };
    carry_out(&format!("{url}{sign}pooled=true"));
}

#[test]
fn two_banks_on_one_file_of_which_one_is_killed_and_one_frozen() {
    let directory = tempfile::tempdir().unwrap();
    kill_and_freeze(&store_in(directory.path()), Frozen::Lock, &SHORT);
}

#[test]
fn two_banks_on_one_server_of_which_one_is_killed_and_one_frozen() {
    kill_and_freeze(&database().url(), Frozen::Nothing, &SHORT);
}

#[test]
fn a_server_that_restarts() {
    restart_server(&SHORT);
}

#[test]
fn a_server_that_restarts_behind_a_pooler() {
    restart_server_behind_a_pooler(&SHORT);
}

#[test]
fn read_models_that_are_made_anew_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    rebuild(&store_in(directory.path()), &SHORT);
}

#[test]
fn read_models_that_are_made_anew_on_a_server() {
    rebuild(&database().url(), &SHORT);
}

#[test]
fn the_next_release_beside_the_present_one_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    release(&store_in(directory.path()), &SHORT);
}

#[test]
fn the_next_release_beside_the_present_one_on_a_server() {
    release(&database().url(), &SHORT);
}

#[test]
fn the_next_release_beside_the_present_one_behind_a_pooler() {
    behind_a_pooler(|store| release(store, &SHORT));
}

#[test]
fn two_banks_behind_a_pooler_of_which_one_is_killed_and_one_frozen() {
    behind_a_pooler(|store| kill_and_freeze(store, Frozen::Nothing, &SHORT));
}

#[test]
fn read_models_that_are_made_anew_behind_a_pooler() {
    behind_a_pooler(|store| rebuild(store, &SHORT));
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn two_banks_on_one_file_for_long() {
    let directory = tempfile::tempdir().unwrap();
    kill_and_freeze(&store_in(directory.path()), Frozen::Lock, &LONG);
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn two_banks_on_one_server_for_long() {
    kill_and_freeze(&database().url(), Frozen::Nothing, &LONG);
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn a_server_that_restarts_for_long() {
    restart_server(&LONG);
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn read_models_that_are_made_anew_for_long() {
    rebuild(&database().url(), &LONG);
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn the_next_release_beside_the_present_one_for_long() {
    release(&database().url(), &LONG);
}

#[test]
#[ignore = "takes minutes; see the head of the file"]
fn two_banks_behind_a_pooler_for_long() {
    behind_a_pooler(|store| kill_and_freeze(store, Frozen::Nothing, &LONG));
}
