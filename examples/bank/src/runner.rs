//! Works through a day: accounts side by side, each account in the order of the file.

use std::collections::{HashMap, HashSet};

use futures::stream::{FuturesUnordered, StreamExt};
use ordain::CommandId;
use tokio::sync::mpsc::Receiver;

use crate::bank::Bank;
use crate::counter::{Counter, Done};
use crate::domain::Money;
use crate::entry::{DayCommand, Entry, Key, Malformed};
use crate::input::{InputError, Line, Place};
use crate::queues::Queues;
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
    command_id: CommandId,
    command: DayCommand,
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
    keys: Vec<Key>,
    about: About,
    answer: Result<Done, DispatchError>,
}

/// Runs all commands, `concurrency` at once, and tells what became of them.
///
/// A command is dispatched when the one before it on the same account is answered, and a transfer is
/// answered when it has ended. So the outcome does not depend on `concurrency`, and if the run breaks off,
/// no command was done before an earlier one on its account.
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
    let counter = Counter::of(bank);
    let mut desk = Desk::new(watch);
    let mut running = FuturesUnordered::new();
    let mut is_open = true;
    loop {
        let has_room = running.len() < concurrency && desk.queues.waiting() < WAITING_MAX;
        let next = tokio::select! {
            biased;
            Some(answered) = running.next() => desk.settle(answered)?,
            line = lines.recv(), if is_open && has_room => match line {
                Some(line) => desk.accept(line?),
                None => {
                    is_open = false;
                    Vec::new()
                }
            },
            else => return Ok(desk.tally),
        };
        running.extend(next.into_iter().map(|job| carry_out(&counter, job)));
    }
}

async fn carry_out(counter: &Counter, job: Job) -> Answered {
    Answered {
        place: job.place,
        keys: job.command.keys(),
        about: job.about,
        answer: counter.carry_out(job.command, job.command_id).await,
    }
}

/// Keeps the order on each account, and counts.
struct Desk<'w> {
    watch: &'w mut dyn Watch,
    tally: Tally,
    queues: Queues<Key, Job>,
    /// The ids that have come: a line that was sent twice counts once.
    seen: HashMap<Key, HashSet<CommandId>>,
}

impl<'w> Desk<'w> {
    fn new(watch: &'w mut dyn Watch) -> Self {
        Self {
            watch,
            tally: Tally::default(),
            queues: Queues::new(),
            seen: HashMap::new(),
        }
    }

    /// Takes a line; gives the command back if it can be dispatched at once.
    fn accept(&mut self, line: Line) -> Vec<Job> {
        self.tally.lines += 1;
        match line.entry {
            Ok(entry) => {
                let job = self.job(line.place, entry);
                self.queues.add(job.command.keys(), job)
            }
            Err(problem) => {
                self.malformed(&line.place, &problem);
                Vec::new()
            }
        }
    }

    fn job(&mut self, place: Place, entry: Entry) -> Job {
        let command_id = entry.command_id();
        let mut keys = entry.command.keys();
        let seen = self.seen.entry(keys.swap_remove(0)).or_default();
        let about = About {
            name: entry.name(),
            amount: entry.amount(),
            is_repeat: !seen.insert(command_id),
        };
        Job {
            place,
            command_id,
            command: entry.command,
            about,
        }
    }

    /// Counts an answer; gives the commands that waited for it alone.
    fn settle(&mut self, answered: Answered) -> Result<Vec<Job>, RunError> {
        let Answered {
            place,
            keys,
            about,
            answer,
        } = answered;
        let was_done = matches!(&answer, Ok(done) if done.repeated);
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
        Ok(self.queues.remove(&keys))
    }

    fn count(
        &mut self,
        about: About,
        answer: Result<Done, DispatchError>,
    ) -> Result<(), DispatchError> {
        if !about.is_repeat {
            return self.tally.count(about.name, about.amount, answer);
        }
        Tally::default().count(about.name, about.amount, answer)?;
        self.tally.repeated += 1;
        Ok(())
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
