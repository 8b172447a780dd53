//! What the server says of a batch, told to those who asked.

use bytes::Bytes;
use ordain::store::{Appended, Repeat};
use ordain::{EventId, ExpectedVersion, StoreError, StreamId, StreamVersion};
use sqlx::Row;
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use super::ends::{StreamEnd, StreamEnds};
use super::plan::{Item, Plan, PlannedWrite};
use super::witness::Witness;
use crate::appender::{Answer, Verdict};
use crate::failure;

/// The numbers by which the server's functions tell what became of a request.
pub(crate) mod code {
    pub(crate) const ACCEPTED: i32 = 0;
    pub(crate) const PREDECESSOR_FAILED: i32 = 1;
    pub(crate) const REPEATED_EVENTS: i32 = 2;
    pub(crate) const REPEATED_ANSWER: i32 = 3;
    pub(crate) const DELETED: i32 = 4;
    pub(crate) const ERASED: i32 = 5;
    pub(crate) const HOLDS_OTHERS: i32 = 6;
    pub(crate) const CONFLICT: i32 = 7;
    pub(crate) const DUPLICATE: i32 = 8;
    pub(crate) const NO_TARGET: i32 = 9;
    pub(crate) const NOT_FOUND: i32 = 10;
    pub(crate) const NOT_DELETED: i32 = 11;
    pub(crate) const SETTLED: i32 = 12;
    pub(crate) const BUSY: i32 = 13;
}

/// What became of a batch.
#[derive(Debug)]
pub(crate) enum Reply {
    /// Everything has its verdict, and the log now ends there, if that is known.
    CarriedOut(Vec<Verdict>, Option<Witness>),
    /// Nothing was written: the log is not as the witness says. So it is found.
    Stale(Witness),
}

/// Reads what the function says, and remembers where streams now end.
pub(crate) fn read(
    row: &PgRow,
    plan: &Plan<'_>,
    ends: &mut StreamEnds,
) -> Result<Reply, StoreError> {
    let columns = Columns::read(row).map_err(failure::damaged)?;
    if !columns.carried_out {
        return Ok(Reply::Stale(columns.end));
    }
    let mut reading = Reading::new(plan, columns);
    let verdicts: Vec<_> = plan
        .items
        .iter()
        .enumerate()
        .map(|(index, item)| reading.verdict(index, item, ends))
        .collect();
    Ok(Reply::CarriedOut(verdicts, Some(reading.witness)))
}

/// The columns of the function's answer.
#[derive(Debug)]
struct Columns {
    carried_out: bool,
    /// The end of the log before the batch.
    end: Witness,
    recorded_at: OffsetDateTime,
    judged: Option<Judged>,
}

/// What the function adds if it has judged anything.
#[derive(Debug)]
struct Judged {
    verdicts: Vec<i32>,
    keys: Vec<Option<i64>>,
    bases: Vec<i64>,
    offsets: Vec<i64>,
    streams: Vec<Option<i32>>,
    versions: Vec<Option<i64>>,
    answers: Vec<Option<Vec<u8>>>,
    ids: Vec<Option<Uuid>>,
}

impl Columns {
    fn read(row: &PgRow) -> Result<Self, sqlx::Error> {
        let recorded_at: Option<OffsetDateTime> = row.try_get("recorded_at")?;
        let head_id: Option<Uuid> = row.try_get("head_id")?;
        let verdicts: Option<Vec<i32>> = row.try_get("verdicts")?;
        Ok(Self {
            carried_out: row.try_get("carried_out")?,
            end: Witness {
                generation: row.try_get("generation")?,
                position: row.try_get("head")?,
                entry: head_id.map(EventId::from_uuid),
            },
            recorded_at: recorded_at.unwrap_or(OffsetDateTime::UNIX_EPOCH),
            judged: verdicts
                .map(|verdicts| Judged::read(verdicts, row))
                .transpose()?,
        })
    }
}

impl Judged {
    fn read(verdicts: Vec<i32>, row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            verdicts,
            keys: row.try_get("stream_keys")?,
            bases: row.try_get("bases")?,
            offsets: row.try_get("offsets")?,
            streams: row.try_get("found_streams")?,
            versions: row.try_get("found_versions")?,
            answers: row.try_get("found_answers")?,
            ids: row.try_get("found_ids")?,
        })
    }
}

struct Reading<'p, 'r> {
    plan: &'p Plan<'r>,
    columns: Columns,
    /// How many events stand before each write.
    offsets: Vec<i64>,
    witness: Witness,
}

impl<'p, 'r> Reading<'p, 'r> {
    fn new(plan: &'p Plan<'r>, mut columns: Columns) -> Self {
        let offsets = match &mut columns.judged {
            Some(judged) => std::mem::take(&mut judged.offsets),
            None => planned_offsets(plan),
        };
        Self {
            plan,
            witness: columns.end,
            columns,
            offsets,
        }
    }

