//! Makes up a day at the bank.

use std::collections::VecDeque;

use fastrand::Rng;

use crate::domain::{
    AccountCommand, AccountId, CloseAccount, Deposit, Money, OpenAccount, RequestTransfer, Withdraw,
};
use crate::entry::{DayCommand, Entry};

mod names;

/// How many of the first accounts are shops, where the others spend their money.
const SHOPS: usize = 8;
/// How many of the last lines may be sent twice.
const RECENT: usize = 40;

/// A day at the bank, line by line. The same arguments make the same day.
///
/// Most of it succeeds; some commands are for closed or unknown accounts, ask for more than there is,
/// or are sent twice. A transfer is two commands.
#[derive(Debug)]
pub struct Day {
    rng: Rng,
    seed: u64,
    left: u64,
    total: u64,
    accounts: usize,
    customers: Vec<Customer>,
    /// How many customers have closed their account.
    closed: usize,
    /// Commands that follow from what was begun.
    next: VecDeque<AccountCommand>,
    recent: VecDeque<String>,
    transfers: Transfers,
}

/// What a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transfers {
    /// A withdrawal here and a deposit there.
    TwoCommands,
    /// One command, which is carried out step by step.
    OneCommand,
}

#[derive(Debug)]
struct Customer {
    id: AccountId,
    cents: u32,
    is_open: bool,
}

/// What can happen, and how often in a thousand.
const ACTS: [(u32, Act); 13] = [
    (330, Day::shop),
    (140, Day::salary),
    (130, Day::cash_in),
    (150, Day::cash_out),
    (120, Day::transfer),
    (20, Day::close),
    (45, Day::overdraw),
    (20, Day::use_closed),
    (12, Day::use_unknown),
    (10, Day::open_again),
    (10, Day::close_too_early),
    (4, Day::move_nothing),
    (9, Day::send_twice),
];

/// Makes a command, if the day has what it takes.
type Act = fn(&mut Day) -> Option<Made>;

enum Made {
    Command(DayCommand),
    Repeat(String),
}

