//! The read models in memory.

use ordain::{BoxError, ReadModels};

use super::{Balance, Place, StatementDay, Tables};

const BALANCES: &str = "balances";
/// Which version of a read model is shown.
const SHOWN: &str = "shown";
const DAYS: &str = "daily_statement";

impl Tables for ReadModels {
    async fn make_balances(&mut self, place: &Place, version: u32) -> Result<(), BoxError> {
        match shown(self) {
            Some(_) => Ok(()),
            None => self.show_balances(place, version).await,
        }
    }

    async fn show_balances(&mut self, _: &Place, version: u32) -> Result<(), BoxError> {
        self.put(SHOWN, BALANCES, version);
        Ok(())
    }

    async fn clear_balances(&mut self, _: &Place, version: u32) -> Result<(), BoxError> {
        self.clear(&balances_of(version));
        Ok(())
    }

    async fn balance(
        &mut self,
        _: &Place,
        version: u32,
        account: &str,
    ) -> Result<Option<Balance>, BoxError> {
        Ok(self.get(&balances_of(version), account))
    }

    async fn put_balance(&mut self, _: &Place, version: u32, row: Balance) -> Result<(), BoxError> {
        self.put(&balances_of(version), row.account.clone(), row);
        Ok(())
    }

    async fn make_days(&mut self, _: &Place) -> Result<(), BoxError> {
        Ok(())
    }

    async fn clear_days(&mut self, _: &Place) -> Result<(), BoxError> {
        self.clear(DAYS);
        Ok(())
    }

    async fn last_day(
        &mut self,
        _: &Place,
        account: &str,
        until: &str,
    ) -> Result<Option<StatementDay>, BoxError> {
        Ok(last_day(self, account, until))
    }

    async fn put_day(&mut self, _: &Place, row: StatementDay) -> Result<(), BoxError> {
        let account = row.account.clone();
        let mut days = days_of(self, &account);
        days.retain(|day| day.day != row.day);
        days.push(row);
        self.put(DAYS, account, days);
        Ok(())
    }
}

/// Which version of the balances is shown.
fn shown(models: &ReadModels) -> Option<u32> {
    models.get(SHOWN, BALANCES)
}

fn balances_of(version: u32) -> String {
    format!("{BALANCES} {version}")
}

pub(super) fn balance(models: &ReadModels, account: &str) -> Option<Balance> {
    models.get(&balances_of(shown(models)?), account)
}

pub(super) fn balances(models: &ReadModels) -> Vec<Balance> {
    let Some(version) = shown(models) else {
        return Vec::new();
    };
    let rows = models.list(&balances_of(version)).into_iter();
    rows.map(|(_, row)| row).collect()
}

pub(super) fn last_day(models: &ReadModels, account: &str, until: &str) -> Option<StatementDay> {
    let days = days_of(models, account);
    days.into_iter().rfind(|day| day.day.as_str() <= until)
}

pub(super) fn days(models: &ReadModels) -> Vec<StatementDay> {
    let accounts = models.list::<Vec<StatementDay>>(DAYS).into_iter();
    accounts.flat_map(|(_, days)| days).collect()
}

/// The days of an account, the earliest first.
fn days_of(models: &ReadModels, account: &str) -> Vec<StatementDay> {
    models.get(DAYS, account).unwrap_or_default()
}
