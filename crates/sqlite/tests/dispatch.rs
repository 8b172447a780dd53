//! Commands on an SQLite file: across restarts, and from several processes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod files;

use files::Files;
use futures::future::join_all;
use ordain_sqlite::SqliteStore;
use ordain_testkit::contract::StoreFixture;
use ordain_testkit::nodes::{self, deposit, key, withdraw};

#[tokio::test]
async fn answers_outlive_a_restart() {
    nodes::answers_outlive_a_restart(&Files::new()).await;
}

#[tokio::test]
async fn two_nodes_on_one_aggregate_stay_correct() {
    nodes::two_nodes_on_one_aggregate_stay_correct(&Files::new()).await;
}

#[tokio::test]
async fn a_burst_on_one_aggregate_keeps_its_order() {
    nodes::a_burst_on_one_aggregate_keeps_its_order(&Files::new()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_short_queue_holds_up_nobody_for_good() {
    let files = Files::new();
    let store = files.fresh().queue_len(2).open().await.unwrap();
    let app = nodes::start(&store).await;
    let all = (0..20).map(|account| {
        let app = app.clone();
        tokio::spawn(async move {
            let first = app.dispatch(deposit(account, 1));
            let refused = app
                .dispatch(withdraw(account, 1_000))
                .command_id(key(account));
            let deposits = join_all((0..60).map(|_| app.dispatch(deposit(account, 1))));
            let (first, refused, deposits) = tokio::join!(first, refused, deposits);
            first.unwrap();
            assert!(refused.unwrap_err().is_rejected());
            deposits
                .into_iter()
                .for_each(|receipt| drop(receipt.unwrap()));
        })
    });
    let all = tokio::time::timeout(std::time::Duration::from_secs(60), join_all(all)).await;
    all.unwrap().into_iter().for_each(|done| done.unwrap());
    nodes::close((store, app)).await;
}

/// Not a test: what the child processes do.
#[tokio::test]
async fn child() {
    if let Some(place) = nodes::place_of_child() {
        let options = Files::patient(SqliteStore::options().path(place));
        nodes::child(options.open().await.unwrap()).await;
    }
}

#[tokio::test]
async fn one_id_has_one_effect_and_one_answer_in_all_processes() {
    let files = Files::new();
    let store = files.open().await;
    let place = store.path().to_str().unwrap().to_owned();
    nodes::one_id_has_one_effect_and_one_answer_in_all_processes(store, &place).await;
}
