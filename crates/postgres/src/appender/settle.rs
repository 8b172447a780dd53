//! What was sent before, and what became of it.

use std::collections::HashMap;

use ordain::store::{Append, Appended, NewOutcome};
use ordain::{EventId, StoreError};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::request::{Answer, Request, Work, Written};
use super::task::{Appender, Failure};
use crate::batch::{Witness, number};

/// Where an event was found.
#[derive(Debug, Clone, Copy)]
struct Place {
    position: i64,
    version: i64,
    recorded_at: OffsetDateTime,
}

/// What is found of requests in doubt.
#[derive(Debug, Default)]
struct Found {
    events: HashMap<EventId, Place>,
    answers: HashMap<EventId, Vec<u8>>,
}

impl Appender {
    /// Makes sure that nothing sent before can still come true, tells what did, and where the log ends.
    ///
    /// After a lost connection the server may still be working on the call: finding nothing would prove
    /// nothing. So the generation is raised first, under the order lock. A call of before then finds
    /// another generation than its own, and what is found afterwards is all there will be.
    pub(super) async fn settle_past(&mut self) -> Result<(), Failure> {
        if self.has_orphan {
            let fence = self
                .tools
                .statements
                .fence
                .query()
                .bind(self.lock_timeout_ms());
            let end = self.call_for_row(fence).await?;
            self.ends.forget_all();
            self.tools.counters.fenced();
            self.look_back(read_witness(&end).map_err(Failure::Reply)?)
                .await?;
            self.tell_what_came_true().await?;
            self.has_orphan = false;
            // What was lost may have been a hard delete.
            self.tools.erasure_wanted.notify_one();
            self.tools.announcer.committed(1, Vec::new());
        }
        if self.witness.is_none() {
            let end = self
                .call_for_row(self.tools.statements.witness.query())
                .await?;
            self.look_back(read_witness(&end).map_err(Failure::Reply)?)
                .await?;
        }
        Ok(())
    }

    async fn tell_what_came_true(&mut self) -> Result<(), Failure> {
        let (ids, firsts) = ids_in_doubt(self.pending.in_doubt());
        if ids.is_empty() && firsts.is_empty() {
            return Ok(());
        }
        let statement = self.tools.statements.settle.query().bind(ids).bind(firsts);
        let rows = self.call(statement).await?;
        let found =
            Found::read(&rows).map_err(|error| Failure::Reply(crate::failure::damaged(error)))?;
        self.pending.settle(|request| found.answer(&request.work));
        Ok(())
    }

    /// Takes note of where the log ends, and looks whether what this process saw committed is still there.
    pub(super) async fn look_back(&mut self, end: Witness) -> Result<(), Failure> {
        if let Some(seen) = self.seen
            && let Some(entry) = seen.entry
        {
            let statement = self.tools.statements.witness_stands.query();
            let statement = statement.bind(seen.position).bind(entry.as_uuid());
            let row = self.call_for_row(statement).await?;
            if !row.try_get::<bool, _>("stands")? {
                self.tools.counters.went_backwards();
                tracing::error!(
                    seen = seen.position,
                    end = end.position,
                    "the store went backwards: events that were committed are gone, as after a restore or a \
                     fail-over to a standby that had not caught up; what was derived from them elsewhere is ahead \
                     of it"
                );
            }
        }
        self.seen = Some(end);
        self.know(end);
        Ok(())
    }

    /// Whether what a caller's transaction appended was committed.
    pub(super) async fn settle_transaction(
        &mut self,
        written: &[Written],
    ) -> Result<bool, Failure> {
        self.has_orphan = true;
        self.settle_past().await?;
        let ids: Vec<Uuid> = written.iter().map(|it| it.id.as_uuid()).collect();
        let statement = self
            .tools
            .statements
            .settle
            .query()
            .bind(ids)
            .bind(Vec::<Uuid>::new());
        let found = Found::read(&self.call(statement).await?)?;
        Ok(written.iter().any(|it| found.is_there(it)))
    }
}

pub(super) fn read_witness(row: &PgRow) -> Result<Witness, StoreError> {
    let read = || {
        let entry: Option<Uuid> = row.try_get("head_id")?;
        Ok::<_, sqlx::Error>(Witness {
            generation: row.try_get("generation")?,
            position: row.try_get("head")?,
            entry: entry.map(EventId::from_uuid),
        })
    };
    read().map_err(crate::failure::damaged)
}

/// The ids by which appends in doubt are found, and those by which remembered answers are.
fn ids_in_doubt<'r>(requests: impl Iterator<Item = &'r Request>) -> (Vec<Uuid>, Vec<Uuid>) {
    let (mut ids, mut firsts) = (Vec::new(), Vec::new());
    for request in requests {
        match &request.work {
            Work::Append(append) => ids.extend(ends_of(append).map(|id| id.as_uuid())),
            Work::Outcome(outcome) => firsts.push(outcome.command.first_event.as_uuid()),
            _ => {}
        }
    }
    (ids, firsts)
}

/// The first and last events of each stream's part.
fn ends_of(append: &Append) -> impl Iterator<Item = EventId> {
    append.writes.iter().flat_map(|write| {
        let ends = [write.events.first(), write.events.last()];
        ends.into_iter().flatten().map(|event| event.event_id)
    })
}

impl Found {
    fn read(rows: &[PgRow]) -> Result<Self, sqlx::Error> {
        let mut found = Self::default();
        for row in rows {
            let id = EventId::from_uuid(row.try_get("id")?);
            let Some(recorded_at) = row.try_get("recorded_at")? else {
                found.answers.insert(id, row.try_get("answer")?);
                continue;
            };
            let place = Place {
                position: row.try_get("global_position")?,
                version: row.try_get("stream_version")?,
                recorded_at,
            };
            found.events.insert(id, place);
        }
        Ok(found)
    }

    /// The answer to a request that turns out to have been carried out.
    ///
    /// The ids of a command's events follow from the command, so another process may have stored them, on
    /// another history. Such an append is sent again, and the server judges it.
    fn answer(&self, work: &Work) -> Option<Answer> {
        match work {
            Work::Append(append) if append.command.is_some() => None,
            Work::Append(append) => self.appended(append).map(Answer::Appended),
            Work::Outcome(outcome) => self.has(outcome).then_some(Answer::Done),
            _ => None,
        }
    }

    fn appended(&self, append: &Append) -> Option<Appended> {
        let place = |id: EventId| self.events.get(&id);
        let first = place(append.writes.first()?.events.first()?.event_id)?;
        let lasts = append
            .writes
            .iter()
            .map(|write| place(write.events.last()?.event_id));
        let lasts: Vec<_> = lasts.collect::<Option<_>>()?;
        Some(Appended {
            first_position: number(first.position).into(),
            last_position: number(lasts.last()?.position).into(),
            recorded_at: first.recorded_at,
            versions: lasts
                .iter()
                .map(|last| number(last.version).into())
                .collect(),
        })
    }

    fn is_there(&self, written: &Written) -> bool {
        let place = self.events.get(&written.id);
        place.is_some_and(|place| {
            number(place.position) == written.position.get()
                && place.recorded_at == written.recorded_at
        })
    }

    fn has(&self, outcome: &NewOutcome) -> bool {
        let answer = self.answers.get(&outcome.command.first_event);
        answer.is_some_and(|answer| *answer == outcome.data)
    }
}
