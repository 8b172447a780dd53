//! A batch as arguments of the server's function.

use ordain::{EventId, ExpectedVersion, NewEvent, StoreError};
use sqlx::postgres::{PgArguments, Postgres};
use sqlx::query::Query;
use uuid::Uuid;

use super::array::{Array, ElementType};
use super::plan::{Caution, Plan};
use super::witness::Witness;
use crate::metadata::MetadataWriter;
use crate::statements::Statements;

const ANY: i64 = -1;
const STREAM_EXISTS: i64 = -2;

/// The call that carries out a batch.
pub(crate) fn query<'q>(
    statements: &Statements,
    plan: &Plan<'_>,
    witness: Witness,
    caution: Caution,
    lock_timeout_ms: i32,
    payload: ElementType,
) -> Result<Query<'q, Postgres, PgArguments>, StoreError> {
    let sql = match plan.settles() {
        true => &statements.append_settling,
        false => &statements.append,
    };
    let query = sql
        .query()
        .bind(lock_timeout_ms)
        .bind(witness.generation)
        .bind(witness.position)
        .bind(witness.entry.map(|entry| entry.as_uuid()));
    let judged = plan.is_checked() || plan.has_commands();
    let query = bind_streams(query, plan, judged);
    let query = bind_items(query, plan, judged);
    let query = bind_writes(query, plan, judged);
    let query = bind_checks(query, plan, caution);
    bind_events(query, plan, payload)
}

type Call<'q> = Query<'q, Postgres, PgArguments>;

fn bind_streams<'q>(query: Call<'q>, plan: &Plan<'_>, judged: bool) -> Call<'q> {
    let mut keys = Array::new(ElementType::INT8);
    let mut names = Array::new(ElementType::TEXT);
    let mut ends = Array::new(ElementType::INT8);
    let mut entries = Array::new(ElementType::UUID);
    for stream in &plan.streams {
        match stream.known {
            Some(end) => keys.push_i64(end.key),
            None => keys.push_null(),
        }
        if judged {
            names.push_bytes(stream.id.as_str().as_bytes());
            ends.push_i64(stream.known.map_or(0, |end| end.version));
            entries.push_uuid(stream.known.map(|end| end.entry.as_uuid()));
        }
    }
    query
        .bind(keys)
        .bind(names.or_null())
        .bind(ends.or_null())
        .bind(entries.or_null())
}

fn bind_items<'q>(query: Call<'q>, plan: &Plan<'_>, judged: bool) -> Call<'q> {
    let mut first_writes = Array::new(ElementType::INT4);
    let mut chains = Array::new(ElementType::INT4);
    let mut first_events = Array::new(ElementType::UUID);
    let mut commands = Array::new(ElementType::UUID);
    let mut answers = Array::new(ElementType::BYTEA);
    for item in plan.items.iter().filter(|_| judged) {
        first_writes.push_i32(item.writes.start as i32 + 1);
        chains.push_i32(item.chain);
        first_events.push_uuid(item.command.map(|command| command.first_event.as_uuid()));
        commands.push_uuid(item.command.map(|command| command.id.as_uuid()));
        match item.answer {
            Some(answer) => answers.push_bytes(answer),
            None => answers.push_null(),
        }
    }
    if judged {
        first_writes.push_i32(plan.writes.len() as i32 + 1);
    }
    let first_events = if plan.has_commands() {
        first_events
    } else {
        Array::new(ElementType::UUID)
    };
    let query = query
        .bind(first_writes.or_null())
        .bind(chains.or_null())
        .bind(first_events.or_null())
        .bind(commands.or_null())
        .bind(answers.or_null());
    match plan.settles() {
        true => query.bind(settled(plan)),
        false => query,
    }
}

/// The outgoing commands that are settled, by item.
fn settled(plan: &Plan<'_>) -> Array {
    let mut settled = Array::new(ElementType::UUID);
    for item in &plan.items {
        settled.push_uuid(item.settles.map(|command| command.as_uuid()));
    }
    settled
}

