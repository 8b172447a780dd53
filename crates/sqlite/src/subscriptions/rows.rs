//! From rows to what is kept of subscriptions.

use bytes::Bytes;
use ordain::store::{
    Barrier, Block, BlockKind, BlockRequest, Claim, Definition, InstanceRecord, Lease, LeaseKey,
    OutgoingRecord, OwnerId, PartitionRecord, SubscriptionKey, SubscriptionRecord,
    SubscriptionState, TimerRecord, Trouble,
};
use ordain::{CommandId, GlobalPosition, StoreError};
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use crate::read::{column, event_id, number, uuid};
use crate::{failure, micros};

/// The subscriptions of rows that have one partition each and stand in order.
pub(crate) fn records(rows: &[SqliteRow]) -> Result<Vec<SubscriptionRecord>, StoreError> {
    let mut records: Vec<SubscriptionRecord> = Vec::new();
    for row in rows {
        let key = key(row)?;
        if records.last().is_none_or(|last| last.key != key) {
            records.push(record(row, key)?);
        }
        if let (Some(record), Some(partition)) = (records.last_mut(), partition(row)?) {
            record.partitions.push(partition);
        }
    }
    Ok(records)
}

fn key(row: &SqliteRow) -> Result<SubscriptionKey, StoreError> {
    Ok(SubscriptionKey::new(
        column(row, "name")?,
        small(row, "version")?,
    ))
}

fn record(row: &SqliteRow, key: SubscriptionKey) -> Result<SubscriptionRecord, StoreError> {
    Ok(SubscriptionRecord {
        key,
        generation: number(row, "generation")?,
        definition: definition(row)?,
        members: small(row, "members")?,
        partitions: Vec::new(),
        dead_letters: number(row, "dead_letters")?,
        parked: number(row, "parked")?,
        requests: number(row, "requests")?,
    })
}

fn definition(row: &SqliteRow) -> Result<Definition, StoreError> {
    let state: &str = column(row, "state")?;
    let replayed: Vec<u64> =
        serde_json::from_str(column(row, "replayed")?).map_err(failure::damaged)?;
    Ok(Definition {
        state: SubscriptionState::parse(state).ok_or_else(|| failure::damaged(state))?,
        reason: column(row, "reason")?,
        fingerprint: column(row, "fingerprint")?,
        replayed: replayed.into_iter().map(GlobalPosition::new).collect(),
        barrier: barrier(row)?,
    })
}

fn barrier(row: &SqliteRow) -> Result<Option<Barrier>, StoreError> {
    if column::<Option<i64>>(row, "barrier_position")?.is_none() {
        return Ok(None);
    }
    Ok(Some(Barrier {
        position: position(row, "barrier_position")?,
        partitions: small(row, "barrier_partitions")?,
    }))
}

fn partition(row: &SqliteRow) -> Result<Option<PartitionRecord>, StoreError> {
    if column::<Option<i64>>(row, "partition")?.is_none() {
        return Ok(None);
    }
    let owner: Option<&[u8]> = column(row, "owner")?;
    Ok(Some(PartitionRecord {
        partition: small(row, "partition")?,
        position: position(row, "position")?,
        epoch: number(row, "epoch")?,
        owner: owner.map(uuid).transpose()?.map(OwnerId),
        trouble: trouble(row)?,
        moved_at: time(row, "moved_at")?,
    }))
}

fn trouble(row: &SqliteRow) -> Result<Option<Trouble>, StoreError> {
    if column::<Option<i64>>(row, "trouble_position")?.is_none() {
        return Ok(None);
    }
    let next_attempt: Option<i64> = column(row, "trouble_next_attempt")?;
    Ok(Some(Trouble {
        position: position(row, "trouble_position")?,
        error: column(row, "trouble_error")?,
        attempts: small(row, "trouble_attempts")?,
        next_attempt: next_attempt.map(micros::to_time),
    }))
}

/// The lease of a partition that was just claimed.
pub(crate) fn lease(row: &SqliteRow, claim: &Claim) -> Result<Lease, StoreError> {
    Ok(Lease {
        key: LeaseKey {
            subscription: claim.subscription.clone(),
            partition: small(row, "partition")?,
            epoch: number(row, "epoch")?,
        },
        position: position(row, "position")?,
        trouble: trouble(row)?,
    })
}

pub(super) fn block(row: &SqliteRow) -> Result<Block, StoreError> {
    let id: Option<&[u8]> = column(row, "event_id")?;
    Ok(Block {
        key: column(row, "key")?,
        kind: block_kind(column(row, "kind")?)?,
        position: position(row, "position")?,
        event_id: id.map(event_id).transpose()?,
        error: column(row, "error")?,
        attempts: small(row, "attempts")?,
        since: time(row, "since")?,
        request: block_request(column(row, "request")?)?,
    })
}

fn block_kind(word: &str) -> Result<BlockKind, StoreError> {
    match word {
        "dead_letter" => Ok(BlockKind::DeadLetter),
        "parked" => Ok(BlockKind::Parked),
        other => Err(failure::damaged(other)),
    }
}

fn block_request(word: Option<&str>) -> Result<Option<BlockRequest>, StoreError> {
    match word {
        None => Ok(None),
        Some("retry") => Ok(Some(BlockRequest::Retry)),
        Some("discard") => Ok(Some(BlockRequest::Discard)),
        Some(other) => Err(failure::damaged(other)),
    }
}

pub(super) fn instance(row: &SqliteRow) -> Result<InstanceRecord, StoreError> {
    Ok(InstanceRecord {
        id: column(row, "id")?,
        bucket: small(row, "bucket")?,
        position: position(row, "position")?,
        finished: column(row, "finished")?,
        data: data(row)?,
        changed_at: time(row, "changed_at")?,
    })
}

pub(super) fn outgoing(row: &SqliteRow) -> Result<OutgoingRecord, StoreError> {
    Ok(OutgoingRecord {
        command_id: CommandId::from_uuid(uuid(column(row, "command_id")?)?),
        instance: column(row, "instance")?,
        bucket: small(row, "bucket")?,
        sequence: number(row, "sequence")?,
        attempts: small(row, "attempts")?,
        data: data(row)?,
    })
}

pub(super) fn timer(row: &SqliteRow) -> Result<TimerRecord, StoreError> {
    Ok(TimerRecord {
        instance: column(row, "instance")?,
        bucket: small(row, "bucket")?,
        key: column(row, "key")?,
        generation: number(row, "generation")?,
        due_at: time(row, "due_at")?,
        data: data(row)?,
    })
}

pub(super) fn time(row: &SqliteRow, name: &str) -> Result<OffsetDateTime, StoreError> {
    Ok(micros::to_time(column(row, name)?))
}

fn position(row: &SqliteRow, name: &str) -> Result<GlobalPosition, StoreError> {
    Ok(number(row, name)?.into())
}

fn small(row: &SqliteRow, name: &str) -> Result<u32, StoreError> {
    number(row, name)?.try_into().map_err(failure::damaged)
}

fn data(row: &SqliteRow) -> Result<Bytes, StoreError> {
    Ok(Bytes::copy_from_slice(column(row, "data")?))
}
