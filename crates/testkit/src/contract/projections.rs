//! Read models move together with checkpoints, subscriptions and events.

use ordain::store::{
    Append, Change, Committed, Progress, ProjectionStore, Requirement, SubscriptionChange,
    SubscriptionStore,
};
use ordain::{CommandId, EventStore, StoreError};

use super::read_side::*;
use super::support::*;
use super::{StoreFixture, SubscriptionFixture};

type WorkOf<F> = <<F as StoreFixture>::Store as ProjectionStore>::Work;

async fn opened<F: SubscriptionFixture>(fixture: &F) -> F::Store {
    let store = fixture.open().await;
    fixture.make_read_model(&store).await;
    store
}

/// A transaction in which a number was put.
async fn written<F: SubscriptionFixture>(
    fixture: &F,
    store: &F::Store,
    key: &str,
    number: i64,
) -> WorkOf<F> {
    let mut work = store.begin_work().await.expect("a transaction");
    let connection = F::Store::connection(&mut work);
    fixture.put(connection, key, number).await;
    work
}

/// What everybody sees.
async fn shown<F: SubscriptionFixture>(fixture: &F, store: &F::Store, key: &str) -> Option<i64> {
    let mut work = store.begin_work().await.expect("a transaction");
    fixture.get(F::Store::connection(&mut work), key).await
}

/// What a projection writes is committed with its progress.
pub async fn a_read_model_moves_with_its_checkpoint<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let lease = made_and_leased(&store, "balances").await;
    for (from, number) in [(0, 10), (1, 20)] {
        let work = written(fixture, &store, "ann", number).await;
        let progress = progress(&lease, from, from + 1);
        let committed = store.commit_work(work, progress).await;
        assert_eq!(committed.expect("committed"), Committed::Done);
        assert_eq!(shown(fixture, &store, "ann").await, Some(number));
    }
    let work = written(fixture, &store, "bob", 30).await;
    let with_changes = Progress {
        changes: additions(),
        ..progress(&lease, 2, 3)
    };
    let committed = store.commit_work(work, with_changes).await;
    assert_eq!(committed.expect("committed"), Committed::Done);
    assert_eq!(shown(fixture, &store, "ann").await, Some(20));
    assert_eq!(shown(fixture, &store, "bob").await, Some(30));
    let kept = kept(&store, &lease.subscription).await;
    assert_eq!(kept.counts(), [2, 1, 1, 1]);
    assert_eq!(positions_of(&kept.record.expect("it was made")), [3]);
}

/// A projection that has lost its partition, or misses something, has written nothing.
pub async fn a_read_model_stays_where_its_checkpoint_does<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let lost = made_and_leased(&store, "balances").await;
    let key = &lost.subscription;
    let work = written(fixture, &store, "ann", 1).await;
    let committed = store.commit_work(work, progress(&lost, 0, 1)).await;
    assert_eq!(committed.expect("committed"), Committed::Done);
    store.release(vec![lost.clone()]).await.expect("released");
    let lease = leased(&store, key, 0).await;
    let before = kept(&store, key).await;
    let missing = Progress {
        requires: vec![Requirement::Outgoing(CommandId::new())],
        ..progress(&lease, 1, 2)
    };
    for (progress, answer) in [
        (progress(&lost, 1, 2), Committed::LeaseLost),
        (progress(&lease, 0, 2), Committed::LeaseLost),
        (missing, Committed::Gone),
    ] {
        let with_changes = Progress {
            changes: additions(),
            ..progress.clone()
        };
        for progress in [progress, with_changes] {
            let work = written(fixture, &store, "ann", 2).await;
            let committed = store.commit_work(work, progress).await;
            assert_eq!(committed.expect("answered"), answer);
            assert_eq!(shown(fixture, &store, "ann").await, Some(1));
        }
    }
    assert_eq!(kept(&store, key).await, before);
}

/// A transaction sees what it has written; one that is dropped has written nothing.
pub async fn a_dropped_transaction_is_undone<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    for round in 0..5 {
        let mut work = written(fixture, &store, "ann", round).await;
        let connection = F::Store::connection(&mut work);
        assert_eq!(fixture.get(connection, "ann").await, Some(round));
        fixture.put(connection, "ann", round + 1).await;
        assert_eq!(fixture.get(connection, "ann").await, Some(round + 1));
        drop(work);
        assert_eq!(shown(fixture, &store, "ann").await, None);
    }
}