impl Day {
    /// A day of that many commands, on about that many accounts.
    pub fn new(commands: u64, accounts: usize, seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            seed,
            left: commands,
            total: commands,
            accounts: accounts.max(SHOPS + 2),
            customers: Vec::new(),
            closed: 0,
            next: VecDeque::new(),
            recent: VecDeque::new(),
            transfers: Transfers::TwoCommands,
        }
    }

    /// The same day, in which a transfer is one command.
    #[must_use]
    pub fn with_transfers(mut self) -> Self {
        self.transfers = Transfers::OneCommand;
        self
    }

    fn make(&mut self) -> Made {
        if let Some(command) = self.next.pop_front() {
            return command.into();
        }
        if self.is_opening() {
            return self.open().into();
        }
        loop {
            let act = self.choose();
            if let Some(made) = act(self) {
                return made;
            }
        }
    }

    /// Shops open first, and customers come all through the first two thirds of the day.
    fn is_opening(&self) -> bool {
        let opened = self.customers.len();
        if opened < SHOPS + 2 {
            return true;
        }
        let done = u128::from(self.total - self.left);
        let due = done * self.accounts as u128 * 3 / (u128::from(self.total) * 2);
        opened < self.accounts && (opened as u128) < due
    }

    fn choose(&mut self) -> Act {
        let mut point = self.rng.u32(0..1_000);
        for (weight, act) in ACTS {
            if point < weight {
                return act;
            }
            point -= weight;
        }
        Self::cash_in
    }

    fn open(&mut self) -> AccountCommand {
        let number = self.customers.len();
        let (id, owner) = (account_id(number), self.owner(number));
        let is_shop = number < SHOPS;
        self.customers.push(Customer {
            id: id.clone(),
            cents: 0,
            is_open: true,
        });
        if !is_shop {
            let cents = self.rng.u32(10..=600) * 500;
            let deposit = self.deposit(number, cents);
            self.next.push_back(deposit);
        }
        AccountCommand::OpenAccount(OpenAccount { account: id, owner })
    }

    fn owner(&mut self, number: usize) -> String {
        if let Some(shop) = names::SHOPS.get(number) {
            return (*shop).to_owned();
        }
        let first = names::FIRST[self.rng.usize(..names::FIRST.len())];
        let last = names::LAST[self.rng.usize(..names::LAST.len())];
        format!("{first} {last}")
    }

    fn shop(&mut self) -> Option<Made> {
        let (buyer, shop) = (self.customer()?, self.rng.usize(..SHOPS));
        let cents = self.rng.u32(180..=14_000);
        self.move_between(buyer, shop, cents)
    }

    fn salary(&mut self) -> Option<Made> {
        let customer = self.customer()?;
        let cents = self.rng.u32(160_000..=540_000);
        Some(Made::from(self.deposit(customer, cents)))
    }

    fn cash_in(&mut self) -> Option<Made> {
        let customer = self.customer()?;
        let cents = self.rng.u32(1..=40) * 1_000;
        Some(Made::from(self.deposit(customer, cents)))
    }

    fn cash_out(&mut self) -> Option<Made> {
        let customer = self.customer()?;
        let cents = self.rng.u32(1..=20) * 2_000;
        let withdraw = self.withdraw(customer, cents)?;
        Some(Made::from(withdraw))
    }

    fn transfer(&mut self) -> Option<Made> {
        let (from, to) = (self.customer()?, self.customer()?);
        if from == to {
            return None;
        }
        let most = self.customers[from].cents / 2;
        let cents = self.rng.u32(100..=most.max(100));
        self.move_between(from, to, cents)
    }

    fn move_between(&mut self, from: usize, to: usize, cents: u32) -> Option<Made> {
        let withdraw = self.withdraw(from, cents)?;
        let deposit = self.deposit(to, cents);
        if self.transfers == Transfers::OneCommand {
            return Some(self.request(from, to, cents));
        }
        self.next.push_back(deposit);
        Some(Made::from(withdraw))
    }

    fn request(&self, from: usize, to: usize, cents: u32) -> Made {
        let number = self.total - self.left;
        Made::Command(DayCommand::Transfer(RequestTransfer {
            transfer: format!("T{}-{number:06}", self.seed).into(),
            from: self.id(from),
            to: self.id(to),
            amount: cents.into(),
            hold_seconds: None,
        }))
    }

    /// Pays out what is left, then closes. Seven in eight customers stay.
    fn close(&mut self) -> Option<Made> {
        if self.closed >= self.customers.len() / 8 {
            return None;
        }
        let customer = self.customer()?;
        let (account, cents) = (self.id(customer), self.customers[customer].cents);
        let withdraw = self.withdraw(customer, cents)?;
        self.customers[customer].is_open = false;
        self.closed += 1;
        let close = AccountCommand::CloseAccount(CloseAccount { account });
        self.next.push_back(close);
        Some(Made::from(withdraw))
    }

    fn overdraw(&mut self) -> Option<Made> {
        let customer = self.customer()?;
        let cents = self.customers[customer].cents;
        let beyond = self.rng.u32(1..=250_000);
        let beyond = cents.checked_add(beyond)?;
        if self.transfers == Transfers::OneCommand {
            return Some(self.request(customer, 0, beyond));
        }
        let (account, amount) = (self.id(customer), beyond.into());
        let withdraw = AccountCommand::Withdraw(Withdraw { account, amount });
        Some(Made::from(withdraw))
    }

    fn use_closed(&mut self) -> Option<Made> {
        let start = self.rng.usize(..self.customers.len());
        let (before, after) = self.customers.split_at(start);
        let closed = after.iter().chain(before).find(|one| !one.is_open)?;
        let (account, amount) = (closed.id.clone(), self.small());
        Some(Made::from(self.move_somehow(account, amount)))
    }

    fn use_unknown(&mut self) -> Option<Made> {
        let number = self.accounts + self.rng.usize(1..1_000);
        let (account, amount) = (account_id(number), self.small());
        Some(Made::from(self.move_somehow(account, amount)))
    }

    fn move_nothing(&mut self) -> Option<Made> {
        let customer = self.customer()?;
        let account = self.id(customer);
        Some(Made::from(self.move_somehow(account, Money::ZERO)))
    }

    fn open_again(&mut self) -> Option<Made> {
        let customer = self.rng.usize(..self.customers.len());
        let (account, owner) = (self.id(customer), self.owner(usize::MAX));
        let open = AccountCommand::OpenAccount(OpenAccount { account, owner });
        Some(Made::from(open))
    }

    fn close_too_early(&mut self) -> Option<Made> {
        let customer = self.customer()?;
        if self.customers[customer].cents == 0 {
            return None;
        }
        let account = self.id(customer);
        let close = AccountCommand::CloseAccount(CloseAccount { account });
        Some(Made::from(close))
    }

    fn send_twice(&mut self) -> Option<Made> {
        let line = self.rng.usize(..RECENT);
        self.recent.get(line).cloned().map(Made::Repeat)
    }

    /// An open account that is no shop.
    fn customer(&mut self) -> Option<usize> {
        let number = self.rng.usize(SHOPS..self.customers.len());
        self.customers[number].is_open.then_some(number)
    }

    fn id(&self, customer: usize) -> AccountId {
        self.customers[customer].id.clone()
    }

    fn small(&mut self) -> Money {
        self.rng.u32(500..=20_000).into()
    }

    fn move_somehow(&mut self, account: AccountId, amount: Money) -> AccountCommand {
        if self.rng.bool() {
            AccountCommand::Deposit(Deposit { account, amount })
        } else {
            AccountCommand::Withdraw(Withdraw { account, amount })
        }
    }

    fn deposit(&mut self, customer: usize, cents: u32) -> AccountCommand {
        let balance = &mut self.customers[customer].cents;
        *balance = balance.saturating_add(cents);
        let (account, amount) = (self.id(customer), cents.into());
        AccountCommand::Deposit(Deposit { account, amount })
    }

    fn withdraw(&mut self, customer: usize, cents: u32) -> Option<AccountCommand> {
        let balance = &mut self.customers[customer].cents;
        if cents == 0 || cents > *balance {
            return None;
        }
        *balance -= cents;
        let (account, amount) = (self.id(customer), cents.into());
        Some(AccountCommand::Withdraw(Withdraw { account, amount }))
    }

    fn line(&mut self, made: Made) -> Option<String> {
        let command = match made {
            Made::Repeat(line) => return Some(line),
            Made::Command(command) => command,
        };
        let number = self.total - self.left;
        let id = format!("{}-{number:06}", self.seed);
        let line = Entry { id, command }.to_line().ok()?;
        self.recent.push_back(line.clone());
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        Some(line)
    }
}

