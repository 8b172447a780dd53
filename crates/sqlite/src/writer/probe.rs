//! What requests are judged on: the state inside their transaction.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use ordain::store::{CommandKey, Deletion, Repeat, StreamHead};
use ordain::{CommandId, EventId, StoreError, StreamId, StreamVersion};
use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use uuid::Uuid;

use super::batch::Failure;
use crate::read::{column, deletion, event_id};
use crate::sql;

/// The end of a stream, as it is or as earlier requests of the batch leave it.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamEnd {
    /// `None` for a stream without entries.
    pub(super) key: Option<i64>,
    pub(super) version: u64,
    pub(super) entry: Option<EventId>,
    pub(super) position: u64,
    pub(super) deleted: Option<Deletion>,
    pub(super) holds_links: bool,
}

/// The end of the log.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LogEnd {
    pub(super) position: u64,
    /// In microseconds since 1970.
    pub(super) recorded_at: i64,
    /// The highest key of a stream.
    pub(super) stream_key: i64,
}

/// What is asked for.
#[derive(Debug, Default)]
pub(super) struct Wanted<'a> {
    streams: Vec<&'a str>,
    ids: Vec<EventId>,
    outcomes: Vec<(&'a str, CommandId)>,
    outgoing: Vec<CommandId>,
}

/// What was found.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    pub(super) log: LogEnd,
    /// All streams asked for.
    pub(super) streams: HashMap<&'a str, StreamEnd>,
    /// The ids that exist, with the version if they are events.
    pub(super) ids: HashMap<EventId, Option<StreamVersion>>,
    pub(super) outcomes: HashMap<(&'a str, CommandId), Bytes>,
    /// The outgoing commands that are not settled.
    pub(super) outgoing: HashSet<CommandId>,
}

impl<'a> Wanted<'a> {
    pub(super) fn stream(&mut self, stream: &'a StreamId) {
        self.streams.push(stream.as_str());
    }

    pub(super) fn id(&mut self, id: EventId) {
        self.ids.push(id);
    }

    pub(super) fn command(&mut self, command: &'a CommandKey) {
        self.id(command.first_event);
        self.outcomes.push((command.stream.as_str(), command.id));
    }

    pub(super) fn outgoing(&mut self, command_id: CommandId) {
        self.outgoing.push(command_id);
    }

    /// Looks, in a transaction that is open or that `sql` begins.
    pub(super) async fn probe(
        mut self,
        connection: &mut SqliteConnection,
        sql: &'static str,
    ) -> Result<Known<'a>, Failure> {
        self.streams.sort_unstable();
        self.streams.dedup();
        let statement = sql::statement(sql)
            .bind(json(&self.streams)?)
            .bind(self.ids_json())
            .bind(self.outcomes_json()?)
            .bind(ids_json(self.outgoing.iter().map(CommandId::as_uuid)));
        let rows = statement.fetch_all(connection).await?;
        let mut known = Known {
            streams: self
                .streams
                .iter()
                .map(|name| (*name, StreamEnd::default()))
                .collect(),
            ..Known::default()
        };
        for row in &rows {
            known.take(row, &self)?;
        }
        Ok(known)
    }

    fn ids_json(&self) -> String {
        ids_json(self.ids.iter().map(EventId::as_uuid))
    }

    fn outcomes_json(&self) -> Result<String, StoreError> {
        let outcomes: Vec<_> = self
            .outcomes
            .iter()
            .map(|(stream, command)| (stream, command.as_uuid().simple().to_string()))
            .collect();
        json(&outcomes)
    }
}

/// A list of ids for `unhex`.
pub(crate) fn ids_json(ids: impl ExactSizeIterator<Item = Uuid>) -> String {
    let mut text = String::with_capacity(ids.len() * 35 + 2);
    text.push('[');
    for (index, id) in ids.enumerate() {
        text.push_str(if index == 0 { "\"" } else { ",\"" });
        let mut digits = [0; uuid::fmt::Simple::LENGTH];
        text.push_str(id.simple().encode_lower(&mut digits));
        text.push('"');
    }
    text.push(']');
    text
}

fn json<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| StoreError::internal(error.to_string()))
}

impl<'a> Known<'a> {
    fn take(&mut self, row: &SqliteRow, wanted: &Wanted<'a>) -> Result<(), StoreError> {
        let index = column::<i64>(row, 1)? as usize;
        match column::<i64>(row, 0)? {
            0 => self.log = log_end(row)?,
            1 => {
                self.streams.insert(wanted.streams[index], stream_end(row)?);
            }
            2 => {
                let is_event = column::<i64>(row, 3)? == 0;
                let version = StreamVersion::new(column::<i64>(row, 2)? as u64);
                self.ids
                    .insert(wanted.ids[index], is_event.then_some(version));
            }
            3 => {
                let data = Bytes::copy_from_slice(column(row, 2)?);
                self.outcomes.insert(wanted.outcomes[index], data);
            }
            _ => {
                self.outgoing.insert(wanted.outgoing[index]);
            }
        }
        Ok(())
    }

    pub(super) fn stream(&self, stream: &StreamId) -> StreamEnd {
        self.streams
            .get(stream.as_str())
            .cloned()
            .unwrap_or_default()
    }

    /// What the command left behind.
    pub(super) fn repeat_of(&self, command: &'a CommandKey) -> Option<Repeat> {
        if let Some(Some(version)) = self.ids.get(&command.first_event) {
            return Some(Repeat::Events(*version));
        }
        let outcome = self.outcomes.get(&(command.stream.as_str(), command.id))?;
        Some(Repeat::Outcome(outcome.clone()))
    }
}

fn log_end(row: &SqliteRow) -> Result<LogEnd, StoreError> {
    let last: Option<i64> = column(row, 2)?;
    let floor: i64 = column(row, 4)?;
    Ok(LogEnd {
        position: last.unwrap_or(0).max(floor) as u64,
        recorded_at: column::<Option<i64>>(row, 3)?.unwrap_or(0),
        stream_key: column::<Option<i64>>(row, 5)?.unwrap_or(0),
    })
}

fn stream_end(row: &SqliteRow) -> Result<StreamEnd, StoreError> {
    debug_assert_eq!(row.len(), 8);
    Ok(StreamEnd {
        key: Some(column(row, 2)?),
        deleted: deletion(column(row, 3)?)?,
        holds_links: column::<i64>(row, 4)? != 0,
        version: column::<i64>(row, 5)? as u64,
        entry: Some(event_id(column(row, 6)?)?),
        position: column::<i64>(row, 7)? as u64,
    })
}

impl StreamEnd {
    pub(super) fn head(&self) -> StreamHead {
        StreamHead {
            version: self.version.into(),
            entry: self.entry,
            position: self.position.into(),
            deleted: self.deleted.is_some(),
        }
    }

    pub(super) fn exists(&self) -> bool {
        self.version > 0
    }

    /// Whether the stream may be written.
    pub(super) fn check_open(&self, stream: &StreamId) -> Result<(), StoreError> {
        let stream = stream.clone();
        match self.deleted {
            None => Ok(()),
            Some(Deletion::Soft) => Err(StoreError::StreamDeleted {
                stream,
                version: self.version.into(),
            }),
            Some(Deletion::Hard) => Err(StoreError::StreamErased { stream }),
        }
    }
}
