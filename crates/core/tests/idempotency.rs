//! The same command id on the same aggregate: one effect, one answer.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use account::*;
use futures::future::join_all;
use ordain::prelude::*;
use ordain::store::{CommandKey, Deletion};
use ordain::{
    App, CommandId, Config, DispatchError, EventStore, ExpectedVersion, MemoryStore, StreamId,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[tokio::test]
async fn a_repeated_command_gets_its_receipt_again_and_has_no_second_effect() {
    let store = MemoryStore::new();
    let (near, far) = (app_on(&store).await, app_on(&store).await);
    near.dispatch(open("a")).await.unwrap();
    let id = CommandId::new();
    let all = || DepositAll {
        account: "a".into(),
        amounts: vec![1, 2],
    };
    let first = near.dispatch(all()).command_id(id).await.unwrap();
    near.dispatch(deposit("a", 10)).await.unwrap();
    for app in [&near, &far] {
        let again = app
            .dispatch(all())
            .command_id(id)
            .with_state()
            .await
            .unwrap();
        assert!(again.repeated && !first.repeated);
        assert_eq!(
            (again.version, again.position),
            (first.version, first.position)
        );
        assert_eq!((again.events.len(), again.state.balance), (2, 3));
        assert_eq!(balance(app, "a").await, 13);
    }
    assert_eq!(store.head().await.unwrap(), 4);
}

#[tokio::test]
async fn the_promise_is_per_aggregate() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    let id = CommandId::new();
    app.dispatch(open("a")).command_id(id).await.unwrap();
    let other = app.dispatch(open("b")).command_id(id).await.unwrap();
    assert!(!other.repeated);
}

#[tokio::test]
async fn a_creating_command_that_comes_again_is_not_told_that_it_exists() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    let id = CommandId::new();
    let first = app.dispatch(open("a")).command_id(id).await.unwrap();
    let again = app.dispatch(open("a")).command_id(id).await.unwrap();
    assert_eq!((again.version, again.repeated), (first.version, true));
}

#[tokio::test]
async fn a_refusal_is_remembered_under_the_callers_id() {
    let store = MemoryStore::new();
    let (near, far) = (app_on(&store).await, app_on(&store).await);
    let (id, missing) = (CommandId::new(), CommandId::new());
    let not_there = near
        .dispatch(withdraw("a", 5))
        .command_id(missing)
        .await
        .unwrap_err();
    assert!(not_there.is_not_found());
    near.dispatch(open("a")).await.unwrap();
    let first = near
        .dispatch(withdraw("a", 5))
        .command_id(id)
        .await
        .unwrap_err();
    assert!(first.is_rejected());
    near.dispatch(deposit("a", 10)).await.unwrap();
    for app in [&near, &far] {
        let again = app
            .dispatch(withdraw("a", 5))
            .command_id(id)
            .await
            .unwrap_err();
        let refusal = AccountError::InsufficientFunds { balance: 0 };
        assert_eq!(again.rejection(), Some(&refusal));
        let again = app
            .dispatch(withdraw("a", 5))
            .command_id(missing)
            .await
            .unwrap_err();
        assert!(again.is_not_found());
    }
    app_on(&store)
        .await
        .dispatch(withdraw("a", 5))
        .await
        .unwrap();
}

#[tokio::test]
async fn an_answer_without_events_is_remembered() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    let id = CommandId::new();
    let first = app.dispatch(deposit("a", 0)).command_id(id).await.unwrap();
    app.dispatch(deposit("a", 7)).await.unwrap();
    let again = app
        .dispatch(deposit("a", 0))
        .command_id(id)
        .with_state()
        .await
        .unwrap();
    assert!(again.repeated && again.events.is_empty());
    assert_eq!((again.version, again.state.balance), (first.version, 0));
}

#[tokio::test]
async fn an_expected_version_that_held_the_first_time_does_not_fail_the_repetition() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 9)).await.unwrap();
    let id = CommandId::new();
    let send = || {
        app.dispatch(withdraw("a", 1))
            .command_id(id)
            .expect_version(2)
    };
    send().await.unwrap();
    assert!(send().await.unwrap().repeated);
}

