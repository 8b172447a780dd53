//! Snapshots and remembered answers.

use ordain::{Snapshot, StoreError, StreamId};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use super::batch::Failure;
use super::work::{Answer, Verdict};
use crate::{micros, sql};

pub(super) async fn forget_outcomes(
    connection: &mut SqliteConnection,
    before: OffsetDateTime,
) -> Result<Verdict, Failure> {
    let done = sql::statement(sql::FORGET_OUTCOMES)
        .bind(micros::ceil(before))
        .execute(connection)
        .await?;
    Ok(Ok(Answer::Count(done.rows_affected())))
}

pub(super) async fn record_snapshot(
    connection: &mut SqliteConnection,
    snapshot: &Snapshot,
) -> Result<Verdict, Failure> {
    sql::statement(sql::RECORD_SNAPSHOT)
        .bind(snapshot.stream.as_str())
        .bind(snapshot.version.to_i64())
        .bind(snapshot.entry.as_uuid().as_bytes().to_vec())
        .bind(i64::from(snapshot.schema_version))
        .bind(&snapshot.data[..])
        .bind(micros::floor(snapshot.taken_at))
        .execute(connection)
        .await?;
    Ok(Ok(Answer::Done))
}

pub(super) async fn delete_snapshot(
    connection: &mut SqliteConnection,
    stream: &StreamId,
) -> Result<Verdict, Failure> {
    let done = sql::statement(sql::DELETE_SNAPSHOT)
        .bind(stream.as_str())
        .execute(connection)
        .await?;
    if done.rows_affected() > 0 {
        return Ok(Ok(Answer::Done));
    }
    let stream = stream.clone();
    Ok(Err(StoreError::SnapshotNotFound { stream }))
}
