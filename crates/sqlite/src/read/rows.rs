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
use sqlx::sqlite::SqliteRow;
use sqlx::{ColumnIndex, Decode, Row, Sqlite};
use uuid::Uuid;

use crate::{failure, micros};

static NO_METADATA: LazyLock<Arc<Metadata>> = LazyLock::new(Arc::default);

/// A column. SQLite's types are those of the values, and the schema is strict about them.
pub(crate) fn column<'r, T: Decode<'r, Sqlite>>(
    row: &'r SqliteRow,
    index: impl ColumnIndex<SqliteRow>,
) -> Result<T, StoreError> {
    row.try_get_unchecked(index).map_err(failure::damaged)
}

pub(crate) fn stream_id(name: &str) -> Result<StreamId, StoreError> {
    name.parse().map_err(failure::damaged)
}

pub(crate) fn event_id(bytes: &[u8]) -> Result<EventId, StoreError> {
    uuid(bytes).map(EventId::from_uuid)
}

pub(crate) fn deletion(stored: i64) -> Result<Option<Deletion>, StoreError> {
    match stored {
        0 => Ok(None),
        1 => Ok(Some(Deletion::Soft)),
        2 => Ok(Some(Deletion::Hard)),
        other => Err(failure::damaged(format!("{other} as a stream's deletion"))),
    }
}

pub(crate) fn uuid(bytes: &[u8]) -> Result<Uuid, StoreError> {
    Uuid::from_slice(bytes).map_err(failure::damaged)
}

/// Where the columns of a page stand.
mod at {
    pub(super) const KIND: usize = 0;
    pub(super) const ENTRY_VERSION: usize = 1;
    pub(super) const ENTRY_POSITION: usize = 2;
    pub(super) const POSITION: usize = 3;
    pub(super) const STREAM: usize = 4;
    pub(super) const NAME: usize = 5;
    pub(super) const VERSION: usize = 6;
    pub(super) const EVENT_ID: usize = 7;
    pub(super) const EVENT_TYPE: usize = 8;
    pub(super) const SCHEMA_VERSION: usize = 9;
    pub(super) const DATA: usize = 10;
    pub(super) const METADATA: usize = 11;
    pub(super) const CORRELATION_ID: usize = 12;
    pub(super) const CAUSATION_ID: usize = 13;
    pub(super) const RECORDED_AT: usize = 14;
    pub(super) const HOLDER: usize = 15;
}

/// Whether the row tells of the end of the stream or of the log.
pub(super) fn is_head(row: &SqliteRow) -> Result<bool, StoreError> {
    Ok(column::<i64>(row, at::KIND)? == 0)
}

pub(super) fn head_position(row: &SqliteRow) -> Result<u64, StoreError> {
    number(row, at::POSITION)
}

/// The end of a stream, from the row that tells of it.
pub(super) fn stream_end(
    row: &SqliteRow,
) -> Result<(Option<Deletion>, ordain::store::StreamHead), StoreError> {
    let deleted = deletion(column(row, at::ENTRY_VERSION)?)?;
    let head = ordain::store::StreamHead {
        version: number(row, at::VERSION)?.into(),
        entry: Some(event_id(column(row, at::EVENT_ID)?)?),
        position: number(row, at::POSITION)?.into(),
        deleted: deleted.is_some(),
    };
    Ok((deleted, head))
}

pub(crate) fn number(
    row: &SqliteRow,
    index: impl ColumnIndex<SqliteRow>,
) -> Result<u64, StoreError> {
    column::<i64>(row, index)?
        .try_into()
        .map_err(failure::damaged)
}

/// Makes the events of a page; streams that come again share their names.
#[derive(Default)]
pub(super) struct Decoder {
    names: HashMap<i64, StreamId>,
    metadata: Option<(String, Arc<Metadata>)>,
}

impl Decoder {
    /// The event of a row, read from `stream`, or, if that is `None`, from the log.
    pub(super) fn event(
        &mut self,
        row: &SqliteRow,
        stream: Option<&StreamId>,
    ) -> Result<RecordedEvent, StoreError> {
        let link = self.link(row, stream)?;
        let own = stream.filter(|_| link.is_none());
        let stream = match own {
            Some(stream) => stream.clone(),
            None => self.name(row)?,
        };
        let mut event = RecordedEvent::record(
            self.content(row)?,
            stream,
            number(row, at::VERSION)?.into(),
            number(row, at::POSITION)?.into(),
            micros::to_time(column(row, at::RECORDED_AT)?),
        );
        event.link = link;
        Ok(event)
    }

    fn content(&mut self, row: &SqliteRow) -> Result<NewEvent, StoreError> {
        let event_type: String = column(row, at::EVENT_TYPE)?;
        let data: &[u8] = column(row, at::DATA)?;
        let mut event = NewEvent::new(Cow::Owned(event_type), Bytes::copy_from_slice(data));
        event.event_id = event_id(column(row, at::EVENT_ID)?)?;
        event.schema_version = column::<i64>(row, at::SCHEMA_VERSION)?
            .try_into()
            .map_err(failure::damaged)?;
        event.metadata = self.metadata(column(row, at::METADATA)?)?;
        let correlation: Option<&[u8]> = column(row, at::CORRELATION_ID)?;
        let causation: Option<&[u8]> = column(row, at::CAUSATION_ID)?;
        event.correlation_id = correlation
            .map(uuid)
            .transpose()?
            .map(CorrelationId::from_uuid);
        event.causation_id = causation.map(uuid).transpose()?.map(CausationId::from_uuid);
        Ok(event)
    }

    /// Events of one command follow each other and mostly have the same metadata.
    fn metadata(&mut self, text: Option<&str>) -> Result<Arc<Metadata>, StoreError> {
        let Some(text) = text else {
            return Ok(Arc::clone(&NO_METADATA));
        };
        if let Some((last, metadata)) = &self.metadata
            && last == text
        {
            return Ok(Arc::clone(metadata));
        }
        let metadata: Metadata = serde_json::from_str(text).map_err(failure::damaged)?;
        let metadata = Arc::new(metadata);
        self.metadata = Some((text.to_owned(), Arc::clone(&metadata)));
        Ok(metadata)
    }

    fn name(&mut self, row: &SqliteRow) -> Result<StreamId, StoreError> {
        let key = column(row, at::STREAM)?;
        if let Some(stream) = self.names.get(&key) {
            return Ok(stream.clone());
        }
        let stream = stream_id(column(row, at::NAME)?)?;
        self.names.insert(key, stream.clone());
        Ok(stream)
    }

    fn link(
        &self,
        row: &SqliteRow,
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
