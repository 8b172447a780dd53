//! Owners commit what they have done.

use ordain::CommandId;
use ordain::store::{
    BlockRequest, Change, Committed, LeaseKey, Progress, Requirement, SubscriptionStore,
    TimerRecord,
};

use super::SubscriptionFixture;
use super::read_side::*;
use super::support::at_once;

/// The checkpoint moves, alone or with changes, and the next owner begins there.
pub async fn a_commit_moves_the_checkpoint<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3, 3]).await;
    let lease = leased(&store, &key, 1).await;
    let moved = commit(&store, progress(&lease, 3, 7)).await;
    assert_eq!(moved, Committed::Done);
    let with_changes = Progress {
        changes: additions(),
        ..progress(&lease, 7, 8)
    };
    assert_eq!(commit(&store, with_changes).await, Committed::Done);
    assert_eq!(positions_of(&record(&store, &key).await), [3, 8]);
    store.release(vec![lease]).await.expect("released");
    let owner = ordain::store::OwnerId::random();
    let next = claim(&store, owner, &key, [1], LONG).await;
    assert_eq!(next[0].position, 8);
}

/// The time of the last move is that of the last commit that moved something, by the store's clock.
pub async fn the_time_of_a_move_is_kept<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let lease = made_and_leased(store, "balances").await;
    let key = &lease.subscription;
    timed.pass();
    let before = now_of(store).await;
    let moved = commit(store, progress(&lease, 0, 1)).await;
    assert_eq!(moved, Committed::Done);
    let moved_at = record(store, key).await.partitions[0].moved_at;
    assert!(before <= moved_at && moved_at <= now_of(store).await);
    timed.pass();
    let stayed = Progress {
        changes: additions(),
        ..progress(&lease, 1, 1)
    };
    assert_eq!(commit(store, stayed).await, Committed::Done);
    assert_eq!(commit(store, progress(&lease, 1, 1)).await, Committed::Done);
    assert_eq!(record(store, key).await.partitions[0].moved_at, moved_at);
}

/// Who believes the partition elsewhere than it stands commits nothing.
pub async fn a_commit_from_elsewhere_does_nothing<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let key = made(&store, "balances", [3]).await;
    let lease = leased(&store, &key, 0).await;
    let before = kept(&store, &key).await;
    for (from, to) in [(2, 4), (4, 5), (0, 3)] {
        assert_refused(&store, progress(&lease, from, to), Committed::LeaseLost).await;
    }
    assert_eq!(kept(&store, &key).await, before);
}

/// Who has lost the partition commits nothing, of whatever kind.
pub async fn a_commit_under_a_lost_lease_does_nothing<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lost = made_and_leased(&store, "balances").await;
    let key = &lost.subscription;
    commit_changes(&store, &lost, additions()).await;
    store.release(vec![lost.clone()]).await.expect("released");
    let lease = leased(&store, key, 0).await;
    let before = kept(&store, key).await;
    let elsewhere = [
        lost.clone(),
        LeaseKey {
            epoch: lease.epoch + 1,
            ..lease.clone()
        },
        LeaseKey {
            partition: 1,
            ..lease.clone()
        },
        LeaseKey {
            subscription: self::key("nothing"),
            ..lease.clone()
        },
    ];
    for lease in &elsewhere {
        assert_refused(&store, progress(lease, 0, 0), Committed::LeaseLost).await;
        assert_refused(&store, progress(lease, 0, 1), Committed::LeaseLost).await;
    }
    assert_eq!(kept(&store, key).await, before);
    assert_eq!(kept(&store, &self::key("nothing")).await.counts(), [0; 4]);
}

/// Tries it without changes, and with one of every kind.
async fn assert_refused(store: &impl SubscriptionStore, progress: Progress, answer: Committed) {
    let mut changes = additions();
    changes.extend([
        Change::Unblock { key: "a".into() },
        Change::Trouble(Some(trouble())),
        Change::RemoveInstance { id: "a".into() },
        Change::RemoveOutgoingOf {
            instance: "a".into(),
        },
        Change::RemoveTimersOf {
            instance: "a".into(),
        },
    ]);
    let with_changes = Progress {
        changes,
        ..progress.clone()
    };
    assert_eq!(commit(store, progress).await, answer);
    assert_eq!(commit(store, with_changes).await, answer);
}

fn trouble() -> ordain::store::Trouble {
    ordain::store::Trouble {
        position: 1.into(),
        error: "no".to_owned(),
        attempts: 1,
        next_attempt: None,
    }
}

