//! What stands beside the streams: remembered answers and snapshots.

use bytes::Bytes;
use ordain::store::{CommandKey, Repeat};
use ordain::{Snapshot, StoreError, StreamId};
use time::OffsetDateTime;

use super::Reader;
use super::rows::{self, column, event_id};
use crate::failure;

/// How many answers one statement forgets.
const FORGOTTEN_AT_ONCE: i64 = 10_000;

pub(crate) async fn find_repeat(
    reader: &Reader,
    command: &CommandKey,
) -> Result<Option<Repeat>, StoreError> {
    let statement = || {
        let query = reader.statements.find_repeat.query();
        query.bind(command.first_event.as_uuid())
    };
    let rows = reader.readers.fetch(statement).await?;
    let mut repeat = None;
    for row in &rows {
        match column::<Option<&[u8]>>(row, 1)? {
            None => return Ok(Some(Repeat::Events(rows::number(row, 0)?.into()))),
            Some(answer) => repeat = Some(Repeat::Outcome(Bytes::copy_from_slice(answer))),
        }
    }
    Ok(repeat)
}

pub(crate) async fn forget_outcomes(
    reader: &Reader,
    before: OffsetDateTime,
) -> Result<u64, StoreError> {
    let statement = || {
        let query = reader.statements.forget_outcomes.query();
        query.bind(before).bind(FORGOTTEN_AT_ONCE)
    };
    let mut forgotten = 0;
    loop {
        let count = reader.readers.fetch(statement).await?.len();
        forgotten += count as u64;
        if (count as i64) < FORGOTTEN_AT_ONCE {
            return Ok(forgotten);
        }
    }
}

pub(crate) async fn record_snapshot(
    reader: &Reader,
    snapshot: &Snapshot,
) -> Result<(), StoreError> {
    let schema_version = i32::try_from(snapshot.schema_version).unwrap_or(i32::MAX);
    let statement = || {
        let query = reader.statements.record_snapshot.query();
        query
            .bind(snapshot.stream.as_str().to_owned())
            .bind(snapshot.version.to_i64())
            .bind(snapshot.entry.as_uuid())
            .bind(schema_version)
            .bind(snapshot.taken_at)
            .bind(snapshot.data.to_vec())
    };
    reader.readers.fetch(statement).await?;
    Ok(())
}

pub(crate) async fn read_snapshot(
    reader: &Reader,
    stream: &StreamId,
) -> Result<Snapshot, StoreError> {
    let statement = || {
        let query = reader.statements.read_snapshot.query();
        query.bind(stream.as_str().to_owned())
    };
    let rows = reader.readers.fetch(statement).await?;
    let Some(row) = rows.first() else {
        return Err(no_snapshot(stream));
    };
    Ok(Snapshot {
        stream: stream.clone(),
        version: rows::number(row, 0)?.into(),
        entry: event_id(row, 1)?,
        schema_version: column::<i32>(row, 2)?
            .try_into()
            .map_err(failure::damaged)?,
        taken_at: column(row, 3)?,
        data: Bytes::copy_from_slice(column(row, 4)?),
    })
}

pub(crate) async fn delete_snapshot(reader: &Reader, stream: &StreamId) -> Result<(), StoreError> {
    let statement = || {
        let query = reader.statements.delete_snapshot.query();
        query.bind(stream.as_str().to_owned())
    };
    if reader.readers.fetch(statement).await?.is_empty() {
        return Err(no_snapshot(stream));
    }
    Ok(())
}

fn no_snapshot(stream: &StreamId) -> StoreError {
    StoreError::SnapshotNotFound {
        stream: stream.clone(),
    }
}
