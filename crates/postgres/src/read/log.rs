//! Reading the log.

use ordain::store::{LogPage, ReadAll};
use ordain::{GlobalPosition, RecordedEvent, StoreError};
use sqlx::postgres::PgRow;
use time::OffsetDateTime;

use super::Reader;
use super::rows::{self, Decoder, Kind, at};
use crate::failure;
use crate::session::Statement;

pub(crate) async fn read_all(reader: &Reader, read: &ReadAll) -> Result<LogPage, StoreError> {
    let limit = i64::from(read.limit.max(1));
    let (after, to, back) = if read.direction.is_forward() {
        let after = read.after.to_i64();
        (after, after.saturating_add(limit), None)
    } else {
        let before = GlobalPosition::new(read.after.get().saturating_sub(1));
        (0, before.to_i64(), Some(limit))
    };
    let filter = &read.filter;
    let streams: Vec<_> = filter
        .streams
        .iter()
        .map(|stream| stream.as_str().to_owned())
        .collect();
    let statement = || {
        let query = reader.statements.read_all.query();
        query
            .bind(after)
            .bind(to)
            .bind(back)
            .bind(filter.links)
            .bind(wanted(&filter.types))
            .bind(wanted(&filter.categories))
            .bind(wanted(&streams))
    };
    let rows = reader.readers.fetch(statement).await?;
    let (head, events) = split(reader, &rows)?;
    Ok(page_of(read, head, events))
}

/// A list to choose by; an empty one asks for nothing.
fn wanted(list: &[String]) -> Option<Vec<String>> {
    (!list.is_empty()).then(|| list.to_vec())
}

fn split(reader: &Reader, rows: &[PgRow]) -> Result<(u64, Vec<RecordedEvent>), StoreError> {
    let (mut head, mut events) = (0, Vec::with_capacity(rows.len()));
    let mut decoder = Decoder::new(reader.payload);
    for row in rows {
        match rows::kind(row)? {
            Kind::Head => head = rows::number(row, at::POSITION)?,
            _ => events.push(decoder.event(row, None)?),
        }
    }
    events.sort_by_key(RecordedEvent::read_position);
    Ok((head, events))
}

fn page_of(read: &ReadAll, head: u64, mut events: Vec<RecordedEvent>) -> LogPage {
    let (after, limit) = (read.after.get(), u64::from(read.limit.max(1)));
    if read.direction.is_forward() {
        let to = after.min(head).saturating_add(limit).min(head);
        return LogPage {
            events,
            examined: read.after.max(to.into()),
            at_end: to == head,
        };
    }
    events.reverse();
    let from = after.saturating_sub(1).min(head).saturating_sub(limit);
    LogPage {
        events,
        examined: GlobalPosition::new(from + 1),
        at_end: from == 0,
    }
}

pub(crate) async fn head(reader: &Reader) -> Result<GlobalPosition, StoreError> {
    position(reader, || reader.statements.head.query()).await
}

pub(crate) async fn position_at(
    reader: &Reader,
    time: OffsetDateTime,
) -> Result<GlobalPosition, StoreError> {
    position(reader, || reader.statements.position_at.query().bind(time)).await
}

async fn position<'q>(
    reader: &Reader,
    statement: impl Fn() -> Statement<'q>,
) -> Result<GlobalPosition, StoreError> {
    let rows = reader.readers.fetch(statement).await?;
    let row = rows
        .first()
        .ok_or_else(|| failure::damaged("no head of the log"))?;
    Ok(rows::number(row, 0)?.into())
}
