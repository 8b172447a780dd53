//! The account.

use std::collections::BTreeMap;

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

use super::{
    AccountClosed, AccountError, AccountId, AccountOpened, CloseAccount, ConfirmReservation,
    Deposit, Money, MoneyDeposited, MoneyReceived, MoneyReserved, MoneyWithdrawn, OpenAccount,
    ReceiveMoney, ReleaseReservation, ReservationConfirmed, ReservationReleased, ReserveMoney,
    TransferId, Withdraw,
};

/// An account: money, and whose it is.
///
/// Money that a transfer reserves stays in the account until the transfer has arrived; until then it
/// cannot be spent.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize, Deserialize, Aggregate)]
#[aggregate(
    category = "account",
    id = AccountId,
    commands(
        OpenAccount, Deposit, Withdraw, CloseAccount,
        ReserveMoney, ReceiveMoney, ConfirmReservation, ReleaseReservation,
    ),
    events(
        AccountOpened, MoneyDeposited, MoneyWithdrawn, AccountClosed,
        MoneyReserved, MoneyReceived, ReservationConfirmed, ReservationReleased,
    ),
    created_by(OpenAccount),
    error = AccountError,
    snapshot(every = 100, version = 2),
)]
pub struct Account {
    owner: String,
    balance: Money,
    closed: bool,
    reservations: BTreeMap<TransferId, Money>,
}

impl Account {
    /// Whose it is.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// The money in it.
    pub fn balance(&self) -> Money {
        self.balance
    }

    /// The part of it that transfers reserve.
    pub fn reserved(&self) -> Money {
        let amounts = self.reservations.values();
        amounts.fold(Money::ZERO, |sum, amount| sum.saturating_add(*amount))
    }

    /// The part of it that can be spent.
    pub fn available(&self) -> Money {
        self.balance.saturating_sub(self.reserved())
    }

    /// Whether it is closed.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn check_open(&self) -> Result<(), AccountError> {
        if self.closed {
            return Err(AccountError::Closed);
        }
        Ok(())
    }

    fn check_can_spend(&self, amount: Money) -> Result<(), AccountError> {
        let balance = self.available();
        self.check_open()?;
        check_positive(amount)?;
        if amount > balance {
            return Err(AccountError::InsufficientFunds { balance, amount });
        }
        Ok(())
    }

    fn check_can_take(&self, amount: Money) -> Result<(), AccountError> {
        self.check_open()?;
        check_positive(amount)?;
        if self.balance.checked_add(amount).is_none() {
            return Err(AccountError::BalanceTooLarge);
        }
        Ok(())
    }

    fn reservation(&self, transfer: &TransferId) -> Result<Money, AccountError> {
        let amount = self.reservations.get(transfer);
        amount.copied().ok_or(AccountError::NotReserved)
    }
}

fn check_positive(amount: Money) -> Result<(), AccountError> {
    if amount.is_zero() {
        return Err(AccountError::AmountNotPositive);
    }
    Ok(())
}

impl Execute<OpenAccount> for Account {
    fn execute(&self, command: &OpenAccount) -> Decision<Self> {
        let owner = command.owner.trim().to_owned();
        if owner.is_empty() {
            return Err(AccountError::OwnerBlank);
        }
        Ok(AccountOpened { owner }.into())
    }
}

impl Execute<Deposit> for Account {
    fn execute(&self, command: &Deposit) -> Decision<Self> {
        let amount = command.amount;
        self.check_can_take(amount)?;
        Ok(MoneyDeposited { amount }.into())
    }
}

impl Execute<Withdraw> for Account {
    fn execute(&self, command: &Withdraw) -> Decision<Self> {
        let amount = command.amount;
        self.check_can_spend(amount)?;
        Ok(MoneyWithdrawn { amount }.into())
    }
}

impl Execute<CloseAccount> for Account {
    fn execute(&self, _: &CloseAccount) -> Decision<Self> {
        let balance = self.balance;
        self.check_open()?;
        if !balance.is_zero() {
            return Err(AccountError::NotEmpty { balance });
        }
        Ok(AccountClosed {}.into())
    }
}

impl Execute<ReserveMoney> for Account {
    fn execute(&self, command: &ReserveMoney) -> Decision<Self> {
        let (transfer, amount) = (command.transfer.clone(), command.amount);
        self.check_can_spend(amount)?;
        Ok(MoneyReserved { transfer, amount }.into())
    }
}

impl Execute<ReceiveMoney> for Account {
    fn execute(&self, command: &ReceiveMoney) -> Decision<Self> {
        let (transfer, amount) = (command.transfer.clone(), command.amount);
        self.check_can_take(amount)?;
        Ok(MoneyReceived { transfer, amount }.into())
    }
}

impl Execute<ConfirmReservation> for Account {
    fn execute(&self, command: &ConfirmReservation) -> Decision<Self> {
        let transfer = command.transfer.clone();
        let amount = self.reservation(&transfer)?;
        Ok(ReservationConfirmed { transfer, amount }.into())
    }
}

impl Execute<ReleaseReservation> for Account {
    fn execute(&self, command: &ReleaseReservation) -> Decision<Self> {
        let transfer = command.transfer.clone();
        let amount = self.reservation(&transfer)?;
        Ok(ReservationReleased { transfer, amount }.into())
    }
}

impl Apply<AccountOpened> for Account {
    fn apply(&mut self, event: &AccountOpened) {
        self.owner.clone_from(&event.owner);
    }
}

impl Apply<MoneyDeposited> for Account {
    fn apply(&mut self, event: &MoneyDeposited) {
        self.balance = self.balance.saturating_add(event.amount);
    }
}

impl Apply<MoneyWithdrawn> for Account {
    fn apply(&mut self, event: &MoneyWithdrawn) {
        self.balance = self.balance.saturating_sub(event.amount);
    }
}

impl Apply<AccountClosed> for Account {
    fn apply(&mut self, _: &AccountClosed) {
        self.closed = true;
    }
}

impl Apply<MoneyReserved> for Account {
    fn apply(&mut self, event: &MoneyReserved) {
        self.reservations
            .insert(event.transfer.clone(), event.amount);
    }
}

impl Apply<MoneyReceived> for Account {
    fn apply(&mut self, event: &MoneyReceived) {
        self.balance = self.balance.saturating_add(event.amount);
    }
}

impl Apply<ReservationConfirmed> for Account {
    fn apply(&mut self, event: &ReservationConfirmed) {
        self.reservations.remove(&event.transfer);
        self.balance = self.balance.saturating_sub(event.amount);
    }
}

impl Apply<ReservationReleased> for Account {
    fn apply(&mut self, event: &ReservationReleased) {
        self.reservations.remove(&event.transfer);
    }
}