    fn verdict(&mut self, index: usize, item: &Item<'_>, ends: &mut StreamEnds) -> Verdict {
        let verdicts = self.columns.judged.as_ref().map(|judged| &judged.verdicts);
        match verdicts.map_or(code::ACCEPTED, |verdicts| verdicts[index]) {
            code::ACCEPTED if item.answer.is_some() => Ok(Answer::Done),
            code::ACCEPTED => Ok(Answer::Appended(self.accept(item, ends))),
            code::BUSY => Ok(Answer::Busy),
            refused => {
                for write in &self.plan.writes[item.writes.clone()] {
                    ends.forget(self.plan.streams[write.stream].id);
                }
                Err(self.refusal(refused, index, item))
            }
        }
    }

    fn accept(&mut self, item: &Item<'_>, ends: &mut StreamEnds) -> Appended {
        let head = self.columns.end.position;
        let first_position = head + self.offsets[item.writes.start] + 1;
        let mut versions = Vec::with_capacity(item.writes.len());
        for index in item.writes.clone() {
            let write = &self.plan.writes[index];
            let count = write.events.len() as i64;
            let version = self.base(index, write) + count;
            versions.push(number(version).into());
            let (Some(last), Some(key)) = (write.events.last(), self.key(write)) else {
                continue;
            };
            let entry = last.event_id;
            let end = StreamEnd {
                key,
                version,
                entry,
            };
            ends.set(self.plan.streams[write.stream].id, end);
            self.witness.position = head + self.offsets[index] + count;
            self.witness.entry = Some(entry);
        }
        Appended {
            first_position: number(first_position).into(),
            last_position: number(self.witness.position).into(),
            recorded_at: self.columns.recorded_at,
            versions,
        }
    }

    fn base(&self, index: usize, write: &PlannedWrite<'_>) -> i64 {
        let judged = self.columns.judged.as_ref();
        judged.map_or(write.base, |judged| judged.bases[index])
    }

    fn key(&self, write: &PlannedWrite<'_>) -> Option<i64> {
        match &self.columns.judged {
            Some(judged) => judged.keys[write.stream],
            None => self.plan.streams[write.stream].known.map(|end| end.key),
        }
    }

    fn refusal(&self, refused: i32, index: usize, item: &Item<'_>) -> StoreError {
        let Some(judged) = &self.columns.judged else {
            return failure::damaged("a verdict without its reason");
        };
        let version = number(judged.versions[index].unwrap_or_default()).into();
        match refused {
            code::PREDECESSOR_FAILED => StoreError::PredecessorFailed,
            code::REPEATED_EVENTS => StoreError::Repeated(Repeat::Events(version)),
            code::REPEATED_ANSWER => {
                let answer = judged.answers[index].clone().unwrap_or_default();
                StoreError::Repeated(Repeat::Outcome(Bytes::from(answer)))
            }
            code::DUPLICATE => StoreError::DuplicateEvent {
                event_id: EventId::from_uuid(judged.ids[index].unwrap_or_default()),
            },
            code::SETTLED => match item.settles {
                Some(command_id) => StoreError::Settled { command_id },
                None => failure::damaged("what settles nothing was settled"),
            },
            other => match self.found_write(judged.streams[index], item) {
                Some((stream, expected)) => stream_refusal(other, stream, expected, version, true),
                None => failure::damaged("a refused append without its stream"),
            },
        }
    }

    /// The stream that an item was refused for, and what it expected of it.
    fn found_write(
        &self,
        stream: Option<i32>,
        item: &Item<'_>,
    ) -> Option<(&StreamId, ExpectedVersion)> {
        let stream = usize::try_from(stream? - 1).ok()?;
        let mut writes = self.plan.writes[item.writes.clone()].iter();
        let write = writes.find(|write| write.stream == stream)?;
        Some((self.plan.streams[stream].id, write.expected))
    }
}

/// Why a request on this stream was refused. `links` is what the stream holds where that is the reason.
pub(crate) fn stream_refusal(
    refused: i32,
    stream: &StreamId,
    expected: ExpectedVersion,
    version: StreamVersion,
    links: bool,
) -> StoreError {
    let stream = stream.clone();
    match refused {
        code::DELETED => StoreError::StreamDeleted { stream, version },
        code::ERASED => StoreError::StreamErased { stream },
        code::HOLDS_OTHERS => StoreError::EventsAndLinks { stream, links },
        code::CONFLICT => StoreError::Conflict {
            stream,
            expected,
            actual: version,
        },
        code::NOT_FOUND => StoreError::StreamNotFound { stream },
        code::NOT_DELETED => StoreError::StreamNotDeleted { stream },
        other => failure::damaged(format!("{other} as a verdict")),
    }
}

fn planned_offsets(plan: &Plan<'_>) -> Vec<i64> {
    let mut before = 0;
    let offset = |write: &PlannedWrite<'_>| {
        let offset = before;
        before += write.events.len() as i64;
        offset
    };
    plan.writes.iter().map(offset).collect()
}

/// A number that the database keeps signed and that is never negative.
pub(crate) fn number(stored: i64) -> u64 {
    stored.max(0) as u64
}
