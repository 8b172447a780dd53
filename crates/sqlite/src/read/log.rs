//! Reading the log.

use ordain::store::{Filter, LogPage, ReadAll};
use ordain::{GlobalPosition, RecordedEvent, StoreError};
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::rows::{self, Decoder};
use crate::readers::Readers;
use crate::{failure, micros, sql};

pub(crate) async fn read_all(readers: &Readers, read: &ReadAll) -> Result<LogPage, StoreError> {
    let limit = read.limit.max(1);
    let rows = if read.direction.is_forward() {
        let to = read.after.plus(limit.into());
        let bounds = (read.after.to_i64(), to.to_i64());
        fetch(readers, sql::READ_ALL_FORWARD, bounds, &read.filter).await?
    } else {
        let from = GlobalPosition::new(read.after.get().saturating_sub(1));
        let bounds = (from.to_i64(), limit.into());
        fetch(readers, sql::READ_ALL_BACKWARD, bounds, &read.filter).await?
    };
    let (head, events) = split(&rows)?;
    Ok(page_of(read, head, events))
}

async fn fetch(
    readers: &Readers,
    sql: &'static str,
    (first, second): (i64, i64),
    filter: &Filter,
) -> Result<Vec<SqliteRow>, StoreError> {
    let streams: Vec<_> = filter
        .streams
        .iter()
        .map(|stream| stream.as_str())
        .collect();
    let statement = sql::statement(sql)
        .bind(first)
        .bind(second)
        .bind(filter.links)
        .bind(list(&filter.types))
        .bind(list(&filter.categories))
        .bind(list(&streams));
    readers.fetch(statement).await
}

/// A list for `json_each`; an empty one asks for nothing.
fn list<T: serde::Serialize>(wanted: &[T]) -> Option<String> {
    if wanted.is_empty() {
        return None;
    }
    serde_json::to_string(wanted).ok()
}

fn split(rows: &[SqliteRow]) -> Result<(u64, Vec<RecordedEvent>), StoreError> {
    let (mut head, mut events) = (0, Vec::with_capacity(rows.len()));
    let mut decoder = Decoder::default();
    for row in rows {
        if rows::is_head(row)? {
            head = rows::head_position(row)?;
        } else {
            events.push(decoder.event(row, None)?);
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

pub(crate) async fn head(readers: &Readers) -> Result<GlobalPosition, StoreError> {
    position(readers, sql::statement(sql::HEAD)).await
}

pub(crate) async fn position_at(
    readers: &Readers,
    time: OffsetDateTime,
) -> Result<GlobalPosition, StoreError> {
    let statement = sql::statement(sql::POSITION_AT).bind(micros::floor(time));
    position(readers, statement).await
}

async fn position(
    readers: &Readers,
    statement: sql::Statement<'_>,
) -> Result<GlobalPosition, StoreError> {
    let rows = readers.fetch(statement).await?;
    let row = rows
        .first()
        .ok_or_else(|| failure::damaged("no head of the log"))?;
    Ok(rows::number(row, 0)?.into())
}