#[tokio::test]
async fn another_command_under_the_same_id_is_an_error() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    let (accepted, refused) = (CommandId::new(), CommandId::new());
    app.dispatch(deposit("a", 1))
        .command_id(accepted)
        .await
        .unwrap();
    app.dispatch(withdraw("a", 9))
        .command_id(refused)
        .await
        .unwrap_err();
    for id in [accepted, refused] {
        let error = app
            .dispatch(deposit("a", 2))
            .command_id(id)
            .await
            .unwrap_err();
        assert!(
            matches!(error, DispatchError::CommandIdReused { .. }),
            "{error}"
        );
    }
    assert_eq!(balance(&app, "a").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_under_one_id_have_one_effect() {
    let store = MemoryStore::new();
    let apps = [app_on(&store).await, app_on(&store).await];
    apps[0].dispatch(open("a")).await.unwrap();
    let id = CommandId::new();
    let dispatches = (0..100).map(|n| {
        let app = apps[n % 2].clone();
        tokio::spawn(async move { app.dispatch(deposit("a", 1)).command_id(id).await.unwrap() })
    });
    let receipts: Vec<_> = join_all(dispatches)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        receipts.iter().filter(|receipt| !receipt.repeated).count(),
        1
    );
    assert!(
        receipts
            .iter()
            .all(|receipt| receipt.version == receipts[0].version)
    );
    assert_eq!(balance(&apps[0], "a").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_id_is_never_both_refused_and_accepted() {
    for round in 0..50 {
        let store = MemoryStore::new();
        let (near, far) = (app_on(&store).await, app_on(&store).await);
        near.dispatch(open("a")).await.unwrap();
        assert!(near.dispatch(withdraw("a", 5)).await.is_err());
        assert!(far.dispatch(withdraw("a", 5)).await.is_err());
        let id = CommandId::new();
        let deposited = tokio::spawn(far.dispatch(deposit("a", 5)));
        let one = tokio::spawn(near.dispatch(withdraw("a", 5)).command_id(id));
        let two = tokio::spawn(far.dispatch(withdraw("a", 5)).command_id(id));
        deposited.await.unwrap().unwrap();
        let (one, two) = (one.await.unwrap(), two.await.unwrap());
        assert_eq!(one.is_ok(), two.is_ok(), "round {round}: {one:?} {two:?}");
        let left = if one.is_ok() { 0 } else { 5 };
        assert_eq!(balance(&near, "a").await, left);
    }
}

#[tokio::test]
async fn an_id_older_than_what_is_remembered_is_refused() {
    let app = app_on(&MemoryStore::new()).await;
    let old = CommandId::at_unix_millis(1_600_000_000_000);
    let error = app.dispatch(open("a")).command_id(old).await.unwrap_err();
    assert!(matches!(error, DispatchError::TooOld { .. }), "{error}");
    let key = CommandId::from_key(Uuid::nil(), "order-17");
    app.dispatch(open("a")).command_id(key).await.unwrap();
}

#[tokio::test]
async fn answers_are_forgotten_after_their_time() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    let id = CommandId::from_key(Uuid::nil(), "1");
    app.dispatch(deposit("a", 1))
        .command_id(id)
        .await
        .unwrap_err();
    let key = CommandKey::new(id, StreamId::new("account", "a").unwrap());
    assert!(store.find_repeat(&key).await.unwrap().is_some());

    let config = Config::new().outcomes_kept(Duration::from_nanos(1));
    let builder = App::builder(store.clone()).config(config);
    let forgetful = builder.start().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    while store.find_repeat(&key).await.unwrap().is_some() {
        assert!(Instant::now() < deadline, "the answer is not forgotten");
        tokio::task::yield_now().await;
    }
    forgetful.shutdown().await.unwrap();
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 1)).command_id(id).await.unwrap();
}

#[tokio::test]
async fn a_repetition_after_the_stream_was_deleted_says_so() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    let id = CommandId::new();
    app.dispatch(open("a")).command_id(id).await.unwrap();
    let stream = StreamId::new("account", "a").unwrap();
    store
        .delete_stream(&stream, ExpectedVersion::Any, Deletion::Soft)
        .await
        .unwrap();
    let again = app.dispatch(open("a")).command_id(id).await.unwrap_err();
    assert!(matches!(again, DispatchError::Deleted { .. }), "{again}");
}

#[derive(Debug, Clone, Serialize, Deserialize, Event)]
struct Tagged {
    count: usize,
}

#[derive(Debug, Clone, Serialize, Deserialize, Command)]
struct Tag {
    #[command(id)]
    page: String,
    tags: HashMap<String, u32>,
}

#[derive(Debug, Default, Clone, Aggregate)]
#[aggregate(category = "page", commands(Tag), events(Tagged))]
struct Page {}

impl Execute<Tag> for Page {
    fn execute(&self, command: &Tag) -> Decision<Self> {
        Ok(Tagged {
            count: command.tags.len(),
        }
        .into())
    }
}

impl Apply<Tagged> for Page {
    fn apply(&mut self, _: &Tagged) {}
}

#[tokio::test]
async fn a_payload_that_is_a_hash_map_is_the_same_command_again() {
    let store = MemoryStore::new();
    let app = App::builder(store)
        .aggregate::<Page>()
        .start()
        .await
        .unwrap();
    let id = CommandId::new();
    for round in 0..10 {
        // A new map has a new order.
        let tags = (0..20).map(|n| (format!("tag-{n}"), n)).collect();
        let receipt = app
            .dispatch(Tag {
                page: "p".into(),
                tags,
            })
            .command_id(id)
            .await
            .unwrap();
        assert_eq!(receipt.repeated, round > 0);
    }
}
