//! One call for all appends that wait.

use ordain::store::Refusal;
use ordain::{RecordedEvent, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::request::{Answer, Request, Verdict, Work};
use super::task::{Appender, Failure};
use crate::arrivals;
use crate::batch::{self, Caution, One, Plan, Reply, Witness};
use crate::failure::{self, Kind};

impl Appender {
    /// Carries out a batch.
    pub(super) async fn append(&mut self) -> Result<(), Failure> {
        let Some(witness) = self.witness else {
            return Ok(());
        };
        let requests = self.pending.take_batch(self.bounds());
        if requests.is_empty() {
            return Ok(());
        }
        let caution = self.optimism.caution();
        match self.send(&requests, witness, caution).await {
            Ok(Reply::CarriedOut(verdicts, witness)) => {
                self.tools.counters.committed(&verdicts);
                self.witness = witness;
                self.seen = witness;
                self.optimism.worked();
                self.batch_requests =
                    (self.batch_requests * 2).min(self.tools.settings.batch_requests_max);
                self.answer(requests, verdicts);
                Ok(())
            }
            Ok(Reply::Stale(found)) => {
                self.pending.put_back(requests);
                self.ends.forget_all();
                self.look_back(found).await
            }
            Err(failure) => self.recover(requests, failure, caution).await,
        }
    }

    fn answer(&mut self, requests: Vec<Request>, verdicts: Vec<Verdict>) {
        let appended = |verdict: &Verdict| matches!(verdict, Ok(Answer::Appended(_)));
        let grown = verdicts.iter().filter(|verdict| appended(verdict)).count();
        let events = match self.tools.announcer.takes_events() {
            true => recorded(&requests, &verdicts),
            false => Vec::new(),
        };
        for (request, verdict) in requests.into_iter().zip(verdicts) {
            match verdict {
                Ok(Answer::Busy) => self.pending.defer(request),
                verdict => request.answer(verdict),
            }
        }
        if grown > 0 {
            self.tools.announcer.committed(grown, events);
        }
    }

    async fn send(
        &mut self,
        requests: &[Request],
        witness: Witness,
        caution: Caution,
    ) -> Result<Reply, Failure> {
        let works = requests.iter().map(|request| &request.work);
        let plan = Plan::new(works.clone(), &self.ends, caution);
        let Some(one) = One::of(&plan) else {
            return self.send_all(&plan, witness, caution).await;
        };
        let row = self.send_one(&one, witness).await?;
        if !batch::is_to_be_judged(&row)? {
            return batch::read(&row, &plan, &mut self.ends).map_err(Failure::Reply);
        }
        let plan = Plan::new(works, &self.ends, Caution::Checked);
        self.send_all(&plan, witness, Caution::Checked).await
    }

    async fn send_all(
        &mut self,
        plan: &Plan<'_>,
        witness: Witness,
        caution: Caution,
    ) -> Result<Reply, Failure> {
        let statement = batch::query(
            &self.tools.statements,
            plan,
            witness,
            caution,
            self.lock_timeout_ms(),
            self.tools.settings.payload.element_type(),
        );
        let row = self
            .call_for_row(statement.map_err(Failure::Unsendable)?)
            .await?;
        batch::read(&row, plan, &mut self.ends).map_err(Failure::Reply)
    }

    /// Sends the one event of a batch, which is quicker than as an array.
    async fn send_one(&mut self, one: &One<'_>, witness: Witness) -> Result<PgRow, Failure> {
        let statement = one.query(
            &self.tools.statements.append_one,
            witness,
            self.lock_timeout_ms(),
            self.tools.settings.payload.element_type(),
        );
        Ok(self
            .call_for_row(statement.map_err(Failure::Unsendable)?)
            .await?)
    }

    /// Goes on after a call that failed. What was sent and may still come true is settled first.
    async fn recover(
        &mut self,
        mut requests: Vec<Request>,
        failure: Failure,
        caution: Caution,
    ) -> Result<(), Failure> {
        let error = match &failure {
            Failure::Statement(error) => error,
            Failure::Reply(error) => {
                self.witness = None;
                self.ends.forget_all();
                answer_unknown(requests, error);
                return Ok(());
            }
            Failure::NoConnection(_) | Failure::Unsendable(_) => {
                self.split(requests, &failure);
                return Ok(());
            }
        };
        self.take_note(error, requests.len()).await;
        if failure::is_open(error) {
            self.has_orphan = true;
            requests
                .iter_mut()
                .for_each(|request| request.in_doubt = true);
        }
        match remedy(error, caution) {
            Remedy::Split => self.split(requests, &failure),
            Remedy::Repeat => self.pending.put_back(requests),
            Remedy::Wait => {
                self.pending.put_back(requests);
                return Err(failure);
            }
        }
        Ok(())
    }

    async fn take_note(&mut self, error: &sqlx::Error, requests: usize) {
        if failure::is_timeout(error) {
            self.batch_requests = requests.div_ceil(2);
        }
        match failure::kind(error) {
            Kind::Unique { constraint } => self.note_refusal(constraint),
            Kind::Busy => self.tell_holder().await,
            _ => {}
        }
    }

    /// A version or an id was there already, so the batch is repeated thoroughly. A position never is, unless
    /// something writes events without the order lock.
    fn note_refusal(&mut self, constraint: &str) {
        if constraint == "events_position" {
            self.tools.counters.positions_collided();
            tracing::error!("something writes events without the order lock");
        }
        self.tools.counters.refused_by_index();
        if self.optimism.was_refused() {
            self.tools.counters.lost_trust();
            self.ends.forget_all();
        }
    }

    /// Only the request that is to blame fails: a batch is halved until it stands alone.
    fn split(&mut self, mut requests: Vec<Request>, failure: &Failure) {
        if requests.len() > 1 {
            self.batch_requests = requests.len().div_ceil(2);
            return self.pending.put_back(requests);
        }
        if let Some(request) = requests.pop() {
            request.answer(Err(to_blame(failure)));
        }
    }

    /// Says who holds the order lock.
    async fn tell_holder(&mut self) {
        let statement = self.tools.statements.lock_holder.query();
        match self.call(statement).await {
            Ok(rows) => {
                for row in &rows {
                    let pid: i32 = row.try_get("pid").unwrap_or_default();
                    let query: String = row.try_get("query").unwrap_or_default();
                    tracing::warn!(pid, query, "another session holds the order lock");
                }
            }
            Err(error) => tracing::debug!(%error, "the holder of the order lock is not known"),
        }
    }
}

/// The events of a batch, as they are stored now.
fn recorded(requests: &[Request], verdicts: &[Verdict]) -> Vec<RecordedEvent> {
    let mut events = Vec::new();
    for (request, verdict) in requests.iter().zip(verdicts) {
        if let (Work::Append(append), Ok(Answer::Appended(appended))) = (&request.work, verdict) {
            events.extend(arrivals::recorded(append, appended));
        }
    }
    events
}

/// How to go on after a call that failed.
enum Remedy {
    /// With the halves of the batch, until the request that is to blame stands alone.
    Split,
    /// With the same batch, at once.
    Repeat,
    /// With the same batch, after a while.
    Wait,
}

fn remedy(error: &sqlx::Error, caution: Caution) -> Remedy {
    if failure::is_open(error) {
        return Remedy::Wait;
    }
    match failure::kind(error) {
        Kind::Data | Kind::Other => Remedy::Split,
        Kind::Unavailable if failure::is_timeout(error) => Remedy::Split,
        Kind::Unique { .. } if caution != Caution::Thorough => Remedy::Repeat,
        Kind::Isolation => Remedy::Repeat,
        _ => Remedy::Wait,
    }
}

/// What the one request is told that a call failed for.
fn to_blame(failure: &Failure) -> StoreError {
    match failure {
        Failure::Statement(error) if failure::kind(error) != Kind::Data => {
            failure::store_error(error)
        }
        other => Refusal::Unstorable {
            source: other.to_string().into(),
        }
        .into(),
    }
}

/// What was carried out cannot be told.
fn answer_unknown(requests: Vec<Request>, error: &StoreError) {
    for request in requests {
        let source = error.to_string().into();
        request.answer(Err(StoreError::OutcomeUnknown { source }));
    }
}
