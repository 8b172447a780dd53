//! Commits of what the owner of a partition has done.

use ordain::store::{Committed, Progress, Requirement};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use super::super::batch::Failure;
use super::super::probe::ids_json;
use super::super::work::Answer;
use super::changes;
use crate::read::column;
use crate::sql::Statement;
use crate::subscriptions::{block_request, json};
use crate::{micros, sql};

pub(super) async fn commit(
    connection: &mut SqliteConnection,
    progress: &Progress,
    now: OffsetDateTime,
) -> Result<Answer, Failure> {
    if !(progress.requires.is_empty() && progress.changes.is_empty()) {
        let found = check(connection, progress).await?;
        if found != Committed::Done {
            return Ok(Answer::Committed(found));
        }
        changes::make(connection, progress, now).await?;
    }
    // Only the first statement can find the lease lost: nobody else writes since.
    let moved = of_lease(sql::MOVE_PARTITION, progress)
        .bind(progress.to.to_i64())
        .bind(micros::floor(now))
        .execute(connection)
        .await?;
    let committed = match moved.rows_affected() {
        0 => Committed::LeaseLost,
        _ => Committed::Done,
    };
    Ok(Answer::Committed(committed))
}

/// Whether the lease holds, and everything required is there. Writes nothing.
async fn check(
    connection: &mut SqliteConnection,
    progress: &Progress,
) -> Result<Committed, Failure> {
    let row = of_lease(sql::CHECK_PROGRESS, progress)
        .bind(outgoing_json(&progress.requires))
        .bind(timers_json(&progress.requires)?)
        .bind(blocks_json(&progress.requires)?)
        .fetch_one(connection)
        .await?;
    let (holds, missing) = (
        column::<bool>(&row, "holds")?,
        column::<i64>(&row, "missing")?,
    );
    Ok(match (holds, missing) {
        (false, _) => Committed::LeaseLost,
        (true, 0) => Committed::Done,
        (true, _) => Committed::Gone,
    })
}

/// A statement about a partition under a lease, at the position that is known.
fn of_lease<'a>(sql: &'static str, progress: &'a Progress) -> Statement<'a> {
    let lease = &progress.lease;
    sql::of(sql, &lease.subscription)
        .bind(i64::from(lease.partition))
        .bind(lease.epoch as i64)
        .bind(progress.from.to_i64())
}

fn outgoing_json(requires: &[Requirement]) -> String {
    let ids = requires.iter().filter_map(|required| match required {
        Requirement::Outgoing(command_id) => Some(command_id.as_uuid()),
        _ => None,
    });
    ids_json(ids.collect::<Vec<_>>().into_iter())
}

fn timers_json(requires: &[Requirement]) -> Result<String, Failure> {
    let timers = requires.iter().filter_map(|required| match required {
        Requirement::Timer {
            instance,
            key,
            generation,
        } => Some((instance, key, generation)),
        _ => None,
    });
    Ok(json(&timers.collect::<Vec<_>>())?)
}

fn blocks_json(requires: &[Requirement]) -> Result<String, Failure> {
    let blocks = requires.iter().filter_map(|required| match required {
        Requirement::Block {
            key,
            position,
            request,
        } => Some((key, position.get(), request.map(block_request))),
        _ => None,
    });
    Ok(json(&blocks.collect::<Vec<_>>())?)
}
