//! From rows to records.

use ordain::store::{
    Barrier, Definition, OwnerId, PartitionRecord, SubscriptionKey, SubscriptionRecord,
    SubscriptionState, Trouble,
};
use ordain::{GlobalPosition, StoreError};
use sqlx::postgres::PgRow;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::failure;
use crate::read::{Reader, column, number};

pub(super) async fn subscriptions(
    reader: &Reader,
    name: Option<&str>,
) -> Result<Vec<SubscriptionRecord>, StoreError> {
    let statement = || match name {
        Some(name) => {
            let query = reader.statements.subscriptions_named.query();
            query.bind(name.to_owned())
        }
        None => reader.statements.subscriptions.query(),
    };
    read(&reader.readers.fetch(statement).await?)
}

/// The subscriptions of rows of `subscription_records`.
pub(super) fn read(rows: &[PgRow]) -> Result<Vec<SubscriptionRecord>, StoreError> {
    rows.iter().map(subscription).collect()
}

fn subscription(row: &PgRow) -> Result<SubscriptionRecord, StoreError> {
    let name: &str = column(row, 0)?;
    Ok(SubscriptionRecord {
        key: SubscriptionKey::new(name, small(row, 1)?),
        generation: number(row, 2)?,
        definition: definition(row)?,
        members: small(row, 9)?,
        partitions: partitions(row)?,
        dead_letters: number(row, 19)?,
        parked: number(row, 20)?,
        requests: number(row, 21)?,
    })
}

fn definition(row: &PgRow) -> Result<Definition, StoreError> {
    let state: &str = column(row, 3)?;
    let state = SubscriptionState::parse(state)
        .ok_or_else(|| failure::damaged(format!("`{state}` as a subscription's state")))?;
    let replayed: Vec<i64> = column(row, 6)?;
    let barrier = match column::<Option<i64>>(row, 7)? {
        Some(at) => Some(Barrier {
            position: position(at),
            partitions: small(row, 8)?,
        }),
        None => None,
    };
    Ok(Definition {
        state,
        reason: column(row, 4)?,
        fingerprint: column(row, 5)?,
        replayed: replayed.into_iter().map(position).collect(),
        barrier,
    })
}

/// The partitions, which stand as columns of arrays; null if there are none.
fn partitions(row: &PgRow) -> Result<Vec<PartitionRecord>, StoreError> {
    let Some(numbers) = column::<Option<Vec<i64>>>(row, 10)? else {
        return Ok(Vec::new());
    };
    let positions: Vec<i64> = column(row, 11)?;
    let epochs: Vec<i64> = column(row, 12)?;
    let owners: Vec<Option<Uuid>> = column(row, 13)?;
    let moved_at: Vec<OffsetDateTime> = column(row, 14)?;
    let trouble_positions: Vec<Option<i64>> = column(row, 15)?;
    let errors: Vec<Option<String>> = column(row, 16)?;
    let attempts: Vec<Option<i64>> = column(row, 17)?;
    let next_attempts: Vec<Option<OffsetDateTime>> = column(row, 18)?;
    let partition = |(n, number): (usize, &i64)| PartitionRecord {
        partition: small_of(*number),
        position: position(positions[n]),
        epoch: epochs[n].cast_unsigned(),
        owner: owners[n].map(OwnerId),
        trouble: trouble_positions[n].map(|at| Trouble {
            position: position(at),
            error: errors[n].clone().unwrap_or_default(),
            attempts: small_of(attempts[n].unwrap_or_default()),
            next_attempt: next_attempts[n],
        }),
        moved_at: moved_at[n],
    };
    Ok(numbers.iter().enumerate().map(partition).collect())
}

/// What keeps a partition from going on, in four columns from `first` on.
pub(super) fn trouble(row: &PgRow, first: usize) -> Result<Option<Trouble>, StoreError> {
    let Some(at) = column::<Option<i64>>(row, first)? else {
        return Ok(None);
    };
    Ok(Some(Trouble {
        position: position(at),
        error: column(row, first + 1)?,
        attempts: small(row, first + 2)?,
        next_attempt: column(row, first + 3)?,
    }))
}

pub(super) fn position(stored: i64) -> GlobalPosition {
    crate::batch::number(stored).into()
}

/// A number of 32 bits, which is kept in 64.
pub(super) fn small(row: &PgRow, index: usize) -> Result<u32, StoreError> {
    number(row, index)?.try_into().map_err(failure::damaged)
}

fn small_of(stored: i64) -> u32 {
    u32::try_from(stored).unwrap_or_default()
}
