//! Reading what stands beside the streams.

use bytes::Bytes;
use ordain::store::{CommandKey, Repeat};
use ordain::{Snapshot, StoreError, StreamId};

use super::rows::{self, column, event_id};
use crate::readers::Readers;
use crate::{failure, micros, sql};

pub(crate) async fn find_repeat(
    readers: &Readers,
    command: &CommandKey,
) -> Result<Option<Repeat>, StoreError> {
    let statement = sql::statement(sql::FIND_REPEAT)
        .bind(command.stream.as_str())
        .bind(command.id.as_uuid().as_bytes().to_vec())
        .bind(command.first_event.as_uuid().as_bytes().to_vec());
    let rows = readers.fetch(statement).await?;
    let mut repeat = None;
    for row in &rows {
        match column::<Option<&[u8]>>(row, 1)? {
            None => return Ok(Some(Repeat::Events(rows::number(row, 0)?.into()))),
            Some(data) => repeat = Some(Repeat::Outcome(Bytes::copy_from_slice(data))),
        }
    }
    Ok(repeat)
}

pub(crate) async fn read_snapshot(
    readers: &Readers,
    stream: &StreamId,
) -> Result<Snapshot, StoreError> {
    let statement = sql::statement(sql::READ_SNAPSHOT).bind(stream.as_str());
    let rows = readers.fetch(statement).await?;
    let Some(row) = rows.first() else {
        let stream = stream.clone();
        return Err(StoreError::SnapshotNotFound { stream });
    };
    Ok(Snapshot {
        stream: stream.clone(),
        version: rows::number(row, 0)?.into(),
        entry: event_id(column(row, 1)?)?,
        schema_version: column::<i64>(row, 2)?
            .try_into()
            .map_err(failure::damaged)?,
        data: Bytes::copy_from_slice(column(row, 3)?),
        taken_at: micros::to_time(column(row, 4)?),
    })
}
