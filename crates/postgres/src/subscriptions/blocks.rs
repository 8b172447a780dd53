//! Keys whose events are passed over.

use std::time::Duration;

use ordain::store::{Block, BlockKind, BlockRequest, SubscriptionKey};
use ordain::{EventId, StoreError};
use sqlx::postgres::PgRow;
use uuid::Uuid;

use super::{micros, of, records};
use crate::failure;
use crate::read::{Reader, column};

pub(super) async fn blocks(
    reader: &Reader,
    subscription: &SubscriptionKey,
    max: u32,
) -> Result<Vec<Block>, StoreError> {
    let statement = || of(&reader.statements.blocks, subscription).bind(i64::from(max));
    let rows = reader.readers.fetch(statement).await?;
    rows.iter().map(block).collect()
}

fn block(row: &PgRow) -> Result<Block, StoreError> {
    let event_id: Option<Uuid> = column(row, 3)?;
    Ok(Block {
        key: column(row, 0)?,
        kind: kind(column(row, 1)?)?,
        position: records::position(column(row, 2)?),
        event_id: event_id.map(EventId::from_uuid),
        error: column(row, 4)?,
        attempts: records::small(row, 5)?,
        since: column(row, 6)?,
        request: column::<Option<&str>>(row, 7)?
            .map(request_of)
            .transpose()?,
    })
}

pub(super) async fn request(
    reader: &Reader,
    subscription: &SubscriptionKey,
    key: Option<&str>,
    request: BlockRequest,
) -> Result<u64, StoreError> {
    let statement = |_| {
        of(&reader.statements.request_blocks, subscription)
            .bind(key.map(str::to_owned))
            .bind(word_of(request))
    };
    Ok(reader.readers.write(statement).await?.rows.len() as u64)
}

pub(super) async fn prune(
    reader: &Reader,
    subscription: &SubscriptionKey,
    age: Duration,
) -> Result<u64, StoreError> {
    let statement = |_| of(&reader.statements.prune_blocks, subscription).bind(micros(age));
    Ok(reader.readers.write(statement).await?.rows.len() as u64)
}

pub(super) fn word(kind: BlockKind) -> &'static str {
    match kind {
        BlockKind::DeadLetter => "dead_letter",
        BlockKind::Parked => "parked",
    }
}

fn kind(stored: &str) -> Result<BlockKind, StoreError> {
    match stored {
        "dead_letter" => Ok(BlockKind::DeadLetter),
        "parked" => Ok(BlockKind::Parked),
        other => Err(failure::damaged(format!("`{other}` as a kind of block"))),
    }
}

pub(super) fn word_of(request: BlockRequest) -> &'static str {
    match request {
        BlockRequest::Retry => "retry",
        BlockRequest::Discard => "discard",
    }
}

fn request_of(stored: &str) -> Result<BlockRequest, StoreError> {
    match stored {
        "retry" => Ok(BlockRequest::Retry),
        "discard" => Ok(BlockRequest::Discard),
        other => Err(failure::damaged(format!("`{other}` as a request"))),
    }
}
