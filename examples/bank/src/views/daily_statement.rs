//! What came in and went out, by account and day.

use ordain::prelude::*;

use super::rows::day_of;
use super::{Place, StatementDay, Tables};
use crate::domain::{MoneyDeposited, MoneyReceived, MoneyWithdrawn, ReservationConfirmed};

/// What came in and went out, by account and day.
#[derive(Debug, Clone, Projection)]
#[projection(
    name = "daily_statement",
    events(MoneyDeposited, MoneyWithdrawn, MoneyReceived, ReservationConfirmed),
    tables
)]
pub struct DailyStatement {
    place: Place,
}

impl DailyStatement {
    /// In tables that are there.
    pub fn at(place: Place) -> Self {
        Self { place }
    }

    /// Adds to the day of the event.
    async fn add<Conn: Tables>(
        &self,
        context: &EventContext,
        db: &mut Conn,
        money_in: i64,
        money_out: i64,
    ) -> Result<(), BoxError> {
        let mut day = self.day(context, db).await?;
        day.money_in += money_in;
        day.money_out += money_out;
        db.put_day(&self.place, day).await
    }

    /// The day of the event, or the one before if a clock was set back.
    async fn day<Conn: Tables>(
        &self,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<StatementDay, BoxError> {
        const EVER: &str = "9999-12-31";
        let (account, day) = (context.id(), day_of(context.recorded_at()));
        let last = db.last_day(&self.place, account, EVER).await?;
        Ok(match last {
            Some(last) if last.day >= day => last,
            Some(last) => last.followed_by(day),
            None => StatementDay {
                account: account.to_owned(),
                day,
                ..StatementDay::default()
            },
        })
    }
}

impl<Conn: Tables> ReadModel<Conn> for DailyStatement {
    async fn setup(&self, db: &mut Conn) -> Result<(), BoxError> {
        db.make_days(&self.place).await
    }

    async fn reset(&self, db: &mut Conn) -> Result<(), BoxError> {
        db.clear_days(&self.place).await
    }
}

impl<Conn: Tables> Project<MoneyDeposited, Conn> for DailyStatement {
    async fn project(
        &self,
        event: &MoneyDeposited,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.add(context, db, event.amount.cents(), 0).await
    }
}

impl<Conn: Tables> Project<MoneyWithdrawn, Conn> for DailyStatement {
    async fn project(
        &self,
        event: &MoneyWithdrawn,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.add(context, db, 0, event.amount.cents()).await
    }
}

impl<Conn: Tables> Project<MoneyReceived, Conn> for DailyStatement {
    async fn project(
        &self,
        event: &MoneyReceived,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.add(context, db, event.amount.cents(), 0).await
    }
}

impl<Conn: Tables> Project<ReservationConfirmed, Conn> for DailyStatement {
    async fn project(
        &self,
        event: &ReservationConfirmed,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.add(context, db, 0, event.amount.cents()).await
    }
}
