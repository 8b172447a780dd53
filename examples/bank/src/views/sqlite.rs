//! The read models in an SQLite file.

use ordain::BoxError;
use ordain_sqlite::LentConnection;
use sqlx::{AssertSqlSafe, Error, Executor, Sqlite, SqliteExecutor};

use super::place::of_version;
use super::{Balance, Place, StatementDay, Tables};

impl Tables for LentConnection {
    async fn make_balances(&mut self, place: &Place, version: u32) -> Result<(), BoxError> {
        let table = include_str!("sql/sqlite/make_balances.sql");
        carry_out(self, of_version(table, version)).await?;
        let shown = sqlx::query_scalar(include_str!("sql/sqlite/are_balances_shown.sql"));
        match shown.fetch_one(&mut *self).await? {
            true => Ok(()),
            false => self.show_balances(place, version).await,
        }
    }

    async fn show_balances(&mut self, _: &Place, version: u32) -> Result<(), BoxError> {
        carry_out(self, include_str!("sql/sqlite/hide_balances.sql").into()).await?;
        let statement = include_str!("sql/sqlite/show_balances.sql");
        carry_out(self, of_version(statement, version)).await
    }

    async fn clear_balances(&mut self, _: &Place, version: u32) -> Result<(), BoxError> {
        let statement = include_str!("sql/sqlite/clear_balances.sql");
        carry_out(self, of_version(statement, version)).await
    }

    async fn balance(
        &mut self,
        _: &Place,
        version: u32,
        account: &str,
    ) -> Result<Option<Balance>, BoxError> {
        let statement = include_str!("sql/sqlite/balance_of_version.sql");
        let statement = AssertSqlSafe(of_version(statement, version));
        let row = sqlx::query_as(statement).bind(account);
        Ok(row.fetch_optional(self).await?)
    }

    async fn put_balance(&mut self, _: &Place, version: u32, row: Balance) -> Result<(), BoxError> {
        let statement = include_str!("sql/sqlite/put_balance.sql");
        let put = sqlx::query(AssertSqlSafe(of_version(statement, version)))
            .bind(row.account)
            .bind(row.owner)
            .bind(row.balance)
            .bind(row.reserved)
            .bind(row.closed)
            .bind(row.version);
        put.execute(self).await?;
        Ok(())
    }

    async fn make_days(&mut self, _: &Place) -> Result<(), BoxError> {
        carry_out(self, include_str!("sql/sqlite/make_days.sql").into()).await
    }

    async fn clear_days(&mut self, _: &Place) -> Result<(), BoxError> {
        carry_out(self, include_str!("sql/sqlite/clear_days.sql").into()).await
    }

    async fn last_day(
        &mut self,
        _: &Place,
        account: &str,
        until: &str,
    ) -> Result<Option<StatementDay>, BoxError> {
        Ok(last_day(self, account, until).await?)
    }

    async fn put_day(&mut self, _: &Place, row: StatementDay) -> Result<(), BoxError> {
        let put = sqlx::query(include_str!("sql/sqlite/put_day.sql"))
            .bind(row.account)
            .bind(row.day)
            .bind(row.opening)
            .bind(row.money_in)
            .bind(row.money_out);
        put.execute(self).await?;
        Ok(())
    }
}

async fn carry_out(db: &mut LentConnection, statement: String) -> Result<(), BoxError> {
    db.execute(sqlx::query::<Sqlite>(AssertSqlSafe(statement)))
        .await?;
    Ok(())
}

pub(super) async fn balance(
    db: impl SqliteExecutor<'_>,
    account: &str,
) -> Result<Option<Balance>, Error> {
    let row = sqlx::query_as(include_str!("sql/sqlite/balance.sql")).bind(account);
    row.fetch_optional(db).await
}

pub(super) async fn balances(db: impl SqliteExecutor<'_>) -> Result<Vec<Balance>, Error> {
    let rows = sqlx::query_as(include_str!("sql/sqlite/balances.sql"));
    rows.fetch_all(db).await
}

pub(super) async fn last_day(
    db: impl SqliteExecutor<'_>,
    account: &str,
    until: &str,
) -> Result<Option<StatementDay>, Error> {
    let row = sqlx::query_as(include_str!("sql/sqlite/last_day.sql"));
    row.bind(account).bind(until).fetch_optional(db).await
}

pub(super) async fn days(db: impl SqliteExecutor<'_>) -> Result<Vec<StatementDay>, Error> {
    let rows = sqlx::query_as(include_str!("sql/sqlite/days.sql"));
    rows.fetch_all(db).await
}
