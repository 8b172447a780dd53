//! Making, changing and removing subscriptions.

use ordain::StoreError;
use ordain::store::{Partitions, SubscriptionChange, SubscriptionKey, SubscriptionRecord};

use super::{ambiguous, of, records, text};
use crate::failure;
use crate::read::{Reader, column};
use crate::session::Statement;
use crate::sql::Sql;

pub(super) async fn change(
    reader: &Reader,
    changes: &[SubscriptionChange],
) -> Result<bool, StoreError> {
    let sql = &reader.statements.change_subscriptions;
    let written = reader.readers.write(|_| statement(sql, changes)).await?;
    let changed = answer(&written.rows)?;
    if changed || !written.in_doubt {
        return Ok(changed);
    }
    is_made(reader, changes).await
}

/// Whether changes took place whose answer did not come. Waits until they can no longer come true.
pub(super) async fn fate(
    reader: &Reader,
    changes: &[SubscriptionChange],
) -> Result<bool, StoreError> {
    let sql = &reader.statements.change_subscriptions;
    reader.readers.write(|_| statement(sql, &[])).await?;
    is_made(reader, changes).await
}

async fn is_made(reader: &Reader, changes: &[SubscriptionChange]) -> Result<bool, StoreError> {
    let found = records::subscriptions(reader, None).await?;
    let record = |key: &SubscriptionKey| found.iter().find(|record| record.key == *key);
    let mut made = true;
    for change in changes {
        match record(&change.key) {
            Some(record) if record.generation > change.expected + 1 => return Err(ambiguous()),
            Some(record) => made &= is_result_of(record, change),
            None => made = false,
        }
    }
    Ok(made)
}

fn is_result_of(record: &SubscriptionRecord, change: &SubscriptionChange) -> bool {
    record.generation == change.expected + 1 && record.definition == change.definition
}

pub(super) fn answer(rows: &[sqlx::postgres::PgRow]) -> Result<bool, StoreError> {
    let row = rows.first().ok_or_else(|| failure::damaged("no answer"))?;
    column(row, 0)
}

pub(super) fn statement<'q>(sql: &Sql, changes: &[SubscriptionChange]) -> Statement<'q> {
    let mut columns = Columns::default();
    for (n, change) in (1..).zip(changes) {
        columns.push(n, change);
    }
    columns.bind(sql)
}

#[derive(Default)]
struct Columns {
    names: Vec<String>,
    versions: Vec<i64>,
    expected: Vec<i64>,
    at_least: Vec<Option<i64>>,
    states: Vec<&'static str>,
    reasons: Vec<Option<String>>,
    fingerprints: Vec<String>,
    barrier_positions: Vec<Option<i64>>,
    barrier_partitions: Vec<Option<i64>>,
    replayed_of: Vec<i32>,
    replayed: Vec<i64>,
    partitions: Vec<i32>,
    positions_of: Vec<i32>,
    positions: Vec<i64>,
}

impl Columns {
    fn push(&mut self, n: i32, change: &SubscriptionChange) {
        let definition = &change.definition;
        self.names.push(change.key.name.to_string());
        self.versions.push(i64::from(change.key.version));
        self.expected.push(change.expected.cast_signed());
        self.at_least.push(change.at_least.map(|at| at.to_i64()));
        self.states.push(definition.state.as_str());
        self.reasons.push(definition.reason.as_deref().map(text));
        self.fingerprints.push(definition.fingerprint.clone());
        let barrier = definition.barrier;
        self.barrier_positions
            .push(barrier.map(|barrier| barrier.position.to_i64()));
        self.barrier_partitions
            .push(barrier.map(|barrier| i64::from(barrier.partitions)));
        for position in &definition.replayed {
            self.replayed_of.push(n);
            self.replayed.push(position.to_i64());
        }
        self.push_partitions(n, &change.partitions);
    }

    fn push_partitions(&mut self, n: i32, partitions: &Partitions) {
        self.partitions.push(match partitions {
            Partitions::Keep => 0,
            Partitions::Fence => 1,
            Partitions::Replace(_) => 2,
        });
        if let Partitions::Replace(positions) = partitions {
            for position in positions {
                self.positions_of.push(n);
                self.positions.push(position.to_i64());
            }
        }
    }

    fn bind<'q>(self, sql: &Sql) -> Statement<'q> {
        sql.query()
            .bind(self.names)
            .bind(self.versions)
            .bind(self.expected)
            .bind(self.at_least)
            .bind(self.states)
            .bind(self.reasons)
            .bind(self.fingerprints)
            .bind(self.barrier_positions)
            .bind(self.barrier_partitions)
            .bind(self.replayed_of)
            .bind(self.replayed)
            .bind(self.partitions)
            .bind(self.positions_of)
            .bind(self.positions)
    }
}

pub(super) async fn remove(
    reader: &Reader,
    subscription: &SubscriptionKey,
) -> Result<bool, StoreError> {
    let sql = &reader.statements.remove_subscription;
    let written = reader.readers.write(|_| of(sql, subscription)).await?;
    match answer(&written.rows)? {
        false if written.in_doubt => Err(ambiguous()),
        removed => Ok(removed),
    }
}
