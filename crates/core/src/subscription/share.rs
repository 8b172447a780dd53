//! Which partitions a process should work on, and what is due when all of them stand still.

use std::collections::HashMap;

use crate::store::{
    Definition, OwnerId, Partitions, SubscriptionChange, SubscriptionRecord, SubscriptionState,
};

/// What a process should take and give back.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ShareOf {
    pub(super) wanted: Vec<u32>,
    pub(super) surplus: Vec<u32>,
}

/// The share of a process, such that all alive come to have equally many, give or take one.
pub(super) fn of(record: &SubscriptionRecord, me: OwnerId) -> ShareOf {
    let count = record.partitions.len();
    let members = (record.members as usize).max(1);
    let (least, extra) = (count / members, count % members);
    let mut held: HashMap<OwnerId, usize> = HashMap::new();
    for owner in record.partitions.iter().filter_map(|one| one.owner) {
        *held.entry(owner).or_default() += 1;
    }
    let mine = held.get(&me).copied().unwrap_or_default();
    let with_one_more = |counts: &dyn Fn(OwnerId) -> bool| {
        held.iter()
            .filter(|(owner, held)| **owner != me && **held > least && counts(**owner))
            .count()
    };
    // Of those that have one more than the others, the first by id may keep it.
    let may_keep = least + usize::from(with_one_more(&|owner| owner < me) < extra);
    let may_take = least + usize::from(with_one_more(&|_| true) < extra);
    ShareOf {
        wanted: free(record, me)
            .take(may_take.saturating_sub(mine))
            .collect(),
        surplus: own(record, me).skip(may_keep).collect(),
    }
}

fn own(record: &SubscriptionRecord, me: OwnerId) -> impl Iterator<Item = u32> {
    let partitions = record.partitions.iter();
    partitions
        .filter(move |one| one.owner == Some(me))
        .map(|one| one.partition)
}

/// Partitions that may be taken, not in the same order in every process, so that they do not all try
/// for the same.
fn free(record: &SubscriptionRecord, me: OwnerId) -> impl Iterator<Item = u32> {
    let barrier = record.definition.barrier;
    let count = record.partitions.len();
    let first = if count == 0 {
        0
    } else {
        me.0.as_u128() as usize % count
    };
    let partitions = record.partitions.iter().cycle().skip(first).take(count);
    partitions
        .filter(move |one| one.owner.is_none())
        .filter(move |one| barrier.is_none_or(|barrier| one.position < barrier.position))
        .map(|one| one.partition)
}

/// The change that replaces the partitions, if all stand at the barrier.
pub(super) fn replaced(record: &SubscriptionRecord) -> Option<SubscriptionChange> {
    let barrier = record.definition.barrier?;
    let mut partitions = record.partitions.iter();
    if !partitions.all(|one| one.position == barrier.position) {
        return None;
    }
    let positions = vec![barrier.position; barrier.partitions as usize];
    Some(SubscriptionChange {
        key: record.key.clone(),
        expected: record.generation,
        at_least: Some(barrier.position),
        definition: Definition {
            barrier: None,
            ..record.definition.clone()
        },
        partitions: Partitions::Replace(positions),
    })
}

/// The change that lets a subscription begin anew.
pub(super) fn begun_anew(record: &SubscriptionRecord) -> Option<SubscriptionChange> {
    let barrier = record.definition.barrier?;
    let positions = vec![barrier.position; barrier.partitions as usize];
    Some(SubscriptionChange {
        key: record.key.clone(),
        expected: record.generation,
        at_least: None,
        definition: Definition {
            state: SubscriptionState::Active,
            reason: None,
            barrier: None,
            ..record.definition.clone()
        },
        partitions: Partitions::Replace(positions),
    })
}
