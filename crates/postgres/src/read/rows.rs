//! From rows to events.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use ordain::store::Deletion;
use ordain::{
    CausationId, CorrelationId, EventId, LinkPlace, Metadata, NewEvent, RecordedEvent, StoreError,
    StreamId,
};
use sqlx::postgres::{PgRow, PgValueRef, Postgres};
use sqlx::{Decode, Row};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::failure;
use crate::payload::Payload;

static NO_METADATA: LazyLock<Arc<Metadata>> = LazyLock::new(Arc::default);

/// A column whose type the statement fixes.
pub(crate) fn column<'r, T: Decode<'r, Postgres>>(
    row: &'r PgRow,
    index: usize,
) -> Result<T, StoreError> {
    row.try_get_unchecked(index).map_err(failure::damaged)
}

pub(crate) fn number(row: &PgRow, index: usize) -> Result<u64, StoreError> {
    column::<i64>(row, index)?
        .try_into()
        .map_err(failure::damaged)
}

pub(super) fn stream_id(name: &str) -> Result<StreamId, StoreError> {
    name.parse().map_err(failure::damaged)
}

pub(super) fn deletion(stored: i64) -> Result<Option<Deletion>, StoreError> {
    match stored {
        0 => Ok(None),
        1 => Ok(Some(Deletion::Soft)),
        2 => Ok(Some(Deletion::Hard)),
        other => Err(failure::damaged(format!("{other} as a stream's deletion"))),
    }
}

/// Where the columns of a page stand.
pub(super) mod at {
    pub(in super::super) const KIND: usize = 0;
    pub(in super::super) const ENTRY_VERSION: usize = 1;
    pub(in super::super) const ENTRY_POSITION: usize = 2;
    pub(in super::super) const STREAM_KEY: usize = 3;
    pub(in super::super) const NAME: usize = 4;
    pub(in super::super) const POSITION: usize = 5;
    pub(in super::super) const VERSION: usize = 6;
    pub(in super::super) const EVENT_ID: usize = 7;
    pub(in super::super) const EVENT_TYPE: usize = 8;
    pub(in super::super) const SCHEMA_VERSION: usize = 9;
    pub(in super::super) const CORRELATION_ID: usize = 10;
    pub(in super::super) const CAUSATION_ID: usize = 11;
    pub(in super::super) const RECORDED_AT: usize = 12;
    pub(in super::super) const METADATA: usize = 13;
    pub(in super::super) const DATA: usize = 14;
    pub(in super::super) const HOLDER: usize = 15;
    pub(in super::super) const STATE: usize = 15;
}

/// What a row of a page tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The end of the stream or of the log.
    Head,
    Entry,
    Snapshot,
}

pub(super) fn kind(row: &PgRow) -> Result<Kind, StoreError> {
    match column::<i32>(row, at::KIND)? {
        0 => Ok(Kind::Head),
        1 => Ok(Kind::Entry),
        _ => Ok(Kind::Snapshot),
    }
}

pub(super) fn event_id(row: &PgRow, index: usize) -> Result<EventId, StoreError> {
    column(row, index).map(EventId::from_uuid)
}

/// Makes the events of a page; streams that come again share their names.
pub(super) struct Decoder {
    payload: Payload,
    names: HashMap<i64, StreamId>,
    metadata: Option<(Vec<u8>, Arc<Metadata>)>,
}

impl Decoder {
    pub(super) fn new(payload: Payload) -> Self {
        Self {
            payload,
            names: HashMap::new(),
            metadata: None,
        }
    }

    /// The event of a row, read from `stream`, or, if that is `None`, from the log.
    pub(super) fn event(
        &mut self,
        row: &PgRow,
        stream: Option<&StreamId>,
    ) -> Result<RecordedEvent, StoreError> {
        let link = self.link(row, stream)?;
        let own = stream.filter(|_| link.is_none());
        let stream = match own {
            Some(stream) => stream.clone(),
            None => self.name(row)?,
        };
        let recorded_at: OffsetDateTime = column(row, at::RECORDED_AT)?;
        let mut event = RecordedEvent::record(
            self.content(row)?,
            stream,
            number(row, at::VERSION)?.into(),
            number(row, at::POSITION)?.into(),
            recorded_at,
        );
        event.link = link;
        Ok(event)
    }

    fn content(&mut self, row: &PgRow) -> Result<NewEvent, StoreError> {
        let event_type: String = column(row, at::EVENT_TYPE)?;
        let data = row.try_get_raw(at::DATA).map_err(failure::damaged)?;
        let mut event = NewEvent::new(Cow::Owned(event_type), self.data(&data)?);
        event.event_id = event_id(row, at::EVENT_ID)?;
        event.schema_version = column::<i32>(row, at::SCHEMA_VERSION)?
            .try_into()
            .map_err(failure::damaged)?;
        let metadata = row.try_get_raw(at::METADATA).map_err(failure::damaged)?;
        event.metadata = self.metadata(&metadata)?;
        let correlation: Option<Uuid> = column(row, at::CORRELATION_ID)?;
        let causation: Option<Uuid> = column(row, at::CAUSATION_ID)?;
        event.correlation_id = correlation.map(CorrelationId::from_uuid);
        event.causation_id = causation.map(CausationId::from_uuid);
        Ok(event)
    }

    /// A payload as the codec wrote it; `jsonb` has a version before its text.
    fn data(&self, value: &PgValueRef<'_>) -> Result<Bytes, StoreError> {
        let bytes = value.as_bytes().map_err(failure::damaged)?;
        let bytes = match self.payload {
            Payload::Jsonb => bytes.get(1..).unwrap_or_default(),
            Payload::Json | Payload::Bytea => bytes,
        };
        Ok(Bytes::copy_from_slice(bytes))
    }

    /// Events of one command follow each other and mostly have the same metadata.
    fn metadata(&mut self, value: &PgValueRef<'_>) -> Result<Arc<Metadata>, StoreError> {
        let Ok(json) = value.as_bytes() else {
            return Ok(Arc::clone(&NO_METADATA));
        };
        if let Some((last, metadata)) = &self.metadata
            && last == json
        {
            return Ok(Arc::clone(metadata));
        }
        let metadata: Metadata = serde_json::from_slice(json).map_err(failure::damaged)?;
        let metadata = Arc::new(metadata);
        self.metadata = Some((json.to_vec(), Arc::clone(&metadata)));
        Ok(metadata)
    }

    fn name(&mut self, row: &PgRow) -> Result<StreamId, StoreError> {
        let key = column(row, at::STREAM_KEY)?;
        if let Some(stream) = self.names.get(&key) {
            return Ok(stream.clone());
        }
        let stream = stream_id(column(row, at::NAME)?)?;
        self.names.insert(key, stream.clone());
        Ok(stream)
    }

    fn link(
        &self,
        row: &PgRow,
        stream: Option<&StreamId>,
    ) -> Result<Option<LinkPlace>, StoreError> {
        let Some(position) = column::<Option<i64>>(row, at::ENTRY_POSITION)? else {
            return Ok(None);
        };
        let holder = match stream {
            Some(stream) => stream.clone(),
            None => stream_id(column(row, at::HOLDER)?)?,
        };
        Ok(Some(LinkPlace {
            stream: holder,
            version: number(row, at::ENTRY_VERSION)?.into(),
            position: u64::try_from(position).map_err(failure::damaged)?.into(),
        }))
    }
}
