//! Soft and hard deletes.

use ordain::store::Deletion;
use ordain::{EventId, ExpectedVersion, StoreError, StreamId};
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use super::batch::Failure;
use super::decide::{Plan, check_expected};
use super::insert::Content;
use super::probe::{StreamEnd, Wanted};
use super::work::{Answer, Verdict};
use crate::options::SqliteOptions;
use crate::sql;

const OPEN: i64 = 0;
const SOFT: i64 = 1;
const HARD: i64 = 2;

pub(super) async fn delete(
    connection: &mut SqliteConnection,
    stream: &StreamId,
    expected: ExpectedVersion,
    deletion: Deletion,
    options: &SqliteOptions,
) -> Result<Verdict, Failure> {
    let mut wanted = Wanted::default();
    wanted.stream(stream);
    let mut plan = Plan::new(wanted.probe(connection, sql::PROBE).await?, options);
    let end = plan.known().stream(stream);
    if let Err(refused) = check(stream, expected, deletion, &end) {
        return Ok(Err(refused));
    }
    let recorded_at = plan.tick();
    let tombstone = std::iter::once((EventId::new(), Content::Tombstone));
    let mut end = plan.add(stream, false, recorded_at, tombstone);
    plan.into_rows().write(connection).await?;
    close(connection, stream, deletion, &end).await?;
    end.deleted = Some(deletion);
    Ok(Ok(Answer::Head(end.head())))
}

fn check(
    stream: &StreamId,
    expected: ExpectedVersion,
    deletion: Deletion,
    end: &StreamEnd,
) -> Result<(), StoreError> {
    if !end.exists() {
        return Err(StoreError::StreamNotFound {
            stream: stream.clone(),
        });
    }
    let erases_deleted = deletion == Deletion::Hard && end.deleted == Some(Deletion::Soft);
    if !erases_deleted {
        end.check_open(stream)?;
    }
    check_expected(stream, expected, end)
}

async fn close(
    connection: &mut SqliteConnection,
    stream: &StreamId,
    deletion: Deletion,
    end: &StreamEnd,
) -> Result<(), Failure> {
    let key = end.key.unwrap_or_default();
    match deletion {
        Deletion::Soft => set_deleted(connection, key, SOFT).await,
        Deletion::Hard => {
            set_deleted(connection, key, HARD).await?;
            erase(connection, stream, key, end).await
        }
    }
}

async fn set_deleted(
    connection: &mut SqliteConnection,
    key: i64,
    deleted: i64,
) -> Result<(), Failure> {
    let statement = sql::statement(sql::SET_DELETED).bind(key).bind(deleted);
    connection.execute(statement).await?;
    Ok(())
}

/// Erases all entries but the last tombstone, which keeps the name closed and the head present.
async fn erase(
    connection: &mut SqliteConnection,
    stream: &StreamId,
    key: i64,
    end: &StreamEnd,
) -> Result<(), Failure> {
    let (name, version) = (stream.as_str(), end.version as i64);
    let trace = sql::statement(sql::TRACE_ERASURE).bind(key).bind(version);
    let erase = sql::statement(sql::ERASE_EVENTS).bind(key).bind(version);
    let floor = sql::statement(sql::RAISE_FLOOR).bind(end.position as i64);
    let steps = [
        sql::statement(sql::PERMIT_ERASURE).bind(key),
        trace,
        erase,
        sql::statement(sql::END_ERASURE).bind(key),
        sql::statement(sql::ERASE_OUTCOMES).bind(name),
        sql::statement(sql::DELETE_SNAPSHOT).bind(name),
        floor,
    ];
    for step in steps {
        connection.execute(step).await?;
    }
    Ok(())
}

pub(super) async fn undelete(
    connection: &mut SqliteConnection,
    stream: &StreamId,
) -> Result<Verdict, Failure> {
    let mut wanted = Wanted::default();
    wanted.stream(stream);
    let known = wanted.probe(connection, sql::PROBE).await?;
    let mut end = known.stream(stream);
    let stream = stream.clone();
    let refused = match end.deleted {
        Some(Deletion::Soft) => {
            set_deleted(connection, end.key.unwrap_or_default(), OPEN).await?;
            end.deleted = None;
            return Ok(Ok(Answer::Head(end.head())));
        }
        Some(Deletion::Hard) => StoreError::StreamErased { stream },
        None if !end.exists() => StoreError::StreamNotFound { stream },
        None => StoreError::StreamNotDeleted { stream },
    };
    Ok(Err(refused))
}
