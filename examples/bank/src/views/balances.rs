//! What is in each account.

use ordain::prelude::*;

use super::{Balance, Place, Tables};
use crate::domain::{
    AccountClosed, AccountOpened, MoneyDeposited, MoneyReceived, MoneyReserved, MoneyWithdrawn,
    ReservationConfirmed, ReservationReleased,
};

/// What is in each account. Every version of it has a table of its own; one of them is shown.
#[derive(Debug, Clone, Projection)]
#[projection(
    name = "balances",
    version = VERSION,
    events(
        AccountOpened,
        MoneyDeposited,
        MoneyWithdrawn,
        AccountClosed,
        MoneyReserved,
        MoneyReceived,
        ReservationConfirmed,
        ReservationReleased,
    ),
    tables
)]
pub struct Balances<const VERSION: u32 = 1> {
    place: Place,
}

impl<const VERSION: u32> Balances<VERSION> {
    /// In tables that are there.
    pub fn at(place: Place) -> Self {
        Self { place }
    }

    /// Changes the row of the account that the event is about.
    async fn change<Conn: Tables>(
        &self,
        context: &EventContext,
        db: &mut Conn,
        change: impl FnOnce(&mut Balance) + Send,
    ) -> Result<(), BoxError> {
        let account = context.id();
        let found = db.balance(&self.place, VERSION, account).await?;
        let mut row = found.unwrap_or_else(|| Balance {
            account: account.to_owned(),
            ..Balance::default()
        });
        change(&mut row);
        row.version = context.version().get().try_into()?;
        db.put_balance(&self.place, VERSION, row).await
    }
}

impl<Conn: Tables, const VERSION: u32> ReadModel<Conn> for Balances<VERSION> {
    async fn setup(&self, db: &mut Conn) -> Result<(), BoxError> {
        db.make_balances(&self.place, VERSION).await
    }

    async fn reset(&self, db: &mut Conn) -> Result<(), BoxError> {
        db.clear_balances(&self.place, VERSION).await
    }

    async fn take_over(&self, db: &mut Conn) -> Result<(), BoxError> {
        db.show_balances(&self.place, VERSION).await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<AccountOpened, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &AccountOpened,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.owner.clone_from(&event.owner))
            .await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<MoneyDeposited, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &MoneyDeposited,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.balance += event.amount.cents())
            .await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<MoneyWithdrawn, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &MoneyWithdrawn,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.balance -= event.amount.cents())
            .await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<AccountClosed, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        _: &AccountClosed,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.closed = true).await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<MoneyReserved, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &MoneyReserved,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.reserved += event.amount.cents())
            .await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<MoneyReceived, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &MoneyReceived,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.balance += event.amount.cents())
            .await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<ReservationConfirmed, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &ReservationConfirmed,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        let amount = event.amount.cents();
        self.change(context, db, |row| {
            row.reserved -= amount;
            row.balance -= amount;
        })
        .await
    }
}

impl<Conn: Tables, const VERSION: u32> Project<ReservationReleased, Conn> for Balances<VERSION> {
    async fn project(
        &self,
        event: &ReservationReleased,
        context: &EventContext,
        db: &mut Conn,
    ) -> Result<(), BoxError> {
        self.change(context, db, |row| row.reserved -= event.amount.cents())
            .await
    }
}
