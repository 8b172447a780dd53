//! Works through a day: accounts side by side, each account in the order of the file.

use std::collections::hash_map::Entry as Slot;
use std::collections::{HashMap, HashSet, VecDeque};
use std::future::Future;

use futures::stream::{FuturesUnordered, StreamExt};
use ordain::{App, CommandId, Receipt};
use tokio::sync::mpsc::Receiver;

use crate::bank::Bank;
use crate::domain::{Account, AccountCommand, AccountId, Money};
use crate::entry::{Entry, Malformed};
use crate::input::{InputError, Line, Place};
use crate::tally::{DispatchError, Tally};

/// How many commands wait, at the most, because their account is busy.
const WAITING_MAX: usize = 1_024;

/// Is told how a run goes on.
pub trait Watch {
    /// Another command was answered.
    fn answered(&mut self, before: bool);

    /// A line is no command.
    fn malformed(&mut self, place: &Place, problem: &Malformed);
}

/// Why a run broke off. What it has done until then is kept: the same run again goes on there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// An input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The bank could not work.
    #[error("{place}: {problem}")]
    Dispatch {
        /// The command that got no answer.
        place: Place,
        /// What happened.
        problem: Box<DispatchError>,
    },
}

/// A command on its way.
struct Job {
    place: Place,
    account: AccountId,
    command_id: CommandId,
    command: AccountCommand,
    about: About,
}

/// What is counted of a command.
#[derive(Clone, Copy)]
struct About {
    name: &'static str,
    amount: Money,
    is_repeat: bool,
}

struct Answered {
    place: Place,
    account: AccountId,
    about: About,
    answer: Result<Receipt<Account>, DispatchError>,
}

/// Runs all commands, `concurrency` at once, and tells what became of them.
///
/// A command is dispatched when the one before it on the same account is answered. So the outcome
/// does not depend on `concurrency`, and if the run breaks off, no command was done before an earlier
/// one on its account.
///
/// # Errors
/// If an input cannot be read or the bank cannot work. A command that the bank refuses is an outcome,
/// and a line that is no command is counted and passed over.
pub async fn run(
    bank: &Bank,
    mut lines: Receiver<Result<Line, InputError>>,
    concurrency: usize,
    watch: &mut dyn Watch,
) -> Result<Tally, RunError> {
    let app = bank.app().clone();
    let mut desk = Desk::new(watch);
    let mut running = FuturesUnordered::new();
    let mut is_open = true;
    loop {
        let has_room = running.len() < concurrency && desk.waiting < WAITING_MAX;
        let next = tokio::select! {
            biased;
            Some(answered) = running.next() => desk.settle(answered)?,
            line = lines.recv(), if is_open && has_room => match line {
                Some(line) => desk.accept(line?),
                None => {
                    is_open = false;
                    None
                }
            },
            else => return Ok(desk.tally),
        };
        running.extend(next.map(|job| dispatch(&app, job)));
    }
}

fn dispatch(app: &App, job: Job) -> impl Future<Output = Answered> + use<> {
    let dispatch = app.dispatch(job.command).command_id(job.command_id);
    async move {
        Answered {
            place: job.place,
            account: job.account,
            about: job.about,
            answer: dispatch.await,
        }
    }
}

/// Keeps the order on each account, and counts.
struct Desk<'w> {
    watch: &'w mut dyn Watch,
    tally: Tally,
    /// For each account with a command on its way, those that wait behind it.
    busy: HashMap<AccountId, VecDeque<Job>>,
    /// How many wait on all accounts.
    waiting: usize,
    /// The ids that have come: a line that was sent twice counts once.
    seen: HashMap<AccountId, HashSet<CommandId>>,
}

impl<'w> Desk<'w> {
    fn new(watch: &'w mut dyn Watch) -> Self {
        Self {
            watch,
            tally: Tally::default(),
            busy: HashMap::new(),
            waiting: 0,
            seen: HashMap::new(),
        }
    }

    /// Takes a line; gives the command back if it can be dispatched at once.
    fn accept(&mut self, line: Line) -> Option<Job> {
        self.tally.lines += 1;
        match line.entry {
            Ok(entry) => {
                let job = self.job(line.place, entry);
                self.enqueue(job)
            }
            Err(problem) => {
                self.malformed(&line.place, &problem);
                None
            }
        }
    }

    fn job(&mut self, place: Place, entry: Entry) -> Job {
        let (account, command_id) = (entry.account().clone(), entry.command_id());
        let seen = self.seen.entry(account.clone()).or_default();
        let about = About {
            name: entry.name(),
            amount: entry.amount(),
            is_repeat: !seen.insert(command_id),
        };
        Job {
            place,
            account,
            command_id,
            command: entry.command,
            about,
        }
    }

    fn enqueue(&mut self, job: Job) -> Option<Job> {
        match self.busy.entry(job.account.clone()) {
            Slot::Vacant(slot) => {
                slot.insert(VecDeque::new());
                Some(job)
            }
            Slot::Occupied(mut slot) => {
                slot.get_mut().push_back(job);
                self.waiting += 1;
                None
            }
        }
    }

    /// Counts an answer; gives the next command of the account, if one waits.
    fn settle(&mut self, answered: Answered) -> Result<Option<Job>, RunError> {
        let Answered {
            place,
            account,
            about,
            answer,
        } = answered;
        let was_done = matches!(&answer, Ok(receipt) if receipt.repeated);
        let before = was_done && !about.is_repeat;
        match self.count(about, answer) {
            Ok(()) => self.watch.answered(before),
            Err(error) if error.is_invalid() => {
                self.malformed(&place, &refused(error));
            }
            Err(error) => {
                let problem = Box::new(error);
                return Err(RunError::Dispatch { place, problem });
            }
        }
        Ok(self.next_of(account))
    }

    fn count(
        &mut self,
        about: About,
        answer: Result<Receipt<Account>, DispatchError>,
    ) -> Result<(), DispatchError> {
        if !about.is_repeat {
            return self.tally.count(about.name, about.amount, answer);
        }
        Tally::default().count(about.name, about.amount, answer)?;
        self.tally.repeated += 1;
        Ok(())
    }

    fn next_of(&mut self, account: AccountId) -> Option<Job> {
        let Slot::Occupied(mut slot) = self.busy.entry(account) else {
            return None;
        };
        let next = slot.get_mut().pop_front();
        match next {
            Some(_) => self.waiting -= 1,
            None => drop(slot.remove()),
        }
        next
    }

    fn malformed(&mut self, place: &Place, problem: &Malformed) {
        self.tally.malformed += 1;
        self.watch.malformed(place, problem);
    }
}

fn refused(error: DispatchError) -> Malformed {
    match error {
        DispatchError::CommandIdReused { recorded: name, .. } => Malformed::IdReused { name },
        error => {
            let problem = error.to_string();
            Malformed::Refused { problem }
        }
    }
}
