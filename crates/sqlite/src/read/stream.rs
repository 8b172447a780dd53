//! Reading one stream.

use ordain::store::{Deletion, ReadStream, StreamHead, StreamInfo, StreamPage};
use ordain::{RecordedEvent, StoreError, StreamId, StreamVersion};
use sqlx::sqlite::SqliteRow;

use super::rows::{self, Decoder, column, deletion, event_id};
use crate::readers::Readers;
use crate::{micros, sql};

pub(crate) async fn read_stream(
    readers: &Readers,
    read: &ReadStream,
) -> Result<StreamPage, StoreError> {
    let limit = i64::from(read.limit.max(1));
    let rows = if read.direction.is_forward() {
        let from = read.from.to_i64().max(1);
        let to = from.saturating_add(limit - 1);
        fetch(readers, sql::READ_STREAM_FORWARD, read, from, to).await?
    } else {
        let from = read.from.to_i64();
        fetch(readers, sql::READ_STREAM_BACKWARD, read, from, limit).await?
    };
    let (head, rows) = split_head(&rows)?;
    let Some((deleted, head)) = head else {
        return Err(not_found(&read.stream));
    };
    check_open(&read.stream, deleted, head.version)?;
    let events = events_of(&rows, read)?;
    let next = next_page(read, head.version.get());
    Ok(StreamPage { events, next, head })
}

async fn fetch(
    readers: &Readers,
    sql: &'static str,
    read: &ReadStream,
    from: i64,
    to: i64,
) -> Result<Vec<SqliteRow>, StoreError> {
    let statement = sql::statement(sql)
        .bind(read.stream.as_str())
        .bind(from)
        .bind(to);
    readers.fetch(statement).await
}

type End = (Option<Deletion>, StreamHead);

fn split_head(rows: &[SqliteRow]) -> Result<(Option<End>, Vec<&SqliteRow>), StoreError> {
    let (mut head, mut entries) = (None, Vec::with_capacity(rows.len()));
    for row in rows {
        if rows::is_head(row)? {
            head = Some(rows::stream_end(row)?);
        } else {
            entries.push(row);
        }
    }
    Ok((head, entries))
}

fn events_of(rows: &[&SqliteRow], read: &ReadStream) -> Result<Vec<RecordedEvent>, StoreError> {
    let mut decoder = Decoder::default();
    let events: Result<Vec<_>, _> = rows
        .iter()
        .map(|row| decoder.event(row, Some(&read.stream)))
        .collect();
    let mut events = events?;
    events.sort_by_key(RecordedEvent::read_version);
    if !read.direction.is_forward() {
        events.reverse();
    }
    Ok(events)
}

fn next_page(read: &ReadStream, len: u64) -> Option<StreamVersion> {
    let limit = u64::from(read.limit.max(1));
    if read.direction.is_forward() {
        let to = read.from.get().saturating_sub(1).saturating_add(limit);
        return (to < len).then(|| StreamVersion::new(to + 1));
    }
    let from = read.from.get().min(len).saturating_sub(limit);
    (from > 0).then(|| StreamVersion::new(from))
}

fn check_open(
    stream: &StreamId,
    deleted: Option<Deletion>,
    version: StreamVersion,
) -> Result<(), StoreError> {
    let stream = stream.clone();
    match deleted {
        None => Ok(()),
        Some(Deletion::Soft) => Err(StoreError::StreamDeleted { stream, version }),
        Some(Deletion::Hard) => Err(StoreError::StreamErased { stream }),
    }
}

fn not_found(stream: &StreamId) -> StoreError {
    StoreError::StreamNotFound {
        stream: stream.clone(),
    }
}

pub(crate) async fn stream_head(
    readers: &Readers,
    stream: &StreamId,
) -> Result<StreamHead, StoreError> {
    let statement = sql::statement(sql::STREAM_HEAD).bind(stream.as_str());
    let rows = readers.fetch(statement).await?;
    let Some(row) = rows.first() else {
        return Ok(StreamHead::default());
    };
    Ok(StreamHead {
        version: rows::number(row, 1)?.into(),
        entry: Some(event_id(column(row, 2)?)?),
        position: rows::number(row, 3)?.into(),
        deleted: deletion(column(row, 0)?)?.is_some(),
    })
}

pub(crate) async fn stream_info(
    readers: &Readers,
    stream: &StreamId,
) -> Result<StreamInfo, StoreError> {
    let statement = sql::statement(sql::STREAM_INFO).bind(stream.as_str());
    let rows = readers.fetch(statement).await?;
    let row = rows.first().ok_or_else(|| not_found(stream))?;
    info_of(row, stream.clone())
}

/// What a row of version, times and deletion, after the name, says about a stream.
pub(super) fn info_of(row: &SqliteRow, stream: StreamId) -> Result<StreamInfo, StoreError> {
    Ok(StreamInfo::new(
        stream,
        rows::number(row, 1)?.into(),
        micros::to_time(column(row, 2)?),
        micros::to_time(column(row, 3)?),
        deletion(column(row, 4)?)?,
    ))
}
