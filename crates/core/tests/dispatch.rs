//! What a dispatch answers, and what it leaves behind.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod account;

use std::time::Duration;

use account::*;
use futures::StreamExt;
use futures::future::join_all;
use ordain::store::{Append, EventStoreExt, ReadStream};
use ordain::{
    App, CausationId, CommandId, Config, CorrelationId, DispatchError, EventStore, ExpectedVersion,
    LoadError, MemoryStore, NewEvent, StreamId,
};
use serde_json::json;

fn stream(id: &str) -> StreamId {
    StreamId::new("account", id).unwrap()
}

async fn foreign_deposit(store: &MemoryStore, account: &str, amount: u64) {
    let event = NewEvent::new("MoneyDeposited", json!({ "amount": amount }).to_string());
    let append = Append::new(stream(account), ExpectedVersion::StreamExists, vec![event]);
    store.append(append).await.unwrap();
}

#[tokio::test]
async fn c101_one_event_several_none_and_a_refusal() {
    let app = app_on(&MemoryStore::new()).await;
    let opened = app.dispatch(open("a")).await.unwrap();
    assert_eq!(
        (
            opened.version.get(),
            opened.position.get(),
            opened.events.len()
        ),
        (1, 1, 1)
    );

    let several = DepositAll {
        account: "a".into(),
        amounts: vec![1, 2, 3],
    };
    let receipt = app.dispatch(several).with_state().await.unwrap();
    assert_eq!(
        (
            receipt.version.get(),
            receipt.events.len(),
            receipt.state.balance
        ),
        (4, 3, 6)
    );

    let none = app.dispatch(deposit("a", 0)).with_state().await.unwrap();
    assert_eq!(
        (none.version.get(), none.events.len(), none.state.balance),
        (4, 0, 6)
    );
    assert_eq!(none.position.get(), 4);

    let refused = app.dispatch(withdraw("a", 7)).await.unwrap_err();
    assert_eq!(
        refused.rejection(),
        Some(&AccountError::InsufficientFunds { balance: 6 })
    );
}

#[tokio::test]
async fn c101_steps_see_the_state_after_earlier_steps_and_count_together_or_not_at_all() {
    let app = app_on(&MemoryStore::new()).await;
    app.dispatch(open("a")).await.unwrap();
    let exchange = |deposit, withdraw| Exchange {
        account: "a".into(),
        deposit,
        withdraw,
    };
    let refused = app.dispatch(exchange(5, 6)).await.unwrap_err();
    assert_eq!(
        refused.rejection(),
        Some(&AccountError::InsufficientFunds { balance: 5 })
    );
    assert_eq!(balance(&app, "a").await, 0);
    app.dispatch(exchange(5, 4)).await.unwrap();
    assert_eq!(balance(&app, "a").await, 1);
}

#[tokio::test]
async fn c101_a_panic_rejects_its_command_stores_nothing_and_poisons_nothing() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    for in_apply in [false, true] {
        let misbehave = Misbehave {
            account: "a".into(),
            in_apply,
        };
        let error = app.dispatch(misbehave).await.unwrap_err();
        let DispatchError::Panicked { during, message } = error else {
            panic!("{error}")
        };
        assert_eq!(during, if in_apply { "apply" } else { "execute" });
        assert_eq!(message, "told to panic");
        assert_eq!(store.head().await.unwrap(), 1);
    }
    app.dispatch(deposit("a", 1)).await.unwrap();
    assert_eq!(balance(&app, "a").await, 1);
}

#[tokio::test]
async fn existence_is_checked_before_the_command_is_executed() {
    let app = app_on(&MemoryStore::new()).await;
    assert!(
        app.dispatch(deposit("a", 1))
            .await
            .unwrap_err()
            .is_not_found()
    );
    app.dispatch(open("a")).await.unwrap();
    assert!(
        app.dispatch(open("a"))
            .await
            .unwrap_err()
            .is_already_exists()
    );
}

