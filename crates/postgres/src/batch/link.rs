//! Links as arguments of the server's function, and what the function says.

use ordain::store::Appended;
use ordain::{EventId, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::call::expected_number;
use super::verdict::{Reply, code, number, stream_refusal};
use super::witness::Witness;
use crate::appender::{Answer, Link, Verdict};
use crate::failure;
use crate::session::Statement;
use crate::sql::Sql;

/// The call that appends links.
pub(crate) fn link<'q>(
    sql: &Sql,
    link: &Link,
    generation: i64,
    lock_timeout_ms: i32,
) -> Statement<'q> {
    let uuids = |ids: &[EventId]| ids.iter().map(EventId::as_uuid).collect::<Vec<Uuid>>();
    let links = &link.links;
    sql.query()
        .bind(lock_timeout_ms)
        .bind(generation)
        .bind(links.stream.as_str().to_owned())
        .bind(expected_number(links.expected))
        .bind(uuids(&links.targets))
        .bind(uuids(&link.ids))
}

/// Reads what the function says.
pub(crate) fn read_link(row: &PgRow, link: &Link) -> Result<Reply, StoreError> {
    let read = || {
        let Some(verdict) = row.try_get("verdict")? else {
            return Ok(Reply::Stale(Witness::of_generation(
                row.try_get("generation")?,
            )));
        };
        Ok(Reply::CarriedOut(
            vec![verdict_on(verdict, row, link)?],
            None,
        ))
    };
    read().map_err(|error: sqlx::Error| failure::damaged(error))
}

fn verdict_on(verdict: i32, row: &PgRow, link: &Link) -> Result<Verdict, sqlx::Error> {
    let version: Option<i64> = row.try_get("version")?;
    let version = number(version.unwrap_or_default()).into();
    let found_id = || {
        let id: Option<Uuid> = row.try_get("found_id")?;
        Ok::<_, sqlx::Error>(EventId::from_uuid(id.unwrap_or_default()))
    };
    let links = &link.links;
    let refused = match verdict {
        code::ACCEPTED => {
            let first: i64 = row.try_get("first_position")?;
            let recorded_at: OffsetDateTime = row.try_get("recorded_at")?;
            return Ok(Ok(Answer::Appended(Appended {
                first_position: number(first).into(),
                last_position: number(first + link.ids.len() as i64 - 1).into(),
                recorded_at,
                versions: vec![version],
            })));
        }
        code::DUPLICATE => StoreError::DuplicateEvent {
            event_id: found_id()?,
        },
        code::NO_TARGET => StoreError::LinkTargetNotFound {
            event_id: found_id()?,
        },
        other => stream_refusal(other, &links.stream, links.expected, version, false),
    };
    Ok(Err(refused))
}
