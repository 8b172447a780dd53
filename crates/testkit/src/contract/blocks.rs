//! Keys that are passed over: dead letters, and what waits.

use std::time::Duration;

use ordain::store::{Block, BlockKind, BlockRequest, Change, SubscriptionKey, SubscriptionStore};

use super::SubscriptionFixture;
use super::read_side::*;

/// Blocks are kept as they were said, by key in the order of bytes, until they are freed.
pub async fn blocked_keys_are_kept<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "mails").await;
    let key = &lease.subscription;
    let said = [dead_letter("B"), parked("a"), dead_letter("é")];
    let changes = [2, 1, 0].map(|index| Change::Block(said[index].clone()));
    let before = now_of(&store).await;
    commit_changes(&store, &lease, changes.into()).await;
    let blocks = store.blocks(key, 1_000).await.expect("blocks");
    let after = now_of(&store).await;
    assert!(
        blocks
            .iter()
            .all(|block| before <= block.since && block.since <= after)
    );
    assert_eq!(timeless(blocks), said);
    assert_eq!(counts(&store, key).await, (2, 1, 0));
    let first = store.blocks(key, 2).await.expect("blocks");
    assert_eq!(timeless(first), said[..2]);

    let again = Block {
        kind: BlockKind::DeadLetter,
        position: 9.into(),
        attempts: 1,
        ..dead_letter("a")
    };
    let changes = vec![
        Change::Block(again.clone()),
        Change::Unblock { key: "B".into() },
        Change::Unblock {
            key: "unknown".into(),
        },
    ];
    commit_changes(&store, &lease, changes).await;
    let blocks = store.blocks(key, 1_000).await.expect("blocks");
    assert!(blocks[0].since >= after && blocks[1].since <= after);
    assert_eq!(timeless(blocks), [again, said[2].clone()]);
    assert_eq!(counts(&store, key).await, (2, 0, 0));
}

/// Dead letters, parked keys and requests.
async fn counts(store: &impl SubscriptionStore, key: &SubscriptionKey) -> (u64, u64, u64) {
    let record = record(store, key).await;
    (record.dead_letters, record.parked, record.requests)
}

fn timeless(mut blocks: Vec<Block>) -> Vec<Block> {
    for block in &mut blocks {
        block.since = PAST;
    }
    blocks
}

/// What is asked for reaches one dead letter or all, and never a parked key.
pub async fn requests_reach_dead_letters<F: SubscriptionFixture>(fixture: &F) {
    let store = fixture.open().await;
    let lease = made_and_leased(&store, "mails").await;
    let other = made_and_leased(&store, "letters").await;
    let key = &lease.subscription;
    let blocks = ["a", "b"].map(|key| Change::Block(dead_letter(key)));
    let blocks = [blocks.to_vec(), vec![Change::Block(parked("c"))]].concat();
    commit_changes(&store, &lease, blocks.clone()).await;
    commit_changes(&store, &other, blocks.clone()).await;
    let ask = async |one: Option<&str>, request| {
        let asked = store.request_blocks(key, one, request).await;
        asked.expect("requests can be made")
    };
    assert_eq!(ask(Some("a"), BlockRequest::Discard).await, 1);
    assert_eq!(ask(Some("c"), BlockRequest::Retry).await, 0);
    assert_eq!(ask(Some("unknown"), BlockRequest::Retry).await, 0);
    let discard = Some(BlockRequest::Discard);
    assert_eq!(requests(&store, key).await, [discard, None, None]);
    assert_eq!(counts(&store, key).await, (2, 1, 1));
    assert_eq!(ask(None, BlockRequest::Retry).await, 2);
    let retry = Some(BlockRequest::Retry);
    assert_eq!(requests(&store, key).await, [retry, retry, None]);
    assert_eq!(counts(&store, key).await, (2, 1, 2));
    // Handled in vain: what was asked is done.
    commit_changes(&store, &lease, blocks).await;
    assert_eq!(requests(&store, key).await, [None; 3]);
    assert_eq!(requests(&store, &other.subscription).await, [None; 3]);
}

async fn requests(
    store: &impl SubscriptionStore,
    key: &SubscriptionKey,
) -> Vec<Option<BlockRequest>> {
    let blocks = store.blocks(key, 1_000).await.expect("blocks");
    blocks.into_iter().map(|block| block.request).collect()
}

/// Dead letters that are old enough are removed; parked keys never.
pub async fn dead_letters_are_pruned_by_age<F: SubscriptionFixture>(fixture: &F) {
    let timed = Timed::open(fixture).await;
    let store = &timed.store;
    let lease = made_and_leased(store, "mails").await;
    let other = made_and_leased(store, "letters").await;
    let key = &lease.subscription;
    commit_changes(store, &lease, additions()).await;
    commit_changes(store, &other, additions()).await;
    let prune = async |age| {
        let pruned = store.prune(key, age, None).await;
        pruned.expect("a subscription can be pruned")
    };
    assert_eq!(prune(None).await, 0);
    assert_eq!(prune(Some(LONG)).await, 0);
    timed.pass();
    let pruned = eventually("a dead letter is old enough", async || {
        Some(prune(Some(Duration::ZERO)).await).filter(|pruned| *pruned > 0)
    });
    assert_eq!(pruned.await, 1);
    let kept = kept(store, key).await;
    assert_eq!(kept.blocks[0].kind, BlockKind::Parked);
    assert_eq!(kept.counts(), [1, 1, 1, 1]);
    let others = self::kept(store, &other.subscription).await;
    assert_eq!(others.counts(), [2, 1, 1, 1]);
}