#[tokio::test]
async fn d12_an_id_that_cannot_name_a_stream_is_an_error() {
    let app = app_on(&MemoryStore::new()).await;
    for id in ["", " ", "a\0b"] {
        let error = app.dispatch(open(id)).await.unwrap_err();
        assert!(
            matches!(
                error,
                DispatchError::InvalidId {
                    category: "account",
                    ..
                }
            ),
            "{error}"
        );
        assert!(error.is_invalid());
    }
}

#[tokio::test]
async fn an_aggregate_that_is_not_registered_is_an_error() {
    let app = App::builder(MemoryStore::new()).start().await.unwrap();
    let error = app.dispatch(open("a")).await.unwrap_err();
    assert!(matches!(
        error,
        DispatchError::NotRegistered {
            category: "account"
        }
    ));
}

#[tokio::test]
async fn c106_what_the_caller_says_is_stored_with_every_event() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    let (correlation, causation) = (CorrelationId::new(), CausationId::from(CommandId::new()));
    let at = time::OffsetDateTime::UNIX_EPOCH;
    app.dispatch(open("a"))
        .actor("teller-7")
        .tenant("main")
        .correlation_id(correlation)
        .causation_id(causation)
        .occurred_at(at)
        .metadata("branch", 12)
        .await
        .unwrap();
    let plain = app.dispatch(deposit("a", 1)).await.unwrap();
    app.dispatch(deposit("a", 1))
        .without_causation()
        .await
        .unwrap();

    let events = store
        .read_stream(ReadStream::forward(stream("a")))
        .await
        .unwrap()
        .events;
    let metadata = &events[0].metadata;
    assert_eq!(metadata.actor.as_deref(), Some("teller-7"));
    assert_eq!(metadata.tenant.as_deref(), Some("main"));
    assert_eq!(metadata.occurred_at, Some(at));
    assert_eq!(metadata.custom["branch"], 12);
    assert_eq!(
        (events[0].correlation_id, events[0].causation_id),
        (Some(correlation), Some(causation))
    );
    assert_eq!(events[1].correlation_id, Some(plain.command_id.into()));
    assert_eq!(events[1].causation_id, Some(plain.command_id.into()));
    assert_eq!(events[2].causation_id, None);
}

#[tokio::test]
async fn c101_a_conflict_is_retried_on_the_new_state() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    foreign_deposit(&store, "a", 5).await;
    let receipt = app.dispatch(deposit("a", 1)).with_state().await.unwrap();
    assert_eq!(
        (
            receipt.retries,
            receipt.version.get(),
            receipt.state.balance
        ),
        (1, 3, 6)
    );
}

#[tokio::test]
async fn c101_a_conflict_after_the_last_retry_says_what_happened_in_between() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    foreign_deposit(&store, "a", 5).await;
    let error = app.dispatch(deposit("a", 1)).retries(0).await.unwrap_err();
    let DispatchError::Conflict(conflict) = error else {
        panic!("{error}")
    };
    assert_eq!(conflict.expected, ExpectedVersion::exact(1));
    assert_eq!(
        (
            conflict.actual.get(),
            conflict.retries,
            conflict.events.len()
        ),
        (2, 0, 1)
    );
    assert_eq!(conflict.events[0].event_type, "MoneyDeposited");
}

#[tokio::test]
async fn a_refusal_on_a_stale_state_is_not_given() {
    let store = MemoryStore::new();
    let (near, far) = (app_on(&store).await, app_on(&store).await);
    near.dispatch(open("a")).await.unwrap();
    assert!(
        near.dispatch(withdraw("a", 5))
            .await
            .unwrap_err()
            .is_rejected()
    );
    far.dispatch(deposit("a", 5)).await.unwrap();
    near.dispatch(withdraw("a", 5)).await.unwrap();
    assert_eq!(balance(&far, "a").await, 0);
}