impl From<AccountCommand> for Made {
    fn from(command: AccountCommand) -> Self {
        Self::Command(command.into())
    }
}

impl Iterator for Day {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        let made = self.make();
        self.line(made)
    }
}

fn account_id(number: usize) -> AccountId {
    format!("A{number:05}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_depends_on_its_seed_alone_and_is_as_long_as_was_asked() {
        let day = |seed| Day::new(500, 50, seed).collect::<Vec<_>>();
        assert_eq!(day(1).len(), 500);
        assert_eq!(day(1), day(1));
        assert_ne!(day(1), day(2));
        for few in 0..20 {
            assert_eq!(Day::new(few, 0, 1).count() as u64, few);
        }
    }

    #[test]
    fn every_line_is_a_command() {
        let day = || Day::new(2_000, 150, 3);
        for line in day().chain(day().with_transfers()) {
            Entry::parse(&line).unwrap();
        }
        let is_transfer = |line: &String| line.contains("RequestTransfer");
        assert!(!day().any(|line| is_transfer(&line)));
        assert!(day().with_transfers().filter(is_transfer).count() > 100);
    }

    #[test]
    fn the_acts_are_a_thousand() {
        assert_eq!(ACTS.iter().map(|(weight, _)| weight).sum::<u32>(), 1_000);
    }
}