/// Who gives up waiting for a transaction holds up nobody.
pub async fn giving_up_a_transaction_holds_up_nobody<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let open = written(fixture, &store, "ann", 1).await;
    for _ in 0..3 {
        let mut waiting = Box::pin(store.begin_work());
        drop(futures::poll!(&mut waiting));
    }
    let committed = store.commit_change(open, Vec::new()).await;
    assert!(committed.expect("committed"));
    assert_eq!(shown(fixture, &store, "ann").await, Some(1));
}

/// What was written is committed alone, or with changes of subscriptions if they can be made.
pub async fn a_read_model_changes_with_its_subscription<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let key = key("balances");
    let stale = SubscriptionChange {
        at_least: Some(1.into()),
        ..change_of(&key, 1)
    };
    for (number, changes, is_made) in [
        (1, vec![], true),
        (2, vec![creation(&key, [0])], true),
        (3, vec![creation(&key, [0])], false),
        (4, vec![stale], false),
        (
            5,
            vec![change_of(&key, 1), creation(&self::key("other"), [])],
            true,
        ),
    ] {
        let before = shown(fixture, &store, "ann").await;
        let work = written(fixture, &store, "ann", number).await;
        let changed = store.commit_change(work, changes).await;
        assert_eq!(changed.expect("answered"), is_made, "change {number}");
        let after = if is_made { Some(number) } else { before };
        assert_eq!(shown(fixture, &store, "ann").await, after);
    }
    assert_eq!(record(&store, &key).await.generation, 2);
    assert!(find(&store, &self::key("other")).await.is_some());
}

/// What was written is committed with an append, whose events are there then.
pub async fn a_read_model_is_written_with_an_append<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let lease = made_and_leased(&store, "transfers").await;
    let command = outgoing("a", 1);
    let changes = vec![Change::PutOutgoing(command.clone())];
    commit_changes(&store, &lease, changes).await;
    given(&store, &account("a"), [0]).await;
    let work = written(fixture, &store, "ann", 1).await;
    let append = Append::new(account("a"), exactly(1), deposits([1]));
    let append = append.settling(Some(command.command_id));
    let appended = store.commit_append(work, append).await.expect("appended");
    assert_eq!(appended.versions, [2]);
    assert_eq!(appended.first_position, 2);
    assert_eq!(shown(fixture, &store, "ann").await, Some(1));
    assert_eq!(amounts(&log(&store).await), [0, 1]);
    assert_eq!(kept(&store, &lease.subscription).await.counts(), [0; 4]);
    given(&store, &account("a"), [2]).await;
    assert_eq!(positions(&log(&store).await), [1, 2, 3]);
}

/// With an append that is refused, what was written is undone.
pub async fn a_refused_append_undoes_what_was_written<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let (key, events) = command(&account("a"), [1]);
    let sent = Append::new(account("a"), ANY, events).for_command(key);
    store.append(sent.clone()).await.expect("appended");
    let fitting = Append::new(account("b"), ANY, deposits([2]));
    for refused in [
        sent,
        Append::new(account("a"), exactly(7), deposits([2])),
        Append::new(account("a"), ANY, Vec::new()),
        fitting.clone().settling(Some(CommandId::new())),
    ] {
        let work = written(fixture, &store, "ann", 1).await;
        let result = store.commit_append(work, refused).await;
        result.expect_err("it cannot be appended");
        assert_eq!(shown(fixture, &store, "ann").await, None);
    }
    assert_eq!(amounts(&log(&store).await), [1]);
    let work = written(fixture, &store, "ann", 1).await;
    store.commit_append(work, fitting).await.expect("appended");
    assert_eq!(shown(fixture, &store, "ann").await, Some(1));
}

/// A closed store begins no transaction.
pub async fn a_closed_store_begins_no_transaction<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    store.close().await;
    let work = store.begin_work().await.map(|_| "a transaction");
    assert_fails!(work, StoreError::Closed);
}

/// Projections of several partitions that work at the same time all get on, and nothing is lost.
pub async fn projections_work_at_the_same_time<F: SubscriptionFixture>(fixture: &F) {
    let store = opened(fixture).await;
    let key = made(&store, "balances", [0, 0, 0]).await;
    let mut projections = Vec::new();
    for partition in 0..3 {
        let lease = leased(&store, &key, partition).await;
        let name = partition.to_string();
        let store = &store;
        projections.push(async move {
            for from in 0..10 {
                let work = written(fixture, store, &name, from as i64 + 1).await;
                let committed = store.commit_work(work, progress(&lease, from, from + 1));
                assert_eq!(committed.await.expect("committed"), Committed::Done);
            }
        });
    }
    futures::future::join_all(projections).await;
    assert_eq!(positions_of(&record(&store, &key).await), [10, 10, 10]);
    for partition in ["0", "1", "2"] {
        assert_eq!(shown(fixture, &store, partition).await, Some(10));
    }
}
