//! The tables of the read models, in whichever store.

use std::future::Future;

use ordain::BoxError;

use super::{Balance, Place, StatementDay};

/// A connection to the tables of the read models.
pub trait Tables: Send + 'static {
    /// Makes the table of a version of the balances unless it is there; shows it where none is shown.
    fn make_balances(
        &mut self,
        place: &Place,
        version: u32,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Shows this version of the balances from now on.
    fn show_balances(
        &mut self,
        place: &Place,
        version: u32,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Empties the table of a version of the balances.
    fn clear_balances(
        &mut self,
        place: &Place,
        version: u32,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The row of an account in a version of the balances.
    fn balance(
        &mut self,
        place: &Place,
        version: u32,
        account: &str,
    ) -> impl Future<Output = Result<Option<Balance>, BoxError>> + Send;

    /// Writes the row of an account in a version of the balances.
    fn put_balance(
        &mut self,
        place: &Place,
        version: u32,
        row: Balance,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Makes the table of days unless it is there.
    fn make_days(&mut self, place: &Place) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Empties the table of days.
    fn clear_days(&mut self, place: &Place) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// The last day of an account up to this one.
    fn last_day(
        &mut self,
        place: &Place,
        account: &str,
        until: &str,
    ) -> impl Future<Output = Result<Option<StatementDay>, BoxError>> + Send;

    /// Writes a day of an account.
    fn put_day(
        &mut self,
        place: &Place,
        row: StatementDay,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}