/// What a commit requires must be there: a command that is not settled, a timer of that generation, a block as it was
/// known.
pub async fn a_commit_needs_what_it_requires<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let key = &lease.subscription;
    let (command, timer) = (outgoing("a", 1), timer("a", "reminder"));
    let changes = vec![
        Change::PutOutgoing(command.clone()),
        Change::PutTimer(timer.clone()),
        Change::Block(dead_letter("k")),
    ];
    commit_changes(&store, &lease, changes).await;
    assert_eq!(
        store
            .request_blocks(key, Some("k"), BlockRequest::Retry)
            .await
            .expect("asked"),
        1
    );
    let before = kept(&store, key).await;
    let issued = Requirement::Outgoing(command.command_id);
    let missing = [
        Requirement::Outgoing(CommandId::new()),
        required(&timer, "a", "reminder", 2),
        required(&timer, "a", "other", 1),
        required(&timer, "b", "reminder", 1),
        as_known("k", 4, None),
        as_known("k", 4, Some(BlockRequest::Discard)),
        as_known("k", 5, Some(BlockRequest::Retry)),
        as_known("l", 4, Some(BlockRequest::Retry)),
    ];
    for missing in missing {
        for requires in [
            vec![missing.clone()],
            vec![issued.clone(), missing.clone()],
            vec![missing, issued.clone()],
        ] {
            let progress = Progress {
                requires,
                ..progress(&lease, 0, 1)
            };
            assert_refused(&store, progress, Committed::Gone).await;
        }
    }
    assert_eq!(kept(&store, key).await, before);
    let met = Progress {
        requires: vec![
            issued.clone(),
            required(&timer, "a", "reminder", 1),
            as_known("k", 4, Some(BlockRequest::Retry)),
        ],
        changes: vec![Change::RemoveOutgoing {
            command_id: command.command_id,
        }],
        ..progress(&lease, 0, 1)
    };
    assert_eq!(commit(&store, met).await, Committed::Done);
    let settled = Progress {
        requires: vec![issued],
        ..progress(&lease, 1, 2)
    };
    assert_refused(&store, settled, Committed::Gone).await;
}

fn required(timer: &TimerRecord, instance: &str, key: &str, generation: u64) -> Requirement {
    assert_eq!(timer.generation, 1);
    Requirement::Timer {
        instance: instance.to_owned(),
        key: key.to_owned(),
        generation,
    }
}

fn as_known(key: &str, position: u64, request: Option<BlockRequest>) -> Requirement {
    Requirement::Block {
        key: key.to_owned(),
        position: position.into(),
        request,
    }
}

/// What was required of another subscription is not there.
pub async fn a_commit_requires_what_is_its_own<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (one, two) = (
        made_and_leased(&store, "one").await,
        made_and_leased(&store, "two").await,
    );
    let (command, timer) = (outgoing("a", 1), timer("a", "reminder"));
    let changes = vec![
        Change::PutOutgoing(command.clone()),
        Change::PutTimer(timer.clone()),
    ];
    commit_changes(&store, &one, changes).await;
    for requirement in [
        Requirement::Outgoing(command.command_id),
        required(&timer, "a", "reminder", 1),
    ] {
        for (lease, answer) in [(&two, Committed::Gone), (&one, Committed::Done)] {
            let progress = Progress {
                requires: vec![requirement.clone()],
                ..progress(lease, 0, 0)
            };
            assert_eq!(commit(&store, progress).await, answer);
        }
    }
}

/// Changes are made in their order.
pub async fn changes_are_made_in_their_order<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    let key = &lease.subscription;
    let mut changes = removals();
    changes.extend(additions());
    commit_changes(&store, &lease, changes.clone()).await;
    assert_eq!(kept(&store, key).await.counts(), [2, 1, 1, 1]);
    changes.extend(removals());
    commit_changes(&store, &lease, changes).await;
    assert_eq!(kept(&store, key).await.counts(), [0; 4]);
}

/// What takes the additions away again.
fn removals() -> Vec<Change> {
    vec![
        Change::Unblock { key: "a".into() },
        Change::Unblock { key: "b".into() },
        Change::RemoveInstance { id: "a".into() },
        Change::RemoveOutgoingOf {
            instance: "a".into(),
        },
        Change::RemoveTimer {
            instance: "a".into(),
            key: "reminder".into(),
        },
    ]
}

/// Of several commits from the same place, one is made, whole.
pub async fn of_commits_made_at_once_one_is_made<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "transfers").await;
    for from in 0..10 {
        let answers = at_once(4, |task| {
            let store = store.clone();
            let progress = Progress {
                changes: vec![Change::PutInstance(instance(&format!("{from} {task}")))],
                ..progress(&lease, from, from + 1)
            };
            async move { commit(&store, progress).await }
        });
        let answers = answers.await;
        let made = answers.iter().filter(|answer| **answer == Committed::Done);
        assert_eq!(made.count(), 1, "{answers:?}");
        let lost = answers.iter().filter(|it| **it == Committed::LeaseLost);
        assert_eq!(lost.count(), 3, "{answers:?}");
    }
    let kept = kept(&store, &lease.subscription).await;
    assert_eq!(kept.counts(), [0, 10, 0, 0]);
}
