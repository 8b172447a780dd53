//! The keys of a partition whose events are passed over.

use std::collections::HashMap;

use super::hub::Partition;
use super::partition::bucket_of;
use crate::GlobalPosition;
use crate::store::{Block, BlockKind, SubscriptionRecord};

use crate::StoreError;

/// The keys of a partition whose events are passed over.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    by_key: HashMap<String, Block>,
    /// How many dead letters the subscription was last seen to have.
    dead_letters_seen: u64,
}

impl Blocks {
    /// Those of a partition.
    pub(crate) async fn load(partition: &Partition) -> Result<Self, StoreError> {
        let subscription = &partition.key().subscription;
        let blocks = partition.hub.store.blocks(subscription, u32::MAX).await?;
        let own = blocks
            .into_iter()
            .filter(|block| partition.holds(bucket_of(&block.key)));
        Ok(Self {
            by_key: own.map(|block| (block.key.clone(), block)).collect(),
            dead_letters_seen: partition.record.borrow().dead_letters,
        })
    }

    /// Whether something was asked for, or forgotten, that is not known here.
    pub(crate) fn may_be_outdated(&mut self, record: &SubscriptionRecord) -> bool {
        let seen = std::mem::replace(&mut self.dead_letters_seen, record.dead_letters);
        let has_fewer = record.dead_letters < seen;
        let is_alone = record.partitions.len() == 1;
        record.requests > 0
            || has_fewer
            || is_alone && record.dead_letters < self.dead_letters() as u64
    }

    /// They could not be read, and are to be at the next opportunity.
    pub(crate) fn doubt(&mut self) {
        self.dead_letters_seen = u64::MAX;
    }

    /// Whether an event at this position has to wait behind its key.
    pub(crate) fn hold(&self, key: &str, position: GlobalPosition) -> bool {
        self.by_key
            .get(key)
            .is_some_and(|block| position >= block.position)
    }

    /// The block of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Block> {
        self.by_key.get(key)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Block> {
        self.by_key.values()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// How many dead letters there are.
    pub(crate) fn dead_letters(&self) -> usize {
        let blocks = self.by_key.values();
        blocks
            .filter(|block| block.kind == BlockKind::DeadLetter)
            .count()
    }

    /// Forgets those that nothing was passed over for: from before the subscription began anew.
    pub(crate) fn forget_beyond(&mut self, position: GlobalPosition) -> Vec<String> {
        let beyond = self.by_key.extract_if(|_, block| block.position > position);
        beyond.map(|(key, _)| key).collect()
    }

    pub(crate) fn put(&mut self, block: Block) {
        self.by_key.insert(block.key.clone(), block);
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.by_key.remove(key);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    /// A dead letter that something is to be done about.
    pub(crate) fn requested(&self) -> Option<&Block> {
        self.by_key.values().find(|block| block.request.is_some())
    }
}
