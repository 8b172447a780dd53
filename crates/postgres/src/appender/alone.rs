//! Requests that have a call of their own.

use ordain::store::{Deletion, StreamHead};
use ordain::{EventId, ExpectedVersion, StoreError, StreamId};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::request::{Answer, Delete, Link, Request, Verdict, Work};
use super::task::{Appender, Failure};
use crate::batch::{self, Reply, Witness, code, expected_number, number, stream_refusal};
use crate::failure::{self, Kind};

impl Appender {
    /// Carries out a request that joins no batch.
    pub(super) async fn carry_out_alone(&mut self, mut request: Request) -> Result<(), Failure> {
        let Some(witness) = self.witness else {
            self.pending.put_back(vec![request]);
            return Ok(());
        };
        match self.decide(&request, witness).await {
            Ok(Some(verdict)) => {
                self.finish(request, verdict);
                Ok(())
            }
            Ok(None) => {
                self.witness = None;
                self.ends.forget_all();
                self.pending.put_back(vec![request]);
                Ok(())
            }
            Err(Failure::Statement(error)) => {
                if failure::is_open(&error) {
                    self.has_orphan = true;
                    request.in_doubt = true;
                }
                if !matches!(
                    failure::kind(&error),
                    Kind::Busy | Kind::Retry | Kind::Unavailable | Kind::Isolation
                ) {
                    request.answer(Err(failure::store_error(&error)));
                    return Ok(());
                }
                self.pending.put_back(vec![request]);
                Err(Failure::Statement(error))
            }
            Err(other) => {
                let source = other.to_string().into();
                request.answer(Err(StoreError::OutcomeUnknown { source }));
                Ok(())
            }
        }
    }

    /// The verdict; `None` if the log was of another generation, so that nothing was done.
    async fn decide(
        &mut self,
        request: &Request,
        witness: Witness,
    ) -> Result<Option<Verdict>, Failure> {
        match &request.work {
            Work::Link(link) => self.link(link, witness).await,
            Work::Delete(delete) => self.delete(delete, witness).await,
            Work::Undelete(stream) => self.undelete(stream, witness, request.in_doubt).await,
            Work::Settle(written) => {
                let committed = self.settle_transaction(written).await?;
                Ok(Some(Ok(Answer::Found(committed))))
            }
            Work::Append(_) | Work::Outcome(_) => Ok(Some(Err(StoreError::internal(
                "a request was carried out out of place",
            )))),
        }
    }

    /// Answers a request. A hard delete has raised the generation.
    fn finish(&mut self, request: Request, verdict: Verdict) {
        if matches!(&request.work, Work::Delete(delete) if delete.deletion == Deletion::Hard) {
            self.witness = None;
            self.ends.forget_all();
        }
        let grown = verdict.is_ok() && matches!(&request.work, Work::Link(_) | Work::Delete(_));
        request.answer(verdict);
        if grown {
            self.tools.announcer.committed(1, Vec::new());
        }
    }

    async fn link(&mut self, link: &Link, witness: Witness) -> Result<Option<Verdict>, Failure> {
        let statement = batch::link(
            &self.tools.statements.link,
            link,
            witness.generation,
            self.lock_timeout_ms(),
        );
        let row = self.call_for_row(statement).await?;
        match batch::read_link(&row, link).map_err(Failure::Reply)? {
            Reply::CarriedOut(mut verdicts, _) => Ok(verdicts.pop()),
            Reply::Stale(_) => Ok(None),
        }
    }

    async fn delete(
        &mut self,
        delete: &Delete,
        witness: Witness,
    ) -> Result<Option<Verdict>, Failure> {
        self.ends.forget(&delete.stream);
        let statement = self
            .tools
            .statements
            .delete
            .query()
            .bind(self.lock_timeout_ms())
            .bind(witness.generation)
            .bind(delete.stream.as_str().to_owned())
            .bind(expected_number(delete.expected))
            .bind(delete.deletion == Deletion::Hard)
            .bind(delete.tombstone.as_uuid());
        let row = self.call_for_row(statement).await?;
        Ok(read_delete(&row, delete)?)
    }

    async fn undelete(
        &mut self,
        stream: &StreamId,
        witness: Witness,
        is_repetition: bool,
    ) -> Result<Option<Verdict>, Failure> {
        let statement = self
            .tools
            .statements
            .undelete
            .query()
            .bind(self.lock_timeout_ms())
            .bind(witness.generation)
            .bind(stream.as_str().to_owned());
        let row = self.call_for_row(statement).await?;
        Ok(read_undelete(&row, stream, is_repetition)?)
    }
}

fn read_delete(row: &PgRow, delete: &Delete) -> Result<Option<Verdict>, sqlx::Error> {
    let Some(verdict): Option<i32> = row.try_get("verdict")? else {
        return Ok(None);
    };
    let version: Option<i64> = row.try_get("version")?;
    let version = number(version.unwrap_or_default()).into();
    if verdict != code::ACCEPTED {
        let refused = stream_refusal(verdict, &delete.stream, delete.expected, version, false);
        return Ok(Some(Err(refused)));
    }
    let position: i64 = row.try_get("place")?;
    Ok(Some(Ok(Answer::Head(StreamHead {
        version,
        entry: Some(delete.tombstone),
        position: number(position).into(),
        deleted: true,
    }))))
}

fn read_undelete(
    row: &PgRow,
    stream: &StreamId,
    is_repetition: bool,
) -> Result<Option<Verdict>, sqlx::Error> {
    let Some(verdict): Option<i32> = row.try_get("verdict")? else {
        return Ok(None);
    };
    let version: Option<i64> = row.try_get("version")?;
    let version = number(version.unwrap_or_default()).into();
    let done = verdict == code::ACCEPTED || (is_repetition && verdict == code::NOT_DELETED);
    if !done {
        let refused = stream_refusal(verdict, stream, ExpectedVersion::Any, version, false);
        return Ok(Some(Err(refused)));
    }
    let entry: Option<Uuid> = row.try_get("entry")?;
    let position: Option<i64> = row.try_get("place")?;
    Ok(Some(Ok(Answer::Head(StreamHead {
        version,
        entry: entry.map(EventId::from_uuid),
        position: number(position.unwrap_or_default()).into(),
        deleted: false,
    }))))
}
