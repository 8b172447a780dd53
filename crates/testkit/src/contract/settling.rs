//! An append settles the outgoing command that it comes from.

use futures::future::BoxFuture;
use ordain::store::{
    Append, Chain, Change, Committed, Deletion, LeaseKey, Progress, Repeat, Requirement,
    SubscriptionStore,
};
use ordain::{CommandId, EventStore, StoreError, StreamVersion};

use super::SubscriptionFixture;
use super::read_side::*;
use super::support::*;

/// Makes a process manager that has issued this many commands.
async fn issued<const N: usize>(store: &impl SubscriptionStore) -> (LeaseKey, [CommandId; N]) {
    let lease = made_and_leased(store, "transfers").await;
    let commands = std::array::from_fn(|index| outgoing("a", index as u64));
    let changes = commands.clone().map(Change::PutOutgoing);
    commit_changes(store, &lease, changes.into()).await;
    (lease, commands.map(|command| command.command_id))
}

async fn unsettled(store: &impl SubscriptionStore, lease: &LeaseKey) -> Vec<CommandId> {
    let commands = store.outgoing(all_outgoing(&lease.subscription)).await;
    let commands = commands.expect("outgoing").into_iter();
    commands.map(|command| command.command_id).collect()
}

fn settling(name: &str, command_id: CommandId) -> Append {
    Append::new(account(name), ANY, deposits([1])).settling(Some(command_id))
}

/// An append that is stored settles its command, and no other.
pub async fn an_append_settles_its_command<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (lease, [first, second, third]) = issued(&store).await;
    store.append(settling("b", second)).await.expect("appended");
    assert_eq!(unsettled(&store, &lease).await, [first, third]);
    let several = Append::several(vec![
        write(&account("b"), exactly(1), deposits([2])),
        write(&account("c"), NO_STREAM, deposits([3])),
    ]);
    let several = several.settling(Some(first));
    store.append(several).await.expect("appended");
    assert_eq!(unsettled(&store, &lease).await, [third]);
    assert_eq!(amounts(&log(&store).await), [1, 2, 3]);
}

/// An append that is refused, for whatever reason, leaves its command.
pub async fn a_refused_append_settles_nothing<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (lease, [command]) = issued(&store).await;
    let used = given(&store, &account("b"), [0]).await[0];
    given(&store, &account("deleted"), [0]).await;
    let deleted = account("deleted");
    let deletion = store.delete_stream(&deleted, ANY, Deletion::Soft).await;
    deletion.expect("deleted");
    let mut duplicate = deposited(9);
    duplicate.event_id = used;
    let head = store.head().await.expect("head");
    for refused in [
        Append::new(account("b"), exactly(7), deposits([1])),
        Append::new(account("b"), NO_STREAM, deposits([1])),
        Append::new(account("b"), ANY, vec![duplicate]),
        Append::new(deleted, ANY, deposits([1])),
        Append::new(account("b"), ANY, Vec::new()),
    ] {
        let refused = refused.settling(Some(command));
        let error = store.append(refused).await.expect_err("it does not fit");
        assert!(!error.is_settled(), "{error}");
    }
    assert_eq!(unsettled(&store, &lease).await, [command]);
    assert_eq!(store.head().await.expect("head"), head);
    store
        .append(settling("b", command))
        .await
        .expect("appended");
    assert_eq!(unsettled(&store, &lease).await, []);
}

/// Without the command there is no append, even where it would not fit anyhow.
pub async fn a_settled_command_is_not_settled_again<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (_, [command]) = issued(&store).await;
    store
        .append(settling("b", command))
        .await
        .expect("appended");
    let never = CommandId::new();
    for command in [command, never] {
        for expected in [ANY, exactly(7)] {
            let append = Append::new(account("b"), expected, deposits([2]));
            let result = store.append(append.settling(Some(command))).await;
            assert_fails!(
                result,
                StoreError::Settled { command_id } if command_id == command
            );
        }
    }
    assert_eq!(amounts(&log(&store).await), [1]);
}

/// An append that comes again is recognised, though its command is settled: by itself.
pub async fn a_repeated_command_is_recognised_before_it_settles<F: SubscriptionFixture>(
    fixture: &F,
) {
    let store = fixture.open().await;
    let (_, [settled]) = issued(&store).await;
    let (key, events) = command(&account("b"), [1]);
    let append = Append::new(account("b"), ANY, events)
        .for_command(key)
        .settling(Some(settled));
    store.append(append.clone()).await.expect("appended");
    assert_fails!(
        store.append(append).await,
        StoreError::Repeated(Repeat::Events(version)) if version == StreamVersion::FIRST
    );
    assert_eq!(amounts(&log(&store).await), [1]);
}

/// Of several that send the same command at the same time, one has an effect.
pub async fn of_appends_that_settle_at_once_one_is_stored<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (lease, commands) = issued::<10>(&store).await;
    for command in commands {
        let results = at_once(4, |task| {
            let store = store.clone();
            // On streams of their own, and on one together.
            let append = settling(&(task / 2).to_string(), command);
            async move { store.append(append).await }
        });
        let mut stored = 0;
        for result in results.await {
            match result {
                Ok(_) => stored += 1,
                other => assert_fails!(other, StoreError::Settled { .. }),
            }
        }
        assert_eq!(stored, 1);
    }
    assert_eq!(unsettled(&store, &lease).await, []);
    assert_eq!(log(&store).await.len(), 10);
}

/// Of an append and a commit that settle the same command, one does.
pub async fn an_append_and_a_commit_do_not_both_settle<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (lease, commands) = issued::<20>(&store).await;
    let mut appended = 0;
    for command in commands {
        let settled = at_once(2, |task| -> BoxFuture<'static, bool> {
            let (store, lease) = (store.clone(), lease.clone());
            match task {
                0 => Box::pin(async move { settles(&store, command).await }),
                _ => Box::pin(async move { settles_by_commit(&store, &lease, command).await }),
            }
        });
        let settled = settled.await;
        assert_ne!(settled[0], settled[1], "one of them settles {command}");
        appended += usize::from(settled[0]);
    }
    assert_eq!(unsettled(&store, &lease).await, []);
    assert_eq!(log(&store).await.len(), appended);
}

async fn settles(store: &impl EventStore, command: CommandId) -> bool {
    match store.append(settling("b", command)).await {
        Ok(_) => true,
        other => {
            assert_fails!(other, StoreError::Settled { .. });
            false
        }
    }
}

async fn settles_by_commit(
    store: &impl SubscriptionStore,
    lease: &LeaseKey,
    command_id: CommandId,
) -> bool {
    let progress = Progress {
        requires: vec![Requirement::Outgoing(command_id)],
        changes: vec![Change::RemoveOutgoing { command_id }],
        ..progress(lease, 0, 0)
    };
    match commit(store, progress).await {
        Committed::Done => true,
        other => {
            assert_eq!(other, Committed::Gone);
            false
        }
    }
}

/// What rests on an append whose command was settled otherwise fails with it.
pub async fn what_rests_on_a_settled_append_fails<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let (lease, [command]) = issued(&store).await;
    let mut chain = Chain::new();
    let lost = settling("b", CommandId::new()).in_chain(chain.link());
    let next = settling("b", command).in_chain(chain.link());
    let results = in_flight(vec![store.append(lost), store.append(next)]).await;
    let [lost, next] = <[_; 2]>::try_from(results).expect("two results");
    assert_fails!(lost, StoreError::Settled { .. });
    assert_fails!(next, StoreError::PredecessorFailed);
    assert_eq!(unsettled(&store, &lease).await, [command]);
    assert_eq!(log(&store).await, []);
}
