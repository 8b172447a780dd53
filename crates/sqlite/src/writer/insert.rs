//! Writing rows, many with one statement.

use ordain::store::NewOutcome;
use ordain::{Codec, CommandId, EventId, Metadata, NewEvent, StoreError, StreamId};
use sqlx::sqlite::SqliteConnection;

use super::batch::Failure;
use super::probe::ids_json;
use crate::sql::{self, Insert, Statement};

/// The type of a link.
const LINK: &str = "$link";

/// The type of a tombstone.
const TOMBSTONE: &str = "$deleted";

/// What an entry of a stream is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content<'a> {
    Event(&'a NewEvent),
    /// A link to the event at this position.
    Link(i64),
    Tombstone,
}

/// A row of `events`.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) position: u64,
    pub(super) stream: i64,
    pub(super) version: u64,
    pub(super) event_id: EventId,
    pub(super) recorded_at: i64,
    pub(super) content: Content<'a>,
}

#[derive(Debug)]
struct NewStream<'a> {
    key: i64,
    stream: &'a StreamId,
    created_at: i64,
    holds_links: bool,
}

/// What a batch writes.
#[derive(Debug, Default)]
pub(super) struct Rows<'a> {
    /// Whether payloads are text.
    json: bool,
    streams: Vec<NewStream<'a>>,
    entries: Vec<Entry<'a>>,
    outcomes: Vec<(&'a NewOutcome, i64)>,
    /// The outgoing commands that go with what is written.
    settled: Vec<CommandId>,
}

impl<'a> Rows<'a> {
    pub(super) fn new(codec: &Codec) -> Self {
        Self {
            json: codec.is_json(),
            ..Self::default()
        }
    }

    pub(super) fn stream(
        &mut self,
        key: i64,
        stream: &'a StreamId,
        created_at: i64,
        holds_links: bool,
    ) {
        self.streams.push(NewStream {
            key,
            stream,
            created_at,
            holds_links,
        });
    }

    pub(super) fn entry(&mut self, entry: Entry<'a>) {
        self.entries.push(entry);
    }

    pub(super) fn outcome(&mut self, outcome: &'a NewOutcome, recorded_at: i64) {
        self.outcomes.push((outcome, recorded_at));
    }

    pub(super) fn settled(&mut self, command_id: CommandId) {
        self.settled.push(command_id);
    }

    /// Writes everything into the open transaction.
    pub(super) async fn write(self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        write(connection, &sql::INSERT_STREAMS, &self.streams, bind_stream).await?;
        write(
            connection,
            &sql::INSERT_EVENTS,
            &self.entries,
            |statement, entry| bind_entry(statement, entry, self.json),
        )
        .await?;
        write(
            connection,
            &sql::INSERT_OUTCOMES,
            &self.outcomes,
            bind_outcome,
        )
        .await?;
        settle(connection, &self.settled).await
    }
}

async fn settle(connection: &mut SqliteConnection, settled: &[CommandId]) -> Result<(), Failure> {
    if !settled.is_empty() {
        sql::statement(sql::SETTLE_OUTGOING)
            .bind(ids_json(settled.iter().map(CommandId::as_uuid)))
            .execute(connection)
            .await?;
    }
    Ok(())
}

async fn write<'r, R>(
    connection: &mut SqliteConnection,
    insert: &Insert,
    mut rows: &'r [R],
    bind: impl Fn(Statement<'r>, &'r R) -> Result<Statement<'r>, StoreError>,
) -> Result<(), Failure> {
    while !rows.is_empty() {
        let (len, mut statement) = insert.statement(rows.len());
        let (now, later) = rows.split_at(len);
        for row in now {
            statement = bind(statement, row)?;
        }
        statement.execute(&mut *connection).await?;
        rows = later;
    }
    Ok(())
}

fn bind_stream<'r>(
    statement: Statement<'r>,
    row: &'r NewStream<'_>,
) -> Result<Statement<'r>, StoreError> {
    Ok(statement
        .bind(row.key)
        .bind(row.stream.as_str())
        .bind(row.stream.category())
        .bind(row.created_at)
        .bind(row.holds_links))
}

fn bind_outcome<'r>(
    statement: Statement<'r>,
    (outcome, recorded_at): &'r (&NewOutcome, i64),
) -> Result<Statement<'r>, StoreError> {
    Ok(statement
        .bind(outcome.command.stream.as_str())
        .bind(outcome.command.id.as_uuid().as_bytes().to_vec())
        .bind(&outcome.data[..])
        .bind(*recorded_at))
}

fn bind_entry<'r>(
    statement: Statement<'r>,
    entry: &'r Entry<'_>,
    json: bool,
) -> Result<Statement<'r>, StoreError> {
    let statement = statement
        .bind(entry.position as i64)
        .bind(entry.stream)
        .bind(entry.version as i64)
        .bind(entry.event_id.as_uuid().as_bytes().to_vec());
    match entry.content {
        Content::Event(event) => bind_event(statement, event, entry.recorded_at, json),
        Content::Link(target) => Ok(bind_other(statement, LINK, entry.recorded_at, Some(target))),
        Content::Tombstone => Ok(bind_other(statement, TOMBSTONE, entry.recorded_at, None)),
    }
}

fn bind_event<'r>(
    statement: Statement<'r>,
    event: &'r NewEvent,
    recorded_at: i64,
    json: bool,
) -> Result<Statement<'r>, StoreError> {
    let statement = statement
        .bind(&*event.event_type)
        .bind(i64::from(event.schema_version));
    let correlation = event
        .correlation_id
        .map(|id| id.as_uuid().as_bytes().to_vec());
    let causation = event
        .causation_id
        .map(|id| id.as_uuid().as_bytes().to_vec());
    let statement = match std::str::from_utf8(&event.data) {
        Ok(text) if json => statement.bind(text),
        _ => statement.bind(&event.data[..]),
    };
    Ok(statement
        .bind(metadata(&event.metadata)?)
        .bind(correlation)
        .bind(causation)
        .bind(recorded_at)
        .bind(None::<i64>))
}

fn bind_other<'r>(
    statement: Statement<'r>,
    entry_type: &'static str,
    recorded_at: i64,
    link_to: Option<i64>,
) -> Statement<'r> {
    statement
        .bind(entry_type)
        .bind(1_i64)
        .bind(None::<&[u8]>)
        .bind(None::<&str>)
        .bind(None::<&[u8]>)
        .bind(None::<&[u8]>)
        .bind(recorded_at)
        .bind(link_to)
}

fn metadata(metadata: &Metadata) -> Result<Option<String>, StoreError> {
    if metadata.is_empty() {
        return Ok(None);
    }
    serde_json::to_string(metadata)
        .map(Some)
        .map_err(|error| StoreError::internal(error.to_string()))
}