fn bind_writes<'q>(query: Call<'q>, plan: &Plan<'_>, judged: bool) -> Call<'q> {
    let mut streams = Array::new(ElementType::INT4);
    let mut expected = Array::new(ElementType::INT8);
    let mut builds_on = Array::new(ElementType::UUID);
    let mut counts = Array::new(ElementType::INT4);
    let mut offsets = Array::new(ElementType::INT8);
    let mut last_ids = Array::new(ElementType::UUID);
    let mut bases = Array::new(ElementType::INT8);
    let mut offset = 0;
    for write in &plan.writes {
        streams.push_i32(write.stream as i32 + 1);
        offsets.push_i64(offset);
        bases.push_i64(write.base);
        offset += write.events.len() as i64;
        if judged {
            expected.push_i64(expected_number(write.expected));
            builds_on.push_uuid(write.builds_on.map(|entry| entry.as_uuid()));
            counts.push_i32(write.events.len() as i32);
            last_ids.push_uuid(write.events.last().map(|event| event.event_id.as_uuid()));
        }
    }
    query
        .bind(streams)
        .bind(expected.or_null())
        .bind(builds_on.or_null())
        .bind(counts.or_null())
        .bind(offsets)
        .bind(last_ids.or_null())
        .bind(bases)
}

pub(crate) fn expected_number(expected: ExpectedVersion) -> i64 {
    match expected {
        ExpectedVersion::Any => ANY,
        ExpectedVersion::StreamExists => STREAM_EXISTS,
        ExpectedVersion::NoStream => 0,
        ExpectedVersion::Exact(version) => version.to_i64(),
    }
}

/// Names the items to be judged, and the ids to be looked for: always those of commands, which tell a
/// repetition; the others only when a unique index has found one of them.
fn bind_checks<'q>(query: Call<'q>, plan: &Plan<'_>, caution: Caution) -> Call<'q> {
    let mut checked = Array::new(ElementType::INT4);
    let mut probe_items = Array::new(ElementType::INT4);
    let mut probe_ids = Array::new(ElementType::UUID);
    for (index, item) in plan
        .items
        .iter()
        .enumerate()
        .filter(|(_, item)| item.checked)
    {
        let number = index as i32 + 1;
        checked.push_i32(number);
        let mut probe = |id: EventId| {
            probe_items.push_i32(number);
            probe_ids.push_uuid(id.as_uuid());
        };
        if caution == Caution::Thorough {
            let writes = plan.writes[item.writes.clone()].iter();
            writes
                .flat_map(|write| write.events)
                .for_each(|event| probe(event.event_id));
        }
        if let Some(command) = item.command {
            probe(command.first_event);
        }
    }
    query
        .bind(checked.or_null())
        .bind(probe_items.or_null())
        .bind(probe_ids.or_null())
}

struct EventColumns {
    writes: Array,
    numbers: Array,
    ids: Array,
    types: Array,
    schema_versions: Array,
    correlations: Array,
    causations: Array,
    metadata: Array,
    data: Array,
}

impl EventColumns {
    fn new(payload: ElementType) -> Self {
        Self {
            writes: Array::new(ElementType::INT4),
            numbers: Array::new(ElementType::INT4),
            ids: Array::new(ElementType::UUID),
            types: Array::new(ElementType::TEXT),
            schema_versions: Array::new(ElementType::INT4),
            correlations: Array::new(ElementType::UUID),
            causations: Array::new(ElementType::UUID),
            metadata: Array::new(ElementType::JSON),
            data: Array::new(payload),
        }
    }

    fn push(&mut self, write: usize, number: usize, event: &NewEvent, metadata: Option<&[u8]>) {
        self.writes.push_i32(write as i32 + 1);
        self.numbers.push_i32(number as i32 + 1);
        self.ids.push_uuid(event.event_id.as_uuid());
        self.types.push_bytes(event.event_type.as_bytes());
        self.schema_versions.push_i32(event.schema_version as i32);
        self.correlations
            .push_uuid(event.correlation_id.map(Uuid::from));
        self.causations
            .push_uuid(event.causation_id.map(Uuid::from));
        match metadata {
            Some(metadata) => self.metadata.push_bytes(metadata),
            None => self.metadata.push_null(),
        }
        self.data.push_payload(&event.data);
    }

    fn bind<'q>(self, query: Call<'q>) -> Call<'q> {
        query
            .bind(self.writes)
            .bind(self.numbers)
            .bind(self.ids)
            .bind(self.types)
            .bind(self.schema_versions)
            .bind(self.correlations)
            .bind(self.causations)
            .bind(self.metadata)
            .bind(self.data)
    }
}

fn bind_events<'q>(
    query: Call<'q>,
    plan: &Plan<'_>,
    payload: ElementType,
) -> Result<Call<'q>, StoreError> {
    let mut columns = EventColumns::new(payload);
    let mut metadata = MetadataWriter::default();
    for (index, write) in plan.writes.iter().enumerate() {
        for (number, event) in write.events.iter().enumerate() {
            columns.push(index, number, event, metadata.write(&event.metadata)?);
        }
    }
    Ok(columns.bind(query))
}
