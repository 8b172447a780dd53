//! One call for all appends that wait.

use ordain::StoreError;
use ordain::store::Refusal;
use sqlx::Row;

use super::request::Request;
use super::task::{Appender, Failure};
use crate::batch::{self, Caution, Plan, Reply, Witness};
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
                self.optimism.worked();
                self.batch_requests = (self.batch_requests * 2).min(self.tools.settings.batch_requests_max);
                for (request, verdict) in requests.into_iter().zip(verdicts) {
                    request.answer(verdict);
                }
                Ok(())
            }
            Ok(Reply::Stale(found)) => {
                self.pending.put_back(requests);
                self.correct(witness, found);
                Ok(())
            }
            Err(failure) => self.recover(requests, failure, caution).await,
        }
    }

    async fn send(
        &mut self,
        requests: &[Request],
        witness: Witness,
        caution: Caution,
    ) -> Result<Reply, Failure> {
        let plan = Plan::new(requests.iter().map(|request| &request.work), &self.ends, caution);
        let settings = &self.tools.settings;
        let query = batch::query(
            &self.tools.statements.append,
            &plan,
            witness,
            caution,
            self.lock_timeout_ms(),
            settings.payload.element_type(),
        );
        let row = self.call_for_row(query.map_err(Failure::Unsendable)?).await?;
        batch::read(&row, &plan, &mut self.ends).map_err(Failure::Reply)
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
                answer_unknown(requests, error);
                return Ok(());
            }
            _ => {
                self.split(requests, &failure);
                return Ok(());
            }
        };
        if failure::is_open(error) {
            self.has_orphan = true;
            requests.iter_mut().for_each(|request| request.in_doubt = true);
        }
        match failure::kind(error) {
            Kind::Data => {
                self.split(requests, &failure);
                return Ok(());
            }
            Kind::Other => {
                refuse_all(requests, error);
                return Ok(());
            }
            Kind::Unique { constraint } if caution != Caution::Thorough => {
                tracing::debug!(constraint, "versions are looked up, and the batch sent again");
                self.tools.counters.refused_by_index();
                self.pending.put_back(requests);
                if self.optimism.was_refused() {
                    self.tools.counters.lost_trust();
                    self.ends.forget_all();
                }
                return Ok(());
            }
            Kind::Unique { constraint } => {
                tracing::error!(constraint, "something writes events without the order lock");
            }
            Kind::Isolation => {
                self.pending.put_back(requests);
                return Ok(());
            }
            Kind::Busy => self.tell_holder().await,
            _ => {}
        }
        self.pending.put_back(requests);
        Err(failure)
    }

    /// Only the request that is to blame fails: a batch is halved until it stands alone.
    fn split(&mut self, mut requests: Vec<Request>, failure: &Failure) {
        if requests.len() > 1 {
            self.batch_requests = requests.len().div_ceil(2);
            return self.pending.put_back(requests);
        }
        if let Some(request) = requests.pop() {
            let source = failure.to_string().into();
            request.answer(Err(Refusal::Unstorable { source }.into()));
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

fn refuse_all(requests: Vec<Request>, error: &sqlx::Error) {
    for request in requests {
        request.answer(Err(failure::store_error(error)));
    }
}

/// What was carried out cannot be told.
fn answer_unknown(requests: Vec<Request>, error: &StoreError) {
    for request in requests {
        let source = error.to_string().into();
        request.answer(Err(StoreError::OutcomeUnknown { source }));
    }
}