#[tokio::test]
async fn a_version_that_the_caller_expects_must_hold_or_the_change_be_tolerated() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    app.dispatch(deposit("a", 5))
        .expect_version(1)
        .await
        .unwrap();
    let error = app
        .dispatch(withdraw("a", 1))
        .expect_version(1)
        .await
        .unwrap_err();
    let DispatchError::Conflict(conflict) = error else {
        panic!("{error}")
    };
    assert_eq!(
        (conflict.expected, conflict.actual.get()),
        (ExpectedVersion::exact(1), 2)
    );
    assert_eq!(conflict.events.len(), 1);
    app.dispatch(deposit("a", 1))
        .expect_version(1)
        .await
        .unwrap();
    let ahead = app
        .dispatch(deposit("a", 1))
        .expect_version(9)
        .await
        .unwrap_err();
    assert!(ahead.is_conflict());
}

#[tokio::test]
async fn a_deadline_that_has_passed_stops_the_command_before_its_append() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    let late = app.dispatch(deposit("a", 1)).within(Duration::ZERO).await;
    assert!(matches!(late, Err(DispatchError::DeadlinePassed)));
    assert_eq!(store.head().await.unwrap(), 1);
    app.dispatch(deposit("a", 1))
        .within(Duration::from_secs(60))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_on_one_aggregate_run_in_order_and_all_take_effect() {
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    let dispatches = (0..1_000).map(|_| tokio::spawn(app.dispatch(deposit("a", 1))));
    let mut versions: Vec<_> = join_all(dispatches)
        .await
        .into_iter()
        .map(|receipt| receipt.unwrap().unwrap().version.get())
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..=1_001).collect::<Vec<_>>());
    assert_eq!(balance(&app, "a").await, 1_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_processes_on_one_aggregate_stay_correct() {
    let store = MemoryStore::new();
    let apps = [app_on(&store).await, app_on(&store).await];
    apps[0].dispatch(open("a")).await.unwrap();
    let config_retries = 10_000;
    let dispatches = (0..400).map(|n| {
        let app = apps[n % 2].clone();
        tokio::spawn(async move {
            app.dispatch(deposit("a", 2))
                .retries(config_retries)
                .await
                .unwrap();
            app.dispatch(withdraw("a", 1))
                .retries(config_retries)
                .await
                .unwrap();
        })
    });
    for done in join_all(dispatches).await {
        done.unwrap();
    }
    assert_eq!(balance(&apps[0], "a").await, 400);
    assert_eq!(balance(&apps[1], "a").await, 400);
    use futures::TryStreamExt;
    let events: Vec<_> = store
        .stream(ReadStream::forward(stream("a")))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(events.len(), 801);
}

#[tokio::test]
async fn too_many_waiting_commands_are_refused_as_overload() {
    let config = Config::new().queue_max(2).pipeline_depth(1);
    let app = App::builder(MemoryStore::new())
        .aggregate::<Account>()
        .config(config)
        .start()
        .await
        .unwrap();
    let answers = join_all((0..10).map(|_| app.dispatch(open("a")))).await;
    let overloaded = |answer: &&Result<_, DispatchError<_>>| {
        matches!(answer, Err(DispatchError::Overloaded { .. }))
    };
    assert_eq!(answers.iter().filter(overloaded).count(), 8);
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1);
}

#[tokio::test]
async fn dispatch_by_name() {
    let app = app_on(&MemoryStore::new()).await;
    let body = json!({ "account": "a", "owner": "Ann" });
    let receipt = app
        .dispatch_json("OpenAccount", body)
        .actor("web")
        .await
        .unwrap();
    assert_eq!(receipt.events[0].event_type, "AccountOpened");
    assert_eq!(receipt.events[0].data, json!({ "owner": "Ann" }));

    let unknown = app.dispatch_json("Open", json!({})).await.unwrap_err();
    assert!(unknown.to_string().contains("OpenAccount"), "{unknown}");
    let malformed = app
        .dispatch_json("Deposit", json!({ "account": "a" }))
        .await
        .unwrap_err();
    assert!(matches!(malformed, DispatchError::MalformedCommand { .. }) && malformed.is_invalid());
    assert!(malformed.to_string().contains("amount"), "{malformed}");

    let body = json!({ "account": "a", "amount": 5 });
    let refused = app.dispatch_json("Withdraw", body).await.unwrap_err();
    let rejection = refused.rejection().unwrap();
    assert_eq!(
        rejection.downcast_ref::<AccountError>(),
        Some(&AccountError::InsufficientFunds { balance: 0 })
    );
    assert_eq!(
        rejection.to_json(),
        &json!({ "InsufficientFunds": { "balance": 0 } })
    );
}

