//! Keys whose events are passed over.

use std::collections::BTreeMap;
use std::time::Duration;

use time::OffsetDateTime;

use super::super::super::{Block, BlockKind, BlockRequest, SubscriptionKey};
use super::ReadSide;

#[derive(Debug, Default)]
pub(super) struct Blocks {
    by_key: BTreeMap<String, Block>,
}

#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) dead_letters: u64,
    pub(super) parked: u64,
    pub(super) requests: u64,
}

impl ReadSide {
    pub(super) fn blocks(&self, subscription: &SubscriptionKey, limit: u32) -> Vec<Block> {
        let Some(blocks) = self.blocks.get(subscription) else {
            return Vec::new();
        };
        let blocks = blocks.by_key.values().cloned();
        blocks.take(limit as usize).collect()
    }

    pub(super) fn block(&self, subscription: &SubscriptionKey, key: &str) -> Option<&Block> {
        self.blocks.get(subscription)?.by_key.get(key)
    }

    pub(super) fn blocks_of(&mut self, subscription: &SubscriptionKey) -> &mut Blocks {
        self.blocks.entry(subscription.clone()).or_default()
    }

    pub(super) fn request_blocks(
        &mut self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> u64 {
        let blocks = self.blocks_of(subscription).by_key.values_mut();
        let mut requested = 0;
        for block in blocks.filter(|block| is_dead_letter(block)) {
            if key.is_none_or(|key| key == block.key) {
                block.request = Some(request);
                requested += 1;
            }
        }
        requested
    }

    pub(super) fn prune_dead_letters(
        &mut self,
        subscription: &SubscriptionKey,
        age: Option<Duration>,
        now: OffsetDateTime,
    ) -> u64 {
        let Some(age) = age else {
            return 0;
        };
        let blocks = &mut self.blocks_of(subscription).by_key;
        let before = blocks.len();
        blocks.retain(|_, block| !is_dead_letter(block) || now - block.since <= age);
        (before - blocks.len()) as u64
    }
}

impl Blocks {
    pub(super) fn put(&mut self, mut block: Block, now: OffsetDateTime) {
        block.since = now;
        self.by_key.insert(block.key.clone(), block);
    }

    pub(super) fn remove(&mut self, key: &str) {
        self.by_key.remove(key);
    }

    pub(super) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for block in self.by_key.values() {
            match block.kind {
                BlockKind::DeadLetter => counts.dead_letters += 1,
                BlockKind::Parked => counts.parked += 1,
            }
            counts.requests += u64::from(block.request.is_some());
        }
        counts
    }
}

fn is_dead_letter(block: &Block) -> bool {
    block.kind == BlockKind::DeadLetter
}
