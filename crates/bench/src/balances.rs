//! A read model with the balance of every account, in each store.

use std::collections::BTreeMap;

use ordain::subscription::SubscriptionOptions;
use ordain::{BoxError, EventContext, Projected, Projection, ReadModels};
use ordain_sqlite::LentConnection;
use sqlx::postgres::PgConnection;

use crate::account::AccountEvent;

/// The balance of every account.
#[derive(Debug)]
pub(crate) struct Balances {
    pub(crate) writing: Writing,
    pub(crate) partitions: u32,
}

/// How it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writing {
    /// A statement for each event.
    OneByOne,
    /// The events of a batch are added up before they are written.
    InBatches,
}

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL)";
const ADD: &str = "INSERT INTO balances (account, cents) VALUES ($1, $2) \
    ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents";

const ADD_ALL: &str = "INSERT INTO balances (account, cents) SELECT * FROM unnest($1::text[], $2::bigint[]) \
    ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents";

/// What the events add to each account.
fn sums<'e>(events: &[Projected<'e, AccountEvent>]) -> BTreeMap<&'e str, i64> {
    let mut sums = BTreeMap::new();
    for Projected { event, context } in events {
        *sums.entry(context.id()).or_default() += cents(event);
    }
    sums
}

fn cents(event: &AccountEvent) -> i64 {
    let AccountEvent::MoneyDeposited(event) = event;
    event.amount.cast_signed()
}

impl Projection<ReadModels> for Balances {
    const NAME: &'static str = "balances";
    type Events = AccountEvent;

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new().partitions(self.partitions)
    }

    async fn project(
        &self,
        event: &AccountEvent,
        context: &EventContext,
        db: &mut ReadModels,
    ) -> Result<(), BoxError> {
        let before: i64 = db.get("balances", context.id()).unwrap_or_default();
        db.put("balances", context.id(), before + cents(event));
        Ok(())
    }
}

impl Projection<LentConnection> for Balances {
    const NAME: &'static str = "balances";
    type Events = AccountEvent;

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new().partitions(self.partitions)
    }

    async fn setup(&self, db: &mut LentConnection) -> Result<(), BoxError> {
        sqlx::query(TABLE).execute(db).await?;
        Ok(())
    }

    async fn project(
        &self,
        event: &AccountEvent,
        context: &EventContext,
        db: &mut LentConnection,
    ) -> Result<(), BoxError> {
        add(db, context.id(), cents(event)).await
    }

    async fn project_batch(
        &self,
        events: &[Projected<'_, AccountEvent>],
        db: &mut LentConnection,
    ) -> Result<(), BoxError> {
        if self.writing == Writing::OneByOne {
            for Projected { event, context } in events {
                add(db, context.id(), cents(event)).await?;
            }
            return Ok(());
        }
        for (account, cents) in sums(events) {
            add(db, account, cents).await?;
        }
        Ok(())
    }
}

async fn add(db: &mut LentConnection, account: &str, cents: i64) -> Result<(), BoxError> {
    let query = sqlx::query(ADD).bind(account).bind(cents);
    query.execute(db).await?;
    Ok(())
}

impl Projection<PgConnection> for Balances {
    const NAME: &'static str = "balances";
    type Events = AccountEvent;

    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::new().partitions(self.partitions)
    }

    async fn setup(&self, db: &mut PgConnection) -> Result<(), BoxError> {
        sqlx::query(TABLE).execute(db).await?;
        Ok(())
    }

    async fn project(
        &self,
        event: &AccountEvent,
        context: &EventContext,
        db: &mut PgConnection,
    ) -> Result<(), BoxError> {
        let query = sqlx::query(ADD).bind(context.id()).bind(cents(event));
        query.execute(db).await?;
        Ok(())
    }

    async fn project_batch(
        &self,
        events: &[Projected<'_, AccountEvent>],
        db: &mut PgConnection,
    ) -> Result<(), BoxError> {
        if self.writing == Writing::OneByOne {
            for Projected { event, context } in events {
                Projection::<PgConnection>::project(self, event, context, db).await?;
            }
            return Ok(());
        }
        let (accounts, cents): (Vec<_>, Vec<_>) = sums(events).into_iter().unzip();
        let query = sqlx::query(ADD_ALL).bind(accounts).bind(cents);
        query.execute(db).await?;
        Ok(())
    }
}
