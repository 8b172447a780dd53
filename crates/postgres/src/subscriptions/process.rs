//! Process instances, the commands they issued, and their timers.

use std::time::Duration;

use bytes::Bytes;
use ordain::store::{
    InstanceQuery, InstanceRecord, OutgoingQuery, OutgoingRecord, Share, SubscriptionKey,
    TimerQuery, TimerRecord, TimersDue,
};
use ordain::{CommandId, StoreError};
use sqlx::postgres::PgRow;

use super::{ambiguous, limit, micros, of, records};
use crate::failure;
use crate::read::{Reader, column};
use crate::session::Statement;

/// How many instances one statement forgets.
const FORGOTTEN_AT_ONCE: i32 = 10_000;

pub(super) async fn instances(
    reader: &Reader,
    subscription: &SubscriptionKey,
    ids: &[String],
) -> Result<Vec<InstanceRecord>, StoreError> {
    let statement = || of(&reader.statements.instances, subscription).bind(ids.to_vec());
    let rows = reader.readers.fetch(statement).await?;
    rows.iter().map(instance).collect()
}

pub(super) async fn list_instances(
    reader: &Reader,
    query: &InstanceQuery,
) -> Result<Vec<InstanceRecord>, StoreError> {
    let sql = match query.finished {
        None => &reader.statements.list_instances,
        Some(false) => &reader.statements.list_open_instances,
        Some(true) => &reader.statements.list_finished_instances,
    };
    let statement = || {
        of(sql, &query.subscription)
            .bind(query.after.clone())
            .bind(limit(query.limit))
    };
    let rows = reader.readers.fetch(statement).await?;
    rows.iter().map(instance).collect()
}

fn instance(row: &PgRow) -> Result<InstanceRecord, StoreError> {
    Ok(InstanceRecord {
        id: column(row, 0)?,
        bucket: records::small(row, 1)?,
        position: records::position(column(row, 2)?),
        finished: column(row, 3)?,
        data: bytes(row, 4)?,
        changed_at: column(row, 5)?,
    })
}

pub(super) async fn outgoing(
    reader: &Reader,
    query: &OutgoingQuery,
) -> Result<Vec<OutgoingRecord>, StoreError> {
    // No sequence is below 0.
    let (instance, sequence) = match &query.after {
        Some((instance, sequence)) => (instance.as_str(), sequence.cast_signed()),
        None => ("", -1),
    };
    let statement = || {
        let statement = of(&reader.statements.outgoing, &query.subscription);
        bind_share(statement, query.share)
            .bind(instance.to_owned())
            .bind(sequence)
            .bind(limit(query.limit))
    };
    let rows = reader.readers.fetch(statement).await?;
    rows.iter().map(command).collect()
}

fn command(row: &PgRow) -> Result<OutgoingRecord, StoreError> {
    Ok(OutgoingRecord {
        command_id: CommandId::from_uuid(column(row, 0)?),
        instance: column(row, 1)?,
        bucket: records::small(row, 2)?,
        sequence: column::<i64>(row, 3)?.cast_unsigned(),
        attempts: records::small(row, 4)?,
        data: bytes(row, 5)?,
    })
}

pub(super) async fn timers_due(
    reader: &Reader,
    query: &TimerQuery,
) -> Result<TimersDue, StoreError> {
    let statement = || {
        let statement = of(&reader.statements.timers_due, &query.subscription);
        bind_share(statement, query.share).bind(limit(query.limit))
    };
    let rows = reader.readers.fetch(statement).await?;
    let (clock, due) = rows
        .split_first()
        .ok_or_else(|| failure::damaged("no time"))?;
    Ok(TimersDue {
        timers: due.iter().map(timer).collect::<Result<_, _>>()?,
        now: column(clock, 6)?,
        next: column(clock, 4)?,
    })
}

pub(super) async fn timers(
    reader: &Reader,
    subscription: &SubscriptionKey,
    instance: &str,
) -> Result<Vec<TimerRecord>, StoreError> {
    let statement = || of(&reader.statements.timers, subscription).bind(instance.to_owned());
    let rows = reader.readers.fetch(statement).await?;
    rows.iter().map(timer).collect()
}

fn timer(row: &PgRow) -> Result<TimerRecord, StoreError> {
    Ok(TimerRecord {
        instance: column(row, 0)?,
        key: column(row, 1)?,
        bucket: records::small(row, 2)?,
        generation: column::<i64>(row, 3)?.cast_unsigned(),
        due_at: column(row, 4)?,
        data: bytes(row, 5)?,
    })
}

pub(super) async fn set_timer(
    reader: &Reader,
    subscription: &SubscriptionKey,
    timer: &TimerRecord,
) -> Result<(), StoreError> {
    let statement = |_| {
        of(&reader.statements.set_timer, subscription)
            .bind(timer.instance.clone())
            .bind(timer.key.clone())
            .bind(i64::from(timer.bucket))
            .bind(timer.generation.cast_signed())
            .bind(timer.due_at)
            .bind(timer.data.to_vec())
    };
    reader.readers.write(statement).await?;
    Ok(())
}

pub(super) async fn cancel_timer(
    reader: &Reader,
    subscription: &SubscriptionKey,
    instance: &str,
    key: &str,
) -> Result<bool, StoreError> {
    let statement = |_| {
        of(&reader.statements.cancel_timer, subscription)
            .bind(instance.to_owned())
            .bind(key.to_owned())
    };
    let written = reader.readers.write(statement).await?;
    match written.rows.is_empty() {
        true if written.in_doubt => Err(ambiguous()),
        none => Ok(!none),
    }
}

/// Forgets instances that ended, in parts.
pub(super) async fn prune(
    reader: &Reader,
    subscription: &SubscriptionKey,
    age: Duration,
) -> Result<u64, StoreError> {
    let statement = |_| {
        of(&reader.statements.prune_instances, subscription)
            .bind(micros(age))
            .bind(FORGOTTEN_AT_ONCE)
    };
    let mut pruned = 0;
    loop {
        let rows = reader.readers.write(statement).await?.rows;
        let row = rows.first().ok_or_else(|| failure::damaged("no answer"))?;
        let count: i32 = column(row, 0)?;
        pruned += u64::from(count.unsigned_abs());
        if count < FORGOTTEN_AT_ONCE {
            return Ok(pruned);
        }
    }
}

fn bind_share<'q>(statement: Statement<'q>, share: Share) -> Statement<'q> {
    statement
        .bind(i64::from(share.partition))
        .bind(i64::from(share.partitions.max(1)))
}

fn bytes(row: &PgRow, index: usize) -> Result<Bytes, StoreError> {
    Ok(Bytes::copy_from_slice(column(row, index)?))
}
