//! Who works on which partition, by the clock of the database.

use ordain::StoreError;
use ordain::store::{Claim, Heartbeat, Lease, LeaseKey, OwnerId, SubscriptionRecord};
use sqlx::postgres::PgRow;

use super::{micros, records};
use crate::read::{Reader, column, number};
use crate::session::Statement;

pub(super) async fn keep_alive(
    reader: &Reader,
    beat: &Heartbeat,
) -> Result<Vec<SubscriptionRecord>, StoreError> {
    let keys = beat.subscriptions.iter();
    let (names, versions): (Vec<_>, Vec<_>) = keys
        .map(|key| (key.name.to_string(), i64::from(key.version)))
        .unzip();
    let statement = |_| {
        let query = reader.statements.keep_alive.query();
        let query = query
            .bind(beat.owner.0)
            .bind(micros(beat.ttl))
            .bind(names.clone())
            .bind(versions.clone());
        bind_leases(query, &beat.leases)
    };
    records::read(&reader.readers.write(statement).await?.rows)
}

pub(super) async fn claim(reader: &Reader, claim: &Claim) -> Result<Vec<Lease>, StoreError> {
    let partitions: Vec<_> = claim.partitions.iter().map(|it| i64::from(*it)).collect();
    let statement = |in_doubt| {
        let query = reader.statements.claim.query();
        query
            .bind(claim.owner.0)
            .bind(micros(claim.ttl))
            .bind(claim.subscription.name.to_string())
            .bind(i64::from(claim.subscription.version))
            .bind(partitions.clone())
            .bind(in_doubt)
    };
    let rows = reader.readers.write(statement).await?.rows;
    let leases = rows.iter().map(|row| lease(row, claim));
    let mut leases: Vec<_> = leases.collect::<Result<_, _>>()?;
    leases.sort_by_key(|lease| lease.key.partition);
    Ok(leases)
}

fn lease(row: &PgRow, claim: &Claim) -> Result<Lease, StoreError> {
    Ok(Lease {
        key: LeaseKey {
            subscription: claim.subscription.clone(),
            partition: records::small(row, 0)?,
            epoch: number(row, 1)?,
        },
        position: records::position(column(row, 2)?),
        trouble: records::trouble(row, 3)?,
    })
}

pub(super) async fn release(reader: &Reader, leases: &[LeaseKey]) -> Result<(), StoreError> {
    let statement = |_| bind_leases(reader.statements.release.query(), leases);
    reader.readers.write(statement).await?;
    Ok(())
}

pub(super) async fn leave(reader: &Reader, owner: OwnerId) -> Result<(), StoreError> {
    let statement = |_| reader.statements.leave.query().bind(owner.0);
    reader.readers.write(statement).await?;
    Ok(())
}

fn bind_leases<'q>(query: Statement<'q>, leases: &[LeaseKey]) -> Statement<'q> {
    let names = leases
        .iter()
        .map(|lease| lease.subscription.name.to_string());
    let versions = leases
        .iter()
        .map(|lease| i64::from(lease.subscription.version));
    let partitions = leases.iter().map(|lease| i64::from(lease.partition));
    let epochs = leases.iter().map(|lease| lease.epoch.cast_signed());
    query
        .bind(names.collect::<Vec<_>>())
        .bind(versions.collect::<Vec<_>>())
        .bind(partitions.collect::<Vec<_>>())
        .bind(epochs.collect::<Vec<_>>())
}
