//! Who works on what.

use std::time::Duration;

use ordain::StoreError;
use ordain::store::{Claim, Heartbeat, LeaseKey, OwnerId};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use super::super::batch::Failure;
use super::super::work::Answer;
use crate::subscriptions::{json, keys_json, lease, leases_json, records};
use crate::{micros, sql};

pub(super) async fn keep_alive(
    connection: &mut SqliteConnection,
    beat: &Heartbeat,
    now: OffsetDateTime,
) -> Result<Answer, Failure> {
    let subscriptions = keys_json(&beat.subscriptions)?;
    sql::statement(sql::KEEP_ALIVE)
        .bind(bytes(beat.owner))
        .bind(micros::floor(now))
        .bind(until(now, beat.ttl))
        .bind(subscriptions.as_str())
        .bind(leases_json(&beat.leases)?)
        .execute(&mut *connection)
        .await?;
    let rows = sql::statement(sql::SUBSCRIPTIONS)
        .bind(micros::floor(now))
        .bind(None::<&str>)
        .bind(subscriptions)
        .fetch_all(connection)
        .await?;
    Ok(Answer::Subscriptions(records(&rows)?))
}

pub(super) async fn claim(
    connection: &mut SqliteConnection,
    claim: &Claim,
    now: OffsetDateTime,
) -> Result<Answer, Failure> {
    let rows = sql::statement(sql::CLAIM)
        .bind(bytes(claim.owner))
        .bind(micros::floor(now))
        .bind(until(now, claim.ttl))
        .bind(&*claim.subscription.name)
        .bind(i64::from(claim.subscription.version))
        .bind(json(&claim.partitions)?)
        .fetch_all(connection)
        .await?;
    let leases = rows.iter().map(|row| lease(row, claim));
    let mut leases = leases.collect::<Result<Vec<_>, StoreError>>()?;
    leases.sort_by_key(|lease| lease.key.partition);
    Ok(Answer::Leases(leases))
}

pub(super) async fn release(
    connection: &mut SqliteConnection,
    leases: &[LeaseKey],
) -> Result<Answer, Failure> {
    sql::statement(sql::RELEASE)
        .bind(leases_json(leases)?)
        .execute(connection)
        .await?;
    Ok(Answer::Done)
}

pub(super) async fn leave(
    connection: &mut SqliteConnection,
    owner: OwnerId,
) -> Result<Answer, Failure> {
    sql::statement(sql::LEAVE)
        .bind(bytes(owner))
        .execute(connection)
        .await?;
    Ok(Answer::Done)
}

fn bytes(owner: OwnerId) -> Vec<u8> {
    owner.0.as_bytes().to_vec()
}

fn until(now: OffsetDateTime, ttl: Duration) -> i64 {
    micros::floor(now).saturating_add(micros::of(ttl))
}
