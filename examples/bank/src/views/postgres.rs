//! The read models in a PostgreSQL database.

use ordain::BoxError;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Error, PgExecutor};

use super::{Balance, Place, StatementDay, Tables};

impl Tables for PgConnection {
    async fn make_balances(&mut self, place: &Place, version: u32) -> Result<(), BoxError> {
        let table = include_str!("sql/postgres/make_balances.sql");
        carry_out(self, place.sql_of(table, version)).await?;
        let shown = sqlx::query_scalar(include_str!("sql/postgres/are_balances_shown.sql"))
            .bind(place.name("bank_balances"))
            .persistent(false);
        match shown.fetch_one(&mut *self).await? {
            true => Ok(()),
            false => self.show_balances(place, version).await,
        }
    }

    async fn show_balances(&mut self, place: &Place, version: u32) -> Result<(), BoxError> {
        let statement = include_str!("sql/postgres/show_balances.sql");
        carry_out(self, place.sql_of(statement, version)).await
    }

    async fn clear_balances(&mut self, place: &Place, version: u32) -> Result<(), BoxError> {
        let statement = include_str!("sql/postgres/clear_balances.sql");
        carry_out(self, place.sql_of(statement, version)).await
    }

    async fn balance(
        &mut self,
        place: &Place,
        version: u32,
        account: &str,
    ) -> Result<Option<Balance>, BoxError> {
        let statement = include_str!("sql/postgres/balance_of_version.sql");
        let statement = AssertSqlSafe(place.sql_of(statement, version));
        let row = sqlx::query_as(statement).bind(account);
        let row = row.persistent(place.keeps_statements());
        Ok(row.fetch_optional(self).await?)
    }

    async fn put_balance(
        &mut self,
        place: &Place,
        version: u32,
        row: Balance,
    ) -> Result<(), BoxError> {
        let statement = include_str!("sql/postgres/put_balance.sql");
        let put = sqlx::query(AssertSqlSafe(place.sql_of(statement, version)))
            .bind(row.account)
            .bind(row.owner)
            .bind(row.balance)
            .bind(row.reserved)
            .bind(row.closed)
            .bind(row.version);
        let put = put.persistent(place.keeps_statements());
        put.execute(self).await?;
        Ok(())
    }

    async fn make_days(&mut self, place: &Place) -> Result<(), BoxError> {
        let statement = include_str!("sql/postgres/make_days.sql");
        carry_out(self, place.sql(statement)).await
    }

    async fn clear_days(&mut self, place: &Place) -> Result<(), BoxError> {
        let statement = include_str!("sql/postgres/clear_days.sql");
        carry_out(self, place.sql(statement)).await
    }

    async fn last_day(
        &mut self,
        place: &Place,
        account: &str,
        until: &str,
    ) -> Result<Option<StatementDay>, BoxError> {
        Ok(last_day(self, place, account, until).await?)
    }

    async fn put_day(&mut self, place: &Place, row: StatementDay) -> Result<(), BoxError> {
        let statement = place.sql(include_str!("sql/postgres/put_day.sql"));
        let put = sqlx::query(AssertSqlSafe(statement))
            .bind(row.account)
            .bind(row.day)
            .bind(row.opening)
            .bind(row.money_in)
            .bind(row.money_out);
        let put = put.persistent(place.keeps_statements());
        put.execute(self).await?;
        Ok(())
    }
}

async fn carry_out(db: &mut PgConnection, statement: String) -> Result<(), BoxError> {
    let statement = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    statement.execute(db).await?;
    Ok(())
}

pub(super) async fn balance(
    db: impl PgExecutor<'_>,
    place: &Place,
    account: &str,
) -> Result<Option<Balance>, Error> {
    let statement = place.sql(include_str!("sql/postgres/balance.sql"));
    let row = sqlx::query_as(AssertSqlSafe(statement)).bind(account);
    let row = row.persistent(place.keeps_statements());
    row.fetch_optional(db).await
}

pub(super) async fn balances(
    db: impl PgExecutor<'_>,
    place: &Place,
) -> Result<Vec<Balance>, Error> {
    let statement = place.sql(include_str!("sql/postgres/balances.sql"));
    let rows = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
    rows.fetch_all(db).await
}

pub(super) async fn last_day(
    db: impl PgExecutor<'_>,
    place: &Place,
    account: &str,
    until: &str,
) -> Result<Option<StatementDay>, Error> {
    let statement = place.sql(include_str!("sql/postgres/last_day.sql"));
    let row = sqlx::query_as(AssertSqlSafe(statement));
    let row = row.bind(account).bind(until);
    let row = row.persistent(place.keeps_statements());
    row.fetch_optional(db).await
}

pub(super) async fn days(
    db: impl PgExecutor<'_>,
    place: &Place,
) -> Result<Vec<StatementDay>, Error> {
    let statement = place.sql(include_str!("sql/postgres/days.sql"));
    let rows = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
    rows.fetch_all(db).await
}
