//! Reading one stream.

use bytes::Bytes;
use ordain::store::{
    Deletion, LoadStream, LoadedStream, ReadStream, StreamHead, StreamInfo, StreamPage,
};
use ordain::{RecordedEvent, Snapshot, StoreError, StreamId, StreamVersion};
use sqlx::postgres::PgRow;

use super::Reader;
use super::rows::{self, Decoder, Kind, at, column, deletion, event_id};

pub(crate) async fn read_stream(
    reader: &Reader,
    read: &ReadStream,
) -> Result<StreamPage, StoreError> {
    let limit = i64::from(read.limit.max(1));
    let from = read.from.to_i64();
    let (low, high, back) = if read.direction.is_forward() {
        let low = from.max(1);
        (low, low.saturating_add(limit - 1), None)
    } else {
        (1, from, Some(limit))
    };
    let statement = || {
        let query = reader.statements.read_stream.query();
        query
            .bind(read.stream.as_str().to_owned())
            .bind(low)
            .bind(high)
            .bind(back)
    };
    let rows = reader.readers.fetch(statement).await?;
    let parts = Parts::read(reader, &rows, &read.stream)?;
    let (mut events, head) = (parts.events, parts.head);
    if !read.direction.is_forward() {
        events.reverse();
    }
    let next = next_page(read, head.version.get());
    Ok(StreamPage { events, next, head })
}

pub(crate) async fn load_stream(
    reader: &Reader,
    load: &LoadStream,
) -> Result<LoadedStream, StoreError> {
    let limit = i64::from(load.limit.max(1));
    let statement = || {
        let query = reader.statements.load_stream.query();
        query
            .bind(load.stream.as_str().to_owned())
            .bind(
                i64::from(load.snapshot_schema)
                    .try_into()
                    .unwrap_or(i32::MAX),
            )
            .bind(load.until.to_i64())
            .bind(limit)
    };
    let rows = reader.readers.fetch(statement).await?;
    let parts = Parts::read(reader, &rows, &load.stream)?;
    let first = parts
        .snapshot
        .as_ref()
        .map_or(StreamVersion::FIRST, |taken| taken.version);
    let next = first.plus(load.limit.max(1).into());
    let page = StreamPage {
        events: parts.events,
        next: (next <= parts.head.version).then_some(next),
        head: parts.head,
    };
    Ok(LoadedStream {
        snapshot: parts.snapshot,
        page,
    })
}

/// What the rows of a page hold.
struct Parts {
    head: StreamHead,
    snapshot: Option<Snapshot>,
    /// By version.
    events: Vec<RecordedEvent>,
}

impl Parts {
    fn read(reader: &Reader, rows: &[PgRow], stream: &StreamId) -> Result<Self, StoreError> {
        let mut decoder = Decoder::new(reader.payload);
        let (mut head, mut snapshot) = (None, None);
        let mut events = Vec::with_capacity(rows.len());
        for row in rows {
            match rows::kind(row)? {
                Kind::Head => head = Some(end_of(row)?),
                Kind::Snapshot => snapshot = Some(snapshot_of(row, stream)?),
                Kind::Entry => events.push(decoder.event(row, Some(stream))?),
            }
        }
        let (deleted, head) = head.ok_or_else(|| not_found(stream))?;
        check_open(stream, deleted, head.version)?;
        events.sort_by_key(RecordedEvent::read_version);
        Ok(Self {
            head,
            snapshot,
            events,
        })
    }
}

fn end_of(row: &PgRow) -> Result<(Option<Deletion>, StreamHead), StoreError> {
    let deleted = deletion(column(row, at::ENTRY_VERSION)?)?;
    let head = StreamHead {
        version: rows::number(row, at::VERSION)?.into(),
        entry: Some(event_id(row, at::EVENT_ID)?),
        position: rows::number(row, at::POSITION)?.into(),
        deleted: deleted.is_some(),
    };
    Ok((deleted, head))
}

fn snapshot_of(row: &PgRow, stream: &StreamId) -> Result<Snapshot, StoreError> {
    Ok(Snapshot {
        stream: stream.clone(),
        version: rows::number(row, at::VERSION)?.into(),
        entry: event_id(row, at::EVENT_ID)?,
        schema_version: column::<i32>(row, at::SCHEMA_VERSION)?
            .try_into()
            .map_err(crate::failure::damaged)?,
        data: Bytes::copy_from_slice(column(row, at::STATE)?),
        taken_at: column(row, at::RECORDED_AT)?,
    })
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
    reader: &Reader,
    stream: &StreamId,
) -> Result<StreamHead, StoreError> {
    let statement = || {
        let query = reader.statements.stream_heads.query();
        query.bind(vec![stream.as_str().to_owned()])
    };
    let rows = reader.readers.fetch(statement).await?;
    let Some(row) = rows.first() else {
        return Ok(StreamHead::default());
    };
    if column::<Option<i64>>(row, 0)?.is_none() {
        return Ok(StreamHead::default());
    }
    Ok(StreamHead {
        version: rows::number(row, 0)?.into(),
        entry: Some(event_id(row, 1)?),
        position: rows::number(row, 2)?.into(),
        deleted: column(row, 3)?,
    })
}

pub(crate) async fn stream_info(
    reader: &Reader,
    stream: &StreamId,
) -> Result<StreamInfo, StoreError> {
    let statement = || {
        let query = reader.statements.stream_info.query();
        query.bind(stream.as_str().to_owned())
    };
    let rows = reader.readers.fetch(statement).await?;
    let Some(row) = rows.first() else {
        return Err(not_found(stream));
    };
    Ok(StreamInfo::new(
        stream.clone(),
        rows::number(row, 0)?.into(),
        column(row, 1)?,
        column(row, 2)?,
        deletion(column::<i16>(row, 3)?.into())?,
    ))
}
