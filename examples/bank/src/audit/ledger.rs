//! What the read models have to hold, by a replay of the log.

use std::collections::BTreeMap;

use ordain::RecordedEvent;

use crate::domain::AccountEvent;
use crate::views::{Balance, StatementDay, day_of};

/// What the read models have to hold, by a replay of the log.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    balances: BTreeMap<String, Balance>,
    days: BTreeMap<String, Vec<StatementDay>>,
}

/// What an event changes, in cents.
#[derive(Debug, Default)]
struct Movement {
    paid_in: i64,
    paid_out: i64,
    reserved: i64,
}

impl Ledger {
    pub(super) fn balances(&self) -> Vec<Balance> {
        self.balances.values().cloned().collect()
    }

    pub(super) fn days(&self) -> Vec<StatementDay> {
        self.days.values().flatten().cloned().collect()
    }

    pub(super) fn take(&mut self, recorded: &RecordedEvent, event: &AccountEvent) {
        let (account, movement) = (recorded.stream.id(), Movement::of(event));
        let row = self.balances.entry(account.to_owned()).or_default();
        account.clone_into(&mut row.account);
        row.balance += movement.paid_in - movement.paid_out;
        row.reserved += movement.reserved;
        row.version = i64::try_from(recorded.version.get()).unwrap_or(i64::MAX);
        match event {
            AccountEvent::AccountOpened(event) => row.owner.clone_from(&event.owner),
            AccountEvent::AccountClosed(_) => row.closed = true,
            _ => {}
        }
        if movement.paid_in + movement.paid_out != 0 {
            self.add_to_day(account, &day_of(recorded.recorded_at), &movement);
        }
    }

    fn add_to_day(&mut self, account: &str, day: &str, movement: &Movement) {
        let days = self.days.entry(account.to_owned()).or_default();
        let is_new = days.last().is_none_or(|last| last.day.as_str() < day);
        if is_new {
            days.push(StatementDay {
                account: account.to_owned(),
                day: day.to_owned(),
                opening: days.last().map_or(0, StatementDay::closing),
                ..StatementDay::default()
            });
        }
        if let Some(last) = days.last_mut() {
            last.money_in += movement.paid_in;
            last.money_out += movement.paid_out;
        }
    }
}

impl Movement {
    fn of(event: &AccountEvent) -> Self {
        let (mut paid_in, mut paid_out, mut reserved) = (0, 0, 0);
        match event {
            AccountEvent::MoneyDeposited(event) => paid_in = event.amount.cents(),
            AccountEvent::MoneyReceived(event) => paid_in = event.amount.cents(),
            AccountEvent::MoneyWithdrawn(event) => paid_out = event.amount.cents(),
            AccountEvent::MoneyReserved(event) => reserved = event.amount.cents(),
            AccountEvent::ReservationReleased(event) => reserved = -event.amount.cents(),
            AccountEvent::ReservationConfirmed(event) => {
                paid_out = event.amount.cents();
                reserved = -paid_out;
            }
            AccountEvent::AccountOpened(_) | AccountEvent::AccountClosed(_) => {}
        }
        Self {
            paid_in,
            paid_out,
            reserved,
        }
    }
}
