//! The course of one transfer, as the log tells it.

use crate::domain::{AccountEvent, Money, TransferEvent, TransferId};

/// The course of one transfer, as the log tells it. Money is created or lost if it leaves the order.
#[derive(Debug, Default)]
pub(super) struct Course {
    wanted: Option<Wanted>,
    money: Whereabouts,
    ended: Option<Ended>,
}

#[derive(Debug)]
struct Wanted {
    from: String,
    to: String,
    amount: Money,
}

/// Where the money of a transfer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Whereabouts {
    /// In its account, as any other.
    #[default]
    Free,
    Reserved,
    /// Paid in, and not paid out yet: it is in both.
    PaidIn,
    PaidOut,
    /// Reserved once, and free again.
    Released,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Completed,
    Failed,
}

/// The transfer that an event of an account belongs to, if it does to one.
pub(super) fn transfer_of(event: &AccountEvent) -> Option<&TransferId> {
    match event {
        AccountEvent::MoneyReserved(event) => Some(&event.transfer),
        AccountEvent::MoneyReceived(event) => Some(&event.transfer),
        AccountEvent::ReservationConfirmed(event) => Some(&event.transfer),
        AccountEvent::ReservationReleased(event) => Some(&event.transfer),
        _ => None,
    }
}

impl Course {
    pub(super) fn is_completed(&self) -> bool {
        self.ended == Some(Ended::Completed)
    }

    pub(super) fn is_failed(&self) -> bool {
        self.ended == Some(Ended::Failed)
    }

    /// What has arrived, in cents.
    pub(super) fn moved(&self) -> i128 {
        match (&self.wanted, self.money) {
            (Some(wanted), Whereabouts::PaidOut) => wanted.amount.cents().into(),
            _ => 0,
        }
    }

    /// What is missing at the end of the log.
    pub(super) fn unfinished(&self) -> Option<&'static str> {
        match (self.ended, self.money) {
            (None, _) => Some("has not ended"),
            (Some(Ended::Completed), Whereabouts::PaidOut)
            | (Some(Ended::Failed), Whereabouts::Free | Whereabouts::Released) => None,
            (Some(_), _) => Some("has ended, and its money is on the way"),
        }
    }

    /// Takes what happens to the transfer.
    pub(super) fn take(&mut self, event: &TransferEvent) -> Result<(), &'static str> {
        match event {
            TransferEvent::TransferRequested(event) => {
                self.wanted = Some(Wanted {
                    from: event.from.to_string(),
                    to: event.to.to_string(),
                    amount: event.amount,
                });
                Ok(())
            }
            TransferEvent::TransferCompleted(_) => self.end(Ended::Completed),
            TransferEvent::TransferFailed(_) => self.end(Ended::Failed),
            TransferEvent::TransferApproved(_) | TransferEvent::TransferExpired(_) => Ok(()),
        }
    }

    /// Takes what happens to its money in an account.
    pub(super) fn take_money(
        &mut self,
        account: &str,
        event: &AccountEvent,
    ) -> Result<(), &'static str> {
        let Some(wanted) = &self.wanted else {
            return Err("moves money before it was asked for");
        };
        use Whereabouts::{Free, PaidIn, PaidOut, Released, Reserved};
        let (whose, amount, before, after) = match event {
            AccountEvent::MoneyReserved(event) => (&wanted.from, event.amount, Free, Reserved),
            AccountEvent::MoneyReceived(event) => (&wanted.to, event.amount, Reserved, PaidIn),
            AccountEvent::ReservationConfirmed(event) => {
                (&wanted.from, event.amount, PaidIn, PaidOut)
            }
            AccountEvent::ReservationReleased(event) => {
                (&wanted.from, event.amount, Reserved, Released)
            }
            _ => return Ok(()),
        };
        if account != whose || amount != wanted.amount {
            return Err("moves other money than was asked for");
        }
        if self.money != before || self.ended.is_some() {
            return Err("moves money twice, or out of order");
        }
        self.money = after;
        Ok(())
    }

    fn end(&mut self, ended: Ended) -> Result<(), &'static str> {
        match self.ended.replace(ended) {
            None => Ok(()),
            Some(_) => Err("ends twice"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        MoneyReceived, MoneyReserved, ReservationConfirmed, ReservationReleased, TransferCompleted,
        TransferRequested,
    };

    fn requested() -> Course {
        let mut course = Course::default();
        let requested = TransferRequested {
            from: "A1".into(),
            to: "A2".into(),
            amount: 5.into(),
            hold_seconds: None,
        };
        course.take(&requested.into()).unwrap();
        course
    }

    fn completed() -> TransferEvent {
        TransferCompleted {
            from: "A1".into(),
            to: "A2".into(),
            amount: 5.into(),
        }
        .into()
    }

    fn reserved(cents: u32) -> AccountEvent {
        let (transfer, amount) = ("T1".into(), cents.into());
        MoneyReserved { transfer, amount }.into()
    }

    fn received() -> AccountEvent {
        let (transfer, amount) = ("T1".into(), 5.into());
        MoneyReceived { transfer, amount }.into()
    }

    fn confirmed() -> AccountEvent {
        let (transfer, amount) = ("T1".into(), 5.into());
        ReservationConfirmed { transfer, amount }.into()
    }

    fn released() -> AccountEvent {
        let (transfer, amount) = ("T1".into(), 5.into());
        ReservationReleased { transfer, amount }.into()
    }

    #[test]
    fn a_transfer_in_order_is_sound() {
        let mut course = requested();
        course.take_money("A1", &reserved(5)).unwrap();
        course.take_money("A2", &received()).unwrap();
        assert_eq!(course.unfinished(), Some("has not ended"));
        course.take_money("A1", &confirmed()).unwrap();
        course.take(&completed()).unwrap();
        assert_eq!((course.unfinished(), course.moved()), (None, 5));
        assert!(course.take(&completed()).is_err());
    }

    #[test]
    fn money_that_is_made_or_lost_is_found() {
        let mut course = requested();
        assert!(course.take_money("A2", &received()).is_err());
        assert!(course.take_money("A1", &reserved(6)).is_err());
        assert!(course.take_money("A2", &reserved(5)).is_err());
        course.take_money("A1", &reserved(5)).unwrap();
        course.take_money("A2", &received()).unwrap();
        assert!(course.take_money("A2", &received()).is_err());
        assert!(course.take_money("A1", &released()).is_err());
        course.take(&completed()).unwrap();
        assert!(course.unfinished().unwrap().contains("on the way"));
        assert!(course.take_money("A1", &confirmed()).is_err());
        assert!(Course::default().take_money("A1", &reserved(5)).is_err());
    }
}
