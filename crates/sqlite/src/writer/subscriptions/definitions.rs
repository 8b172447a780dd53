//! What of subscriptions changes only when somebody changes it.

use ordain::GlobalPosition;
use ordain::store::{Partitions, SubscriptionChange, SubscriptionKey};
use sqlx::sqlite::{SqliteConnection, SqliteRow};
use time::OffsetDateTime;

use super::super::batch::Failure;
use super::super::work::Answer;
use crate::read::column;
use crate::subscriptions::json;
use crate::{micros, sql};

/// Makes all changes, or none.
pub(super) async fn change(
    connection: &mut SqliteConnection,
    changes: &[SubscriptionChange],
    now: OffsetDateTime,
) -> Result<Answer, Failure> {
    for change in changes {
        if !is_expected(connection, change).await? {
            return Ok(Answer::Changed(false));
        }
    }
    for change in changes {
        put(connection, change).await?;
        change_partitions(connection, change, now).await?;
    }
    Ok(Answer::Changed(true))
}

async fn is_expected(
    connection: &mut SqliteConnection,
    change: &SubscriptionChange,
) -> Result<bool, Failure> {
    let stand = stand(connection, &change.key).await?;
    let generation: Option<i64> = column(&stand, "generation")?;
    let lowest: Option<i64> = column(&stand, "position")?;
    let at_least = change.at_least.map_or(0, GlobalPosition::to_i64);
    let is_far_enough = lowest.is_none_or(|lowest| lowest >= at_least);
    Ok(generation.unwrap_or(0) as u64 == change.expected && is_far_enough)
}

async fn stand(
    connection: &mut SqliteConnection,
    key: &SubscriptionKey,
) -> Result<SqliteRow, sqlx::Error> {
    sql::of(sql::SUBSCRIPTION_STAND, key)
        .fetch_one(connection)
        .await
}

async fn put(
    connection: &mut SqliteConnection,
    change: &SubscriptionChange,
) -> Result<(), Failure> {
    let definition = &change.definition;
    let barrier = definition.barrier.as_ref();
    sql::of(sql::PUT_SUBSCRIPTION, &change.key)
        .bind(definition.state.as_str())
        .bind(definition.reason.as_deref())
        .bind(definition.fingerprint.as_str())
        .bind(positions_json(&definition.replayed)?)
        .bind(barrier.map(|barrier| barrier.position.to_i64()))
        .bind(barrier.map(|barrier| i64::from(barrier.partitions)))
        .execute(connection)
        .await?;
    Ok(())
}

async fn change_partitions(
    connection: &mut SqliteConnection,
    change: &SubscriptionChange,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    match &change.partitions {
        Partitions::Keep => {}
        Partitions::Fence => {
            sql::of(sql::FENCE_PARTITIONS, &change.key)
                .execute(connection)
                .await?;
        }
        Partitions::Replace(positions) => {
            let stand = stand(connection, &change.key).await?;
            let epoch: Option<i64> = column(&stand, "epoch")?;
            sql::of(sql::REPLACE_PARTITIONS, &change.key)
                .bind(positions_json(positions)?)
                // Without a partition before, the time: a subscription that was removed may have had any.
                .bind(epoch.unwrap_or_else(|| micros::floor(now)) + 1)
                .bind(micros::floor(now))
                .execute(connection)
                .await?;
        }
    }
    Ok(())
}

fn positions_json(positions: &[GlobalPosition]) -> Result<String, Failure> {
    let positions: Vec<_> = positions.iter().map(|position| position.get()).collect();
    Ok(json(&positions)?)
}

pub(super) async fn remove(
    connection: &mut SqliteConnection,
    subscription: &SubscriptionKey,
) -> Result<Answer, Failure> {
    let stand = stand(connection, subscription).await?;
    let generation: Option<i64> = column(&stand, "generation")?;
    sql::of(sql::REMOVE_SUBSCRIPTION, subscription)
        .execute(connection)
        .await?;
    Ok(Answer::Changed(generation.is_some()))
}