#[tokio::test]
async fn a_deleted_stream_takes_no_commands() {
    use ordain::store::Deletion;
    let store = MemoryStore::new();
    let app = app_on(&store).await;
    app.dispatch(open("a")).await.unwrap();
    store
        .delete_stream(&stream("a"), ExpectedVersion::Any, Deletion::Soft)
        .await
        .unwrap();
    for _ in 0..2 {
        let error = app.dispatch(deposit("a", 1)).await.unwrap_err();
        assert!(matches!(error, DispatchError::Deleted { .. }), "{error}");
    }
    assert!(
        app.load::<Account>(&"a".to_owned())
            .await
            .unwrap_err()
            .is_not_found()
    );
    store.undelete_stream(&stream("a")).await.unwrap();
    let receipt = app.dispatch(deposit("a", 1)).await.unwrap();
    assert_eq!(receipt.version.get(), 3);
}

#[tokio::test]
async fn a_shut_down_app_takes_no_commands() {
    let app = app_on(&MemoryStore::new()).await;
    app.dispatch(open("a")).await.unwrap();
    assert!(app.health().is_ready());
    app.shutdown().await.unwrap();
    assert!(!app.health().is_live());
    let error = app.dispatch(deposit("a", 1)).await.unwrap_err();
    assert!(matches!(error, DispatchError::ShuttingDown));
    app.shutdown().await.unwrap();
}

#[tokio::test]
async fn commands_repeated_in_a_row_change_nothing_and_fresh_ones_among_them_count() {
    let store = MemoryStore::new();
    let ids: Vec<_> = (0..6).map(|_| CommandId::new()).collect();
    let app = app_on(&store).await;
    app.dispatch(open("a")).command_id(ids[0]).await.unwrap();
    for id in &ids[1..4] {
        app.dispatch(deposit("a", 1)).command_id(*id).await.unwrap();
    }
    let refused = app.dispatch(withdraw("a", 9)).command_id(ids[4]).await;
    assert!(refused.unwrap_err().is_rejected());

    let app = app_on(&store).await;
    let again = app.dispatch(open("a")).command_id(ids[0]).await;
    assert!(again.unwrap().repeated);
    for (id, version) in ids[1..4].iter().zip(2..) {
        let again = app.dispatch(deposit("a", 1)).command_id(*id).await.unwrap();
        assert!(again.repeated);
        assert_eq!(again.version, version);
    }
    let fresh = app.dispatch(deposit("a", 9)).command_id(ids[5]).await;
    assert!(!fresh.unwrap().repeated);
    let again = app.dispatch(withdraw("a", 9)).command_id(ids[4]).await;
    let remembered = AccountError::InsufficientFunds { balance: 3 };
    assert_eq!(again.unwrap_err().rejection(), Some(&remembered));
    assert_eq!(balance(&app, "a").await, 12);
}

#[tokio::test]
async fn the_history_of_nothing_is_that_it_was_not_found() {
    let app = app_on(&MemoryStore::new()).await;
    let mut history = app.history::<Account>(&"a".to_owned());
    let first = history.next().await.unwrap();
    assert!(matches!(first, Err(LoadError::NotFound { .. })));
    assert!(history.next().await.is_none());
}

#[tokio::test]
async fn what_nothing_can_come_of_is_not_scheduled() {
    let after = Duration::from_secs(60);
    let app = app_on(&MemoryStore::new()).await;
    let blank = app.schedule(deposit("", 1)).after(after).await;
    let said = blank.unwrap_err().to_string();
    assert_eq!(said, "`` cannot be the id of a `account`: the id is blank");
    let without = App::builder(MemoryStore::new()).start().await.unwrap();
    let unknown = without.schedule(deposit("a", 1)).after(after).await;
    let said = unknown.unwrap_err().to_string();
    assert!(said.contains("`account` is not registered"), "{said}");
    without.shutdown().await.unwrap();
}
