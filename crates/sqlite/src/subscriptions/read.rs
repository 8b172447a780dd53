//! Reading what is kept of subscriptions, on the connections that read.

use ordain::StoreError;
use ordain::store::{
    Block, InstanceQuery, InstanceRecord, OutgoingQuery, OutgoingRecord, SubscriptionKey,
    SubscriptionRecord, TimerQuery, TimerRecord, TimersDue,
};
use sqlx::sqlite::SqliteRow;
use time::OffsetDateTime;

use super::{params, rows};
use crate::read::column;
use crate::readers::Readers;
use crate::{micros, sql};

pub(super) async fn subscriptions(
    readers: &Readers,
    name: Option<&str>,
    now: OffsetDateTime,
) -> Result<Vec<SubscriptionRecord>, StoreError> {
    let statement = sql::statement(sql::SUBSCRIPTIONS)
        .bind(micros::floor(now))
        .bind(name)
        .bind(None::<&str>);
    rows::records(&readers.fetch(statement).await?)
}

pub(super) async fn blocks(
    readers: &Readers,
    subscription: &SubscriptionKey,
    limit: u32,
) -> Result<Vec<Block>, StoreError> {
    let statement = sql::of(sql::BLOCKS, subscription).bind(i64::from(limit));
    each(&readers.fetch(statement).await?, rows::block)
}

pub(super) async fn instances(
    readers: &Readers,
    subscription: &SubscriptionKey,
    ids: &[String],
) -> Result<Vec<InstanceRecord>, StoreError> {
    let statement = sql::of(sql::INSTANCES, subscription).bind(params::json(ids)?);
    each(&readers.fetch(statement).await?, rows::instance)
}

pub(super) async fn list_instances(
    readers: &Readers,
    query: &InstanceQuery,
) -> Result<Vec<InstanceRecord>, StoreError> {
    let sql = match query.finished {
        None => sql::LIST_INSTANCES,
        Some(_) => sql::LIST_INSTANCES_FINISHED,
    };
    let statement = sql::of(sql, &query.subscription)
        .bind(first_behind(query.after.as_deref()))
        .bind(i64::from(query.limit.max(1)))
        .bind(query.finished);
    each(&readers.fetch(statement).await?, rows::instance)
}

/// The first text behind this one: SQLite orders them by their bytes.
fn first_behind(text: Option<&str>) -> String {
    text.map(|text| format!("{text}\0")).unwrap_or_default()
}

pub(super) async fn outgoing(
    readers: &Readers,
    query: &OutgoingQuery,
) -> Result<Vec<OutgoingRecord>, StoreError> {
    let (instance, sequence) = match &query.after {
        Some((instance, sequence)) => (instance.as_str(), *sequence as i64),
        None => ("", -1),
    };
    let statement = sql::of(sql::OUTGOING, &query.subscription)
        .bind(i64::from(query.share.partition))
        .bind(i64::from(query.share.partitions.max(1)))
        .bind(instance)
        .bind(sequence)
        .bind(i64::from(query.limit.max(1)));
    each(&readers.fetch(statement).await?, rows::outgoing)
}

pub(super) async fn timers_due(
    readers: &Readers,
    query: &TimerQuery,
    now: OffsetDateTime,
) -> Result<TimersDue, StoreError> {
    let statement = sql::of(sql::TIMERS_DUE, &query.subscription)
        .bind(i64::from(query.share.partition))
        .bind(i64::from(query.share.partitions.max(1)))
        .bind(micros::floor(now))
        .bind(i64::from(query.limit.max(1)));
    let (mut timers, mut next) = (Vec::new(), None);
    for row in &readers.fetch(statement).await? {
        match column::<i64>(row, "kind")? {
            0 => timers.push(rows::timer(row)?),
            _ => next = Some(rows::time(row, "due_at")?),
        }
    }
    Ok(TimersDue { timers, now, next })
}

pub(super) async fn timers(
    readers: &Readers,
    subscription: &SubscriptionKey,
    instance: &str,
) -> Result<Vec<TimerRecord>, StoreError> {
    let statement = sql::of(sql::TIMERS, subscription).bind(instance);
    each(&readers.fetch(statement).await?, rows::timer)
}

fn each<T>(
    rows: &[SqliteRow],
    read: fn(&SqliteRow) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    rows.iter().map(read).collect()
}
