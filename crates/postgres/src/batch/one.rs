//! A batch of one event as arguments of the server's function for that.

use ordain::{EventId, NewEvent, StoreError};
use sqlx::Row;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgRow, PgTypeInfo, Postgres};
use sqlx::types::Type;
use uuid::Uuid;

use super::array::ElementType;
use super::ends::StreamEnd;
use super::plan::Plan;
use super::witness::Witness;
use crate::metadata::MetadataWriter;
use crate::session::Statement;
use crate::sql::Sql;

/// The one event of a batch, and the end of the stream it goes to.
#[derive(Debug)]
pub(crate) struct One<'r> {
    event: &'r NewEvent,
    end: StreamEnd,
    first_event: Option<EventId>,
}

impl<'r> One<'r> {
    /// The event, if the batch has just one, which need not be judged.
    pub(crate) fn of(plan: &Plan<'r>) -> Option<Self> {
        let ([item], [write], [stream]) = (&plan.items[..], &plan.writes[..], &plan.streams[..])
        else {
            return None;
        };
        let ([event], Some(end), false) = (write.events, stream.known, item.checked) else {
            return None;
        };
        Some(Self {
            event,
            end,
            first_event: item.command.map(|command| command.first_event),
        })
    }

    /// The call that appends it.
    pub(crate) fn query<'q>(
        &self,
        sql: &Sql,
        witness: Witness,
        lock_timeout_ms: i32,
        payload: ElementType,
    ) -> Result<Statement<'q>, StoreError> {
        let event = self.event;
        let mut metadata = MetadataWriter::default();
        let metadata = metadata.write(&event.metadata)?.map(<[u8]>::to_vec);
        Ok(sql
            .query()
            .bind(lock_timeout_ms)
            .bind(witness.generation)
            .bind(witness.position)
            .bind(witness.entry.map(|entry| entry.as_uuid()))
            .bind(self.end.key)
            .bind(self.end.version + 1)
            .bind(self.first_event.map(|id| id.as_uuid()))
            .bind(event.event_id.as_uuid())
            .bind(event.event_type.to_string())
            .bind(event.schema_version as i32)
            .bind(event.correlation_id.map(Uuid::from))
            .bind(event.causation_id.map(Uuid::from))
            .bind(Raw(ElementType::JSON, metadata))
            .bind(Raw(payload, Some(event.data.to_vec()))))
    }
}

/// Whether the function leaves the append to be judged.
pub(crate) fn is_to_be_judged(row: &PgRow) -> Result<bool, sqlx::Error> {
    let carried_out: Option<bool> = row.try_get("carried_out")?;
    Ok(carried_out.is_none())
}

/// A value of this type in its binary form, but for what stands before it.
struct Raw(ElementType, Option<Vec<u8>>);

impl Type<Postgres> for Raw {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(ElementType::BYTEA.element()))
    }
}

impl Encode<'_, Postgres> for Raw {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let Some(bytes) = &self.1 else {
            return Ok(IsNull::Yes);
        };
        buffer.extend_from_slice(self.0.prefix());
        buffer.extend_from_slice(bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.0.element())))
    }
}
