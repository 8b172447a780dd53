//! One transaction for everything that waits.

use ordain::StoreError;
use ordain::store::Deletion;
use sqlx::Executor;
use sqlx::sqlite::SqliteConnection;

use super::decide::{self, Plan};
use super::work::{self, Verdict, Work};
use super::{delete, keep, link, subscriptions};
use crate::failure::{self, Kind};
use crate::options::SqliteOptions;
use crate::sql;

/// Why a transaction failed as a whole.
#[derive(Debug)]
pub(super) enum Failure {
    /// A statement before the COMMIT failed: nothing is stored.
    Statement(sqlx::Error),
    /// The COMMIT failed.
    Commit(sqlx::Error),
    /// What is stored cannot be understood: nothing is stored.
    State(StoreError),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::State(error)
    }
}

impl Failure {
    /// Whether one of the requests may be to blame, so that the others would succeed without it.
    pub(super) fn is_for_one(&self) -> bool {
        match self {
            Self::Statement(error) | Self::Commit(error) => failure::kind(error) == Kind::Data,
            Self::State(_) => true,
        }
    }

    /// Whether the disk may hold, whole, what SQLite reports as not written.
    ///
    /// Without room on the disk the end of the transaction, which makes it valid, was not written.
    pub(super) fn is_open(&self) -> bool {
        let Self::Commit(error) = self else {
            return false;
        };
        !matches!(failure::kind(error), Kind::Busy | Kind::Full)
    }

    /// What is said to one of the requests, none of which is stored.
    pub(super) fn to_error(&self) -> StoreError {
        match self {
            Self::Statement(error) | Self::Commit(error) => failure::store_error(error),
            Self::State(error) => StoreError::internal(error.to_string()),
        }
    }
}

/// Carries out requests in one transaction. The verdicts hold once this has returned them.
///
/// After an error the transaction may still be open.
pub(super) async fn transact(
    connection: &mut SqliteConnection,
    works: &[&Work],
    options: &SqliteOptions,
) -> Result<Vec<Verdict>, Failure> {
    let verdicts = if works
        .first()
        .is_some_and(|work| work.is_decided_in_memory())
    {
        carry_out_all(connection, works, options, sql::BEGIN_AND_PROBE).await?
    } else {
        begin(connection).await?;
        carry_out_all(connection, works, options, sql::PROBE).await?
    };
    commit(connection).await?;
    Ok(verdicts)
}

pub(super) async fn begin(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    connection.execute(sql::BEGIN).await?;
    Ok(())
}

/// Carries out requests in a transaction that is open, and ends it: what was written before is kept only
/// if all of them hold.
pub(super) async fn finish(
    connection: &mut SqliteConnection,
    works: &[&Work],
    options: &SqliteOptions,
) -> Result<Vec<Verdict>, Failure> {
    let verdicts = carry_out_all(connection, works, options, sql::PROBE).await?;
    if verdicts.iter().all(work::holds) {
        commit(connection).await?;
    } else {
        connection.execute(sql::ROLLBACK).await?;
    }
    Ok(verdicts)
}

/// Carries out a request in a transaction that is open and stays so.
pub(crate) async fn carry_out_now(
    connection: &mut SqliteConnection,
    work: &Work,
    options: &SqliteOptions,
) -> Verdict {
    let verdicts = carry_out_all(connection, &[work], options, sql::PROBE).await;
    let verdicts = verdicts.map_err(|failure| failure.to_error())?;
    verdicts
        .into_iter()
        .next()
        .unwrap_or_else(|| Err(StoreError::internal("a request was left unanswered")))
}

async fn commit(connection: &mut SqliteConnection) -> Result<(), Failure> {
    let committed = connection.execute(sql::COMMIT).await;
    committed.map(drop).map_err(Failure::Commit)
}

/// Carries out requests in order; the first to be decided in memory are probed for by `probe`.
async fn carry_out_all(
    connection: &mut SqliteConnection,
    works: &[&Work],
    options: &SqliteOptions,
    mut probe: &'static str,
) -> Result<Vec<Verdict>, Failure> {
    let mut verdicts = Vec::with_capacity(works.len());
    let together =
        |left: &&Work, right: &&Work| left.is_decided_in_memory() && right.is_decided_in_memory();
    for part in works.chunk_by(together) {
        if part[0].is_decided_in_memory() {
            decide(connection, part, options, probe, &mut verdicts).await?;
        } else {
            verdicts.push(carry_out(connection, part[0], options).await?);
        }
        probe = sql::PROBE;
    }
    Ok(verdicts)
}

async fn decide(
    connection: &mut SqliteConnection,
    works: &[&Work],
    options: &SqliteOptions,
    probe: &'static str,
    verdicts: &mut Vec<Verdict>,
) -> Result<(), Failure> {
    let known = decide::wanted(works.iter().copied())
        .probe(connection, probe)
        .await?;
    let mut plan = Plan::new(known, options);
    verdicts.extend(works.iter().map(|work| plan.judge(work)));
    plan.into_rows().write(connection).await
}

/// Carries out a request that is not decided in memory. A refused one writes nothing.
async fn carry_out(
    connection: &mut SqliteConnection,
    work: &Work,
    options: &SqliteOptions,
) -> Result<Verdict, Failure> {
    match work {
        Work::Link(links) => link::link(connection, links, options).await,
        Work::Delete {
            stream,
            expected,
            deletion,
        } => delete::delete(connection, stream, *expected, *deletion, options).await,
        Work::Undelete(stream) => delete::undelete(connection, stream).await,
        Work::ForgetOutcomes(before) => keep::forget_outcomes(connection, *before).await,
        Work::RecordSnapshot(snapshot) => keep::record_snapshot(connection, snapshot).await,
        Work::DeleteSnapshot(stream) => keep::delete_snapshot(connection, stream).await,
        Work::Subscription(work) => {
            subscriptions::carry_out(connection, work, options.clock.now()).await
        }
        Work::Append(_) | Work::Outcome(_) => {
            Err(StoreError::internal("a request was carried out out of place").into())
        }
    }
}

/// Gives up the transaction, if there is one; whether there is none any more.
pub(super) async fn roll_back(connection: &mut SqliteConnection) -> bool {
    if connection.execute(sql::ROLLBACK).await.is_ok() {
        return true;
    }
    // SQLite rolls back by itself after some errors. Then, and only then, a transaction can begin.
    match connection.execute(sql::BEGIN).await {
        Ok(_) => connection.execute(sql::ROLLBACK).await.is_ok(),
        Err(error) => failure::kind(&error) == Kind::Busy,
    }
}

/// Makes sure that a COMMIT which failed in the middle can never come true: another one overwrites
/// what it left in the write-ahead log.
///
/// It has to be the same connection, or the log might be recovered, with what the COMMIT left in it.
pub(super) async fn settle(connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
    connection.execute(sql::BEGIN).await?;
    connection.execute(sql::TOUCH).await?;
    connection.execute(sql::COMMIT).await?;
    Ok(())
}

/// Whether streams were erased.
pub(super) fn erases(works: &[&Work], verdicts: &[Verdict]) -> bool {
    let erases = |work: &Work| {
        matches!(
            work,
            Work::Delete {
                deletion: Deletion::Hard,
                ..
            }
        )
    };
    let mut answered = works.iter().zip(verdicts);
    answered.any(|(work, verdict)| verdict.is_ok() && erases(work))
}
