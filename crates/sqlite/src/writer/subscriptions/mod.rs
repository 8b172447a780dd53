//! Writing what the read side has to remember.

mod changes;
mod definitions;
mod leases;
mod progress;

use std::time::Duration;

use ordain::store::{
    BlockRequest, Change, Claim, Heartbeat, LeaseKey, OwnerId, Progress, SubscriptionChange,
    SubscriptionKey, TimerRecord,
};
use sqlx::sqlite::SqliteConnection;
use time::OffsetDateTime;

use super::batch::Failure;
use super::work::{Answer, Verdict};
use crate::subscriptions::block_request;
use crate::{micros, sql};

/// A request that writes what the read side has to remember.
#[derive(Debug)]
pub(crate) enum SubscriptionWork {
    Change(Vec<SubscriptionChange>),
    Remove(SubscriptionKey),
    KeepAlive(Heartbeat),
    Claim(Claim),
    Release(Vec<LeaseKey>),
    Leave(OwnerId),
    Commit(Progress),
    RequestBlocks {
        subscription: SubscriptionKey,
        key: Option<String>,
        request: BlockRequest,
    },
    SetTimer {
        subscription: SubscriptionKey,
        timer: TimerRecord,
    },
    CancelTimer {
        subscription: SubscriptionKey,
        instance: String,
        key: String,
    },
    Prune {
        subscription: SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    },
}

impl SubscriptionWork {
    /// About how many bytes it brings.
    pub(super) fn bytes(&self) -> usize {
        let Self::Commit(progress) = self else {
            return 0;
        };
        let data = |change: &Change| match change {
            Change::PutInstance(instance) => instance.data.len(),
            Change::PutOutgoing(outgoing) => outgoing.data.len(),
            Change::PutTimer(timer) => timer.data.len(),
            _ => 0,
        };
        progress.changes.iter().map(data).sum()
    }
}

/// Carries out a request in the open transaction. One that does not apply writes nothing.
pub(super) async fn carry_out(
    connection: &mut SqliteConnection,
    work: &SubscriptionWork,
    now: OffsetDateTime,
) -> Result<Verdict, Failure> {
    let answer = match work {
        SubscriptionWork::Change(changes) => definitions::change(connection, changes, now).await?,
        SubscriptionWork::Remove(subscription) => {
            definitions::remove(connection, subscription).await?
        }
        SubscriptionWork::KeepAlive(beat) => leases::keep_alive(connection, beat, now).await?,
        SubscriptionWork::Claim(claim) => leases::claim(connection, claim, now).await?,
        SubscriptionWork::Release(leases) => leases::release(connection, leases).await?,
        SubscriptionWork::Leave(owner) => leases::leave(connection, *owner).await?,
        SubscriptionWork::Commit(progress) => progress::commit(connection, progress, now).await?,
        SubscriptionWork::RequestBlocks {
            subscription,
            key,
            request,
        } => request_blocks(connection, subscription, key.as_deref(), *request).await?,
        SubscriptionWork::SetTimer {
            subscription,
            timer,
        } => {
            changes::put_timer(connection, subscription, timer).await?;
            Answer::Done
        }
        SubscriptionWork::CancelTimer {
            subscription,
            instance,
            key,
        } => {
            let removed = changes::remove_timer(connection, subscription, instance, key).await?;
            Answer::Changed(removed > 0)
        }
        SubscriptionWork::Prune {
            subscription,
            dead_letters,
            finished_instances,
        } => {
            let ages = [dead_letters, finished_instances];
            let before =
                ages.map(|age| age.map(|age| micros::floor(now).saturating_sub(micros::of(age))));
            prune(connection, subscription, before).await?
        }
    };
    Ok(Ok(answer))
}

async fn request_blocks(
    connection: &mut SqliteConnection,
    subscription: &SubscriptionKey,
    key: Option<&str>,
    request: BlockRequest,
) -> Result<Answer, Failure> {
    let done = sql::of(sql::REQUEST_BLOCKS, subscription)
        .bind(key)
        .bind(block_request(request))
        .execute(connection)
        .await?;
    Ok(Answer::Count(done.rows_affected()))
}

async fn prune(
    connection: &mut SqliteConnection,
    subscription: &SubscriptionKey,
    [dead_letters, finished_instances]: [Option<i64>; 2],
) -> Result<Answer, Failure> {
    let done = sql::of(sql::PRUNE, subscription)
        .bind(dead_letters)
        .bind(finished_instances)
        .execute(connection)
        .await?;
    Ok(Answer::Count(done.rows_affected()))
}
