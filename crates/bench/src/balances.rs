//! A read model with the balance of every account, in each store.

use ordain::{BoxError, EventContext, Projection, ReadModels};
use ordain_sqlite::LentConnection;
use sqlx::postgres::PgConnection;

use crate::account::AccountEvent;

/// The balance of every account.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Balances;

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS balances (account TEXT PRIMARY KEY, cents BIGINT NOT NULL)";
const ADD: &str = "INSERT INTO balances (account, cents) VALUES ($1, $2) \
    ON CONFLICT (account) DO UPDATE SET cents = balances.cents + excluded.cents";

fn cents(event: &AccountEvent) -> i64 {
    let AccountEvent::MoneyDeposited(event) = event;
    event.amount.cast_signed()
}

impl Projection<ReadModels> for Balances {
    const NAME: &'static str = "balances";
    type Events = AccountEvent;

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
        let query = sqlx::query(ADD).bind(context.id()).bind(cents(event));
        query.execute(db).await?;
        Ok(())
    }
}

impl Projection<PgConnection> for Balances {
    const NAME: &'static str = "balances";
    type Events = AccountEvent;

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
}
