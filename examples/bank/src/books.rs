//! What the bank holds: every account, and every event.

use futures::stream::TryStreamExt;
use ordain::store::{EventStoreExt, Filter, ReadAll, StreamQuery};
use ordain::{Aggregate, DecodeError, Decoded, LoadError, RecordedEvent, StoreError};

use crate::bank::Bank;
use crate::domain::{Account, AccountEvent, AccountId, Money};

const LARGEST: usize = 5;
const PAGE: u32 = 1_000;

/// What the bank holds.
///
/// The same money is counted twice: account by account, and event by event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    /// How many accounts are open.
    pub open: u64,
    /// How many accounts are closed.
    pub closed: u64,
    /// What is in all accounts, in cents.
    pub balances: i128,
    /// What was ever paid in, in cents.
    pub deposits: i128,
    /// What was ever paid out, in cents.
    pub withdrawals: i128,
    /// What transfers have paid in and not paid out yet, in cents.
    pub in_both: i128,
    /// How many events there are.
    pub events: u64,
    /// The accounts with the most money.
    pub largest: Vec<AccountLine>,
}

/// An account in the books.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountLine {
    /// Which.
    pub id: AccountId,
    /// Whose.
    pub owner: String,
    /// The money in it.
    pub balance: Money,
}

/// Why the books cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BooksError {
    /// An account cannot be loaded.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// An event cannot be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Books {
    /// Goes through all accounts and all events.
    ///
    /// # Errors
    /// If something cannot be read.
    pub async fn of(bank: &Bank) -> Result<Self, BooksError> {
        let mut books = Self::default();
        books.add_accounts(bank).await?;
        books.add_events(bank).await?;
        Ok(books)
    }

    /// Whether the accounts hold what came in and did not go out.
    pub fn are_balanced(&self) -> bool {
        self.balances - self.in_both == self.deposits - self.withdrawals
    }

    async fn add_accounts(&mut self, bank: &Bank) -> Result<(), BooksError> {
        for page in 1.. {
            let query = StreamQuery::all().category(Account::CATEGORY);
            let list = bank.store().list_streams(query.page(page, PAGE)).await?;
            if list.streams.is_empty() {
                break;
            }
            for info in list.streams {
                let id = AccountId::from(info.stream.id());
                let account = bank.app().load::<Account>(&id).await?;
                self.add_account(id, &account);
            }
        }
        Ok(())
    }

    fn add_account(&mut self, id: AccountId, account: &Account) {
        let balance = account.balance();
        self.balances += i128::from(balance.cents());
        if account.is_closed() {
            self.closed += 1;
            return;
        }
        self.open += 1;
        let owner = account.owner().to_owned();
        self.largest.push(AccountLine { id, owner, balance });
        // By name where equal: the accounts come by name, and the sort is stable.
        self.largest
            .sort_by_key(|line| std::cmp::Reverse(line.balance));
        self.largest.truncate(LARGEST);
    }

    async fn add_events(&mut self, bank: &Bank) -> Result<(), BooksError> {
        let accounts = Filter::all().categories([Account::CATEGORY]);
        let read = ReadAll::forward();
        let mut events = bank.store().stream_all(read.filter(accounts));
        while let Some(recorded) = events.try_next().await? {
            self.events += 1;
            self.add_event(bank, &recorded)?;
        }
        Ok(())
    }

    fn add_event(&mut self, bank: &Bank, recorded: &RecordedEvent) -> Result<(), BooksError> {
        match bank.app().decode(recorded)? {
            Decoded::One(event) => self.add_money(&event),
            Decoded::Many(events) => events.iter().for_each(|event| self.add_money(event)),
            Decoded::Unlisted => {}
        }
        Ok(())
    }

    fn add_money(&mut self, event: &AccountEvent) {
        match event {
            AccountEvent::MoneyDeposited(event) => self.deposits += cents(event.amount),
            AccountEvent::MoneyWithdrawn(event) => self.withdrawals += cents(event.amount),
            // Between the two, the money of a transfer is in both accounts.
            AccountEvent::MoneyReceived(event) => self.in_both += cents(event.amount),
            AccountEvent::ReservationConfirmed(event) => self.in_both -= cents(event.amount),
            AccountEvent::AccountOpened(_)
            | AccountEvent::AccountClosed(_)
            | AccountEvent::MoneyReserved(_)
            | AccountEvent::ReservationReleased(_) => {}
        }
    }
}

fn cents(money: Money) -> i128 {
    money.cents().into()
}
