//! How subscriptions stand, for people and for monitoring.

use std::time::Duration;

use serde::Serialize;
use time::OffsetDateTime;

use crate::store::{
    Block, BlockKind, BlockRequest, OwnerId, ReadAll, SubscriptionRecord, SubscriptionState,
    SubscriptionStore,
};
use crate::{EventId, GlobalPosition, StoreError};

/// How a subscription stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct SubscriptionStatus {
    /// Its name.
    pub name: String,
    /// The version of what it does.
    pub version: u32,
    /// What it is about to do.
    #[serde(serialize_with = "as_word")]
    pub state: SubscriptionState,
    /// Why it waits or gave up.
    pub reason: Option<String>,
    /// Everything up to here is handled, unwanted, or behind a dead letter.
    pub position: GlobalPosition,
    /// The end of the log.
    pub head: GlobalPosition,
    /// How many positions it is behind.
    pub lag: u64,
    /// How long the oldest event that it has not come to has been there; zero if it has come to all. Serialized
    /// as a number of seconds.
    #[serde(serialize_with = "as_seconds")]
    pub lag_time: Duration,
    /// How many processes work on it.
    pub members: u32,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// How many keys are dead-lettered.
    pub dead_letters: u64,
    /// How many keys wait for something under way.
    pub parked: u64,
}

/// How a partition stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct PartitionStatus {
    /// Which one, from 0.
    pub partition: u32,
    /// How far it has come.
    pub position: GlobalPosition,
    /// Who works on it.
    #[serde(serialize_with = "as_text")]
    pub owner: Option<OwnerId>,
    /// The number of the claim.
    pub epoch: u64,
    /// What went wrong last with the event that keeps it from going on.
    pub last_error: Option<String>,
    /// How often that event was tried.
    pub attempts: u32,
    /// When it is tried again.
    #[serde(with = "time::serde::rfc3339::option")]
    pub next_attempt: Option<OffsetDateTime>,
}

/// An ordering key whose events are passed over.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The version of the subscription that passes them over.
    pub version: u32,
    /// The ordering key.
    pub key: String,
    /// The position of the event that could not be handled; later ones of the key wait behind it.
    pub position: GlobalPosition,
    /// Its id.
    pub event_id: Option<EventId>,
    /// What went wrong.
    pub error: String,
    /// How often it was tried.
    pub attempts: u32,
    /// Since when.
    #[serde(with = "time::serde::rfc3339")]
    pub since: OffsetDateTime,
    /// Whether somebody asked for it to be retried or discarded, and that is under way.
    pub is_requested: bool,
}

pub(super) fn as_word<S: serde::Serializer>(
    state: &SubscriptionState,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(state.as_str())
}

fn as_seconds<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(time.as_secs_f64())
}

fn as_text<S: serde::Serializer>(
    owner: &Option<OwnerId>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    owner.map(|owner| owner.to_string()).serialize(serializer)
}

/// How a subscription stands against the end of the log, which is there.
pub(super) async fn status_of(
    store: &dyn SubscriptionStore,
    record: &SubscriptionRecord,
    head: GlobalPosition,
) -> Result<SubscriptionStatus, StoreError> {
    let positions = record.partitions.iter().map(|one| one.position);
    let position = positions.min().unwrap_or_default();
    let lag_time = match position < head {
        true => age_after(store, position).await?,
        false => Duration::ZERO,
    };
    Ok(SubscriptionStatus {
        name: record.key.name.to_string(),
        version: record.key.version,
        state: record.definition.state,
        reason: record.definition.reason.clone(),
        position,
        head,
        lag: head.get().saturating_sub(position.get()),
        lag_time,
        members: record.members,
        partitions: record.partitions.iter().map(partition_status).collect(),
        dead_letters: record.dead_letters,
        parked: record.parked,
    })
}

fn partition_status(partition: &crate::store::PartitionRecord) -> PartitionStatus {
    let trouble = partition.trouble.as_ref();
    PartitionStatus {
        partition: partition.partition,
        position: partition.position,
        owner: partition.owner,
        epoch: partition.epoch,
        last_error: trouble.map(|trouble| trouble.error.clone()),
        attempts: trouble.map_or(0, |trouble| trouble.attempts),
        next_attempt: trouble.and_then(|trouble| trouble.next_attempt),
    }
}

/// How old the first event after a position is.
async fn age_after(
    store: &dyn SubscriptionStore,
    position: GlobalPosition,
) -> Result<Duration, StoreError> {
    let read = ReadAll::forward();
    let mut page = store
        .read_all(read.clone().after(position).limit(1))
        .await?;
    // It may be erased.
    if page.events.is_empty() && !page.at_end {
        page = store.read_all(read.after(page.examined)).await?;
    }
    let Some(event) = page.events.first() else {
        return Ok(Duration::ZERO);
    };
    let age = OffsetDateTime::now_utc() - event.recorded_at;
    Ok(Duration::try_from(age).unwrap_or_default())
}

/// The dead letters of a subscription.
pub(super) async fn dead_letters_of(
    store: &dyn SubscriptionStore,
    record: &SubscriptionRecord,
) -> Result<Vec<DeadLetter>, StoreError> {
    let blocks = store.blocks(&record.key, u32::MAX).await?;
    let dead = blocks.into_iter().filter(is_dead_letter);
    let version = record.key.version;
    Ok(dead.map(|block| dead_letter(version, block)).collect())
}

pub(crate) fn is_dead_letter(block: &Block) -> bool {
    block.kind == BlockKind::DeadLetter
}

pub(crate) fn dead_letter(version: u32, block: Block) -> DeadLetter {
    DeadLetter {
        version,
        is_requested: matches!(
            block.request,
            Some(BlockRequest::Retry | BlockRequest::Discard)
        ),
        key: block.key,
        position: block.position,
        event_id: block.event_id,
        error: block.error,
        attempts: block.attempts,
        since: block.since,
    }
}
