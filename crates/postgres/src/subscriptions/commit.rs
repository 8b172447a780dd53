//! Progress: checkpoints, and what moves with them.

use std::time::Instant;

use ordain::StoreError;
use ordain::store::{Committed, Progress};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::of;
use super::progress::Effect;
use super::records::position;
use crate::backoff::Backoff;
use crate::failure::{self, state};
use crate::read::{column, number};
use crate::session::{Statement, is_worth_repeating, unless_stored};
use crate::statements::Statements;
use crate::store::Inner;

/// A progress with an id of its own, by which it is recognised when nobody knows what became of it.
pub(super) struct Call<'p> {
    progress: &'p Progress,
    effect: Effect<'p>,
    id: Uuid,
    /// Whether it is made only in the transaction that was begun for the work.
    in_work: bool,
}

/// What became of a progress whose answer did not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Made,
    NotMade,
    /// Others have made progress since.
    Unknown,
}

impl<'p> Call<'p> {
    pub(super) fn new(progress: &'p Progress) -> Self {
        Self {
            progress,
            effect: Effect::of(progress),
            id: Uuid::now_v7(),
            in_work: false,
        }
    }

    pub(super) fn in_work(progress: &'p Progress) -> Self {
        Self {
            in_work: true,
            ..Self::new(progress)
        }
    }

    fn is_plain(&self) -> bool {
        self.progress.requires.is_empty() && self.progress.changes.is_empty()
    }

    /// What makes all of it.
    pub(super) fn statement<'q>(&self, statements: &Statements) -> Statement<'q> {
        let progress = self.progress;
        if !self.is_plain() {
            let statement = &statements.commit_progress;
            let statement = self.effect.statement(statement, progress, self.id);
            return statement.bind(self.in_work);
        }
        of(&statements.move_checkpoint, &progress.lease.subscription)
            .bind(i64::from(progress.lease.partition))
            .bind(progress.lease.epoch.cast_signed())
            .bind(progress.from.to_i64())
            .bind(progress.to.to_i64())
            .bind(self.id)
            .bind(self.in_work)
    }

    /// What the server says of it; an error undoes the transaction.
    pub(super) fn answer(
        &self,
        result: Result<Vec<PgRow>, sqlx::Error>,
    ) -> Result<Committed, sqlx::Error> {
        match result {
            Ok(rows) if rows.is_empty() && self.is_plain() => Ok(Committed::LeaseLost),
            Ok(_) => Ok(Committed::Done),
            Err(error) => refused(&error).ok_or(error),
        }
    }

    /// What became of it. Waits until it can no longer come true.
    pub(super) async fn fate(&self, store: &Inner) -> Result<Fate, StoreError> {
        let lease = &self.progress.lease;
        let statement = || {
            of(&store.statements.last_commit, &lease.subscription).bind(i64::from(lease.partition))
        };
        let rows = store.readers().fetch(statement).await?;
        match rows.first() {
            Some(row) => self.fate_by(row),
            None => Ok(Fate::NotMade),
        }
    }

    fn fate_by(&self, row: &PgRow) -> Result<Fate, StoreError> {
        let Progress {
            lease, from, to, ..
        } = self.progress;
        let last: Option<Uuid> = column(row, 2)?;
        if last == Some(self.id) {
            return Ok(Fate::Made);
        }
        // Under one epoch nobody else makes progress; and no position is returned to.
        let stands = from < to && position(column(row, 1)?) == *from;
        match stands || number(row, 0)? == lease.epoch {
            true => Ok(Fate::NotMade),
            false => Ok(Fate::Unknown),
        }
    }
}

/// What the function says by raising an error, so that nothing of its changes stays.
fn refused(error: &sqlx::Error) -> Option<Committed> {
    match &*failure::code(error) {
        state::LEASE_LOST => Some(Committed::LeaseLost),
        state::GONE => Some(Committed::Gone),
        _ => None,
    }
}

/// Makes a progress. It is sent again while it is in doubt, or other transactions get in its way: made once,
/// it is refused the second time.
pub(super) async fn commit(store: &Inner, progress: &Progress) -> Result<Committed, StoreError> {
    let call = Call::new(progress);
    let end = Instant::now() + store.settings.outage_timeout;
    let mut backoff = Backoff::default();
    let mut in_doubt = false;
    loop {
        let statement = call.statement(&store.statements);
        let failed = match store.readers().attempt(statement).await {
            Ok(result) => match call.answer(result) {
                Ok(Committed::Done) => return Ok(Committed::Done),
                Ok(refused) if in_doubt => return settle(store, &call, refused).await,
                Ok(refused) => return Ok(refused),
                Err(error) => {
                    in_doubt |= failure::is_open(&error);
                    let failed = failure::store_error(&error);
                    if !is_worth_repeating(&error) {
                        return Err(unless_stored(failed, in_doubt));
                    }
                    failed
                }
            },
            Err(unreachable) if !in_doubt => return Err(unreachable),
            Err(unreachable) => unreachable,
        };
        if Instant::now() >= end {
            return Err(unless_stored(failed, in_doubt));
        }
        tokio::time::sleep(backoff.next()).await;
    }
}

/// What a progress is told that was sent more than once, and refused the last time.
async fn settle(
    store: &Inner,
    call: &Call<'_>,
    refused: Committed,
) -> Result<Committed, StoreError> {
    let fate = call.fate(store).await;
    match fate.map_err(|error| unless_stored(error, true))? {
        Fate::Made => Ok(Committed::Done),
        Fate::NotMade => Ok(refused),
        Fate::Unknown => Err(overtaken()),
    }
}

/// Others have made progress since a commit whose answer did not come.
pub(super) fn overtaken() -> StoreError {
    StoreError::OutcomeUnknown {
        source:
            "the connection was lost during the commit, and the partition has another owner by now"
                .into(),
    }
}
