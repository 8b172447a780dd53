//! What the read side remembers: subscriptions, leases, blocks, process instances, commands, timers.

mod blocks;
mod change;
mod commit;
mod lease;
mod process;
mod progress;
mod records;
mod work;

pub use self::work::PostgresWork;

use std::time::Duration;

use async_trait::async_trait;
use ordain::StoreError;
use ordain::store::{
    Block, BlockRequest, Claim, Committed, Heartbeat, InstanceQuery, InstanceRecord, Lease,
    LeaseKey, OutgoingQuery, OutgoingRecord, OwnerId, Progress, SubscriptionChange,
    SubscriptionKey, SubscriptionRecord, SubscriptionStore, TimerQuery, TimerRecord, TimersDue,
};

use crate::PostgresStore;
use crate::session::Statement;
use crate::sql::Sql;

#[async_trait]
impl SubscriptionStore for PostgresStore {
    async fn subscriptions(
        &self,
        name: Option<&str>,
    ) -> Result<Vec<SubscriptionRecord>, StoreError> {
        records::subscriptions(self.reader()?, name).await
    }

    async fn change_subscriptions(
        &self,
        changes: Vec<SubscriptionChange>,
    ) -> Result<bool, StoreError> {
        change::change(self.reader()?, &changes).await
    }

    async fn remove_subscription(
        &self,
        subscription: &SubscriptionKey,
    ) -> Result<bool, StoreError> {
        change::remove(self.reader()?, subscription).await
    }

    async fn keep_alive(&self, beat: Heartbeat) -> Result<Vec<SubscriptionRecord>, StoreError> {
        lease::keep_alive(self.reader()?, &beat).await
    }

    async fn claim(&self, claim: Claim) -> Result<Vec<Lease>, StoreError> {
        lease::claim(self.reader()?, &claim).await
    }

    async fn release(&self, leases: Vec<LeaseKey>) -> Result<(), StoreError> {
        lease::release(self.reader()?, &leases).await
    }

    async fn leave(&self, owner: OwnerId) -> Result<(), StoreError> {
        lease::leave(self.reader()?, owner).await
    }

    async fn commit(&self, progress: Progress) -> Result<Committed, StoreError> {
        commit::commit(self.inner()?, &progress).await
    }

    async fn blocks(
        &self,
        subscription: &SubscriptionKey,
        limit: u32,
    ) -> Result<Vec<Block>, StoreError> {
        blocks::blocks(self.reader()?, subscription, limit).await
    }

    async fn request_blocks(
        &self,
        subscription: &SubscriptionKey,
        key: Option<&str>,
        request: BlockRequest,
    ) -> Result<u64, StoreError> {
        blocks::request(self.reader()?, subscription, key, request).await
    }

    async fn instances(
        &self,
        subscription: &SubscriptionKey,
        ids: &[String],
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        process::instances(self.reader()?, subscription, ids).await
    }

    async fn list_instances(
        &self,
        query: InstanceQuery,
    ) -> Result<Vec<InstanceRecord>, StoreError> {
        process::list_instances(self.reader()?, &query).await
    }

    async fn outgoing(&self, query: OutgoingQuery) -> Result<Vec<OutgoingRecord>, StoreError> {
        process::outgoing(self.reader()?, &query).await
    }

    async fn timers_due(&self, query: TimerQuery) -> Result<TimersDue, StoreError> {
        process::timers_due(self.reader()?, &query).await
    }

    async fn timers(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
    ) -> Result<Vec<TimerRecord>, StoreError> {
        process::timers(self.reader()?, subscription, instance).await
    }

    async fn set_timer(
        &self,
        subscription: &SubscriptionKey,
        timer: TimerRecord,
    ) -> Result<(), StoreError> {
        process::set_timer(self.reader()?, subscription, &timer).await
    }

    async fn cancel_timer(
        &self,
        subscription: &SubscriptionKey,
        instance: &str,
        key: &str,
    ) -> Result<bool, StoreError> {
        process::cancel_timer(self.reader()?, subscription, instance, key).await
    }

    async fn prune(
        &self,
        subscription: &SubscriptionKey,
        dead_letters: Option<Duration>,
        finished_instances: Option<Duration>,
    ) -> Result<u64, StoreError> {
        let reader = self.reader()?;
        let mut pruned = 0;
        if let Some(age) = dead_letters {
            pruned += blocks::prune(reader, subscription, age).await?;
        }
        if let Some(age) = finished_instances {
            pruned += process::prune(reader, subscription, age).await?;
        }
        Ok(pruned)
    }
}

/// A statement whose first arguments are a subscription's name and version.
fn of<'q>(sql: &Sql, subscription: &SubscriptionKey) -> Statement<'q> {
    sql.query()
        .bind(subscription.name.to_string())
        .bind(i64::from(subscription.version))
}

/// A span of time for the server, a century at the most.
fn micros(time: Duration) -> i64 {
    const CENTURY: i64 = 100 * 365 * 24 * 3_600 * 1_000_000;
    i64::try_from(time.as_micros()).map_or(CENTURY, |micros| micros.min(CENTURY))
}

/// At most so many rows, at least one.
fn limit(rows: u32) -> i64 {
    i64::from(rows.max(1))
}

/// What a program says of an error, which may hold what PostgreSQL does not keep.
fn text(error: &str) -> String {
    error.replace('\0', "\u{fffd}")
}

/// A request whose effect cannot be told from that of another like it.
fn ambiguous() -> StoreError {
    StoreError::OutcomeUnknown {
        source: "the connection was lost, and when the request was sent again there was nothing left to do".into(),
    }
}
