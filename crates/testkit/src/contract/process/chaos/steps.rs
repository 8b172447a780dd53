//! What happens in a case, drawn from a seed.

use std::time::Duration;

use super::super::super::support::Random;
use super::super::support::OnFailure;
use crate::{Call, Fault, Halt};

/// How many apps run at once at the most.
pub(super) const SLOTS: u64 = 3;

/// How many streams signals are sent to.
pub(super) const SIGNALS: u64 = 4;

/// How many instances, and ledgers, signals are for.
pub(super) const INSTANCES: u64 = 4;

/// The durable subscription that is driven from outside.
pub(super) const DRIVEN: &str = "driven";

/// Whom an operator tells something.
pub(super) const NAMES: [&str; 6] = ["watching", "batching", "trail", "tally", "probe", DRIVEN];

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A signal is sent, and with it a command for an instance, and a timer.
    Send {
        signal: u64,
        instance: u64,
        timer: bool,
        /// What is done about a command of it that is refused, if one is.
        refused: Option<OnFailure>,
        /// Whether somebody waits until one of those that have names has handled it.
        awaited: Option<(&'static str, Duration)>,
    },
    /// A ledger accepts what it has refused, or does not any more.
    Open {
        instance: u64,
        is_open: bool,
    },
    /// A command is scheduled by an app, for so many hundredths of a moment from now.
    Schedule {
        slot: usize,
        hundredths: u64,
    },
    /// A command that was scheduled is taken back, by an app or an operator.
    TakeBack {
        slot: Option<usize>,
        which: u64,
    },
    /// An app opens the durable subscription.
    Consume {
        slot: usize,
        way: Way,
    },
    /// It ends, with the checkpoints written, or is dropped.
    Forsake {
        slot: usize,
        is_closed: bool,
    },
    /// An app, or an operator, follows the log.
    Follow {
        slot: Option<usize>,
        pace: Pace,
    },
    /// An app, or an operator, waits until a subscription has come to a place: so many hundredths of the log, and
    /// so many positions.
    Await {
        slot: Option<usize>,
        name: &'static str,
        hundredths: u64,
        beyond: u64,
        patience: Duration,
    },
    /// An app with this version of the projection starts, if none runs there.
    Start {
        slot: usize,
        version: u32,
    },
    /// It stops as it should.
    ShutDown {
        slot: usize,
    },
    /// It dies.
    Kill {
        slot: usize,
    },
    /// Its next call of this kind halts.
    Freeze {
        slot: usize,
        call: Call,
        halt: Halt,
    },
    /// Whatever of it has halted goes on, or is cut off.
    Thaw {
        slot: usize,
        is_cut: bool,
    },
    /// Its next calls of this kind fail.
    Break {
        slot: usize,
        call: Call,
        fault: Fault,
        times: usize,
    },
    /// Leases that are not renewed end.
    EndLeases,
    Pause(&'static str),
    Resume(&'static str),
    /// Back to so many hundredths of where it stands.
    Reset {
        name: &'static str,
        hundredths: u64,
    },
    Repartition {
        name: &'static str,
        partitions: u32,
    },
    CancelRebuild,
    /// Events of a stream cannot be handled.
    Fail {
        stream: u64,
    },
    /// All can be handled again.
    Heal,
    /// One dead letter is tried again, or all are.
    Retry {
        name: &'static str,
        which: Option<u64>,
    },
    /// One dead letter is left out, or all are.
    Discard {
        name: &'static str,
        which: Option<u64>,
    },
    /// Things take their course for so long.
    Pass(Duration),
}

/// How somebody takes events that have to be acknowledged.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    /// Which of those that wait are acknowledged follows from this.
    pub(super) seed: u64,
    /// How many wait at the most.
    pub(super) holds: u64,
    pub(super) window: u64,
}

/// How somebody follows the log.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// After so many hundredths of the log; from its end on if it is none.
    pub(super) hundredths: Option<u64>,
    pub(super) buffer: u64,
    /// Whether it ends when the reader is slow.
    pub(super) must_keep_up: bool,
    /// Whether only ledgers are followed.
    pub(super) only_ledgers: bool,
    /// How long the reader takes for each.
    pub(super) takes: Duration,
}

impl Step {
    pub(super) fn random(random: &mut Random) -> Self {
        match random.below(162) {
            0..34 => Self::send(random),
            34..38 => Self::Open {
                instance: random.below(INSTANCES),
                is_open: is(random, 2),
            },
            38..44 => Self::Schedule {
                slot: slot(random),
                hundredths: one_of(random, &[0, 0, 30, 100]),
            },
            44..48 => Self::TakeBack {
                slot: anybody(random),
                which: random.below(100),
            },
            48..55 => Self::Consume {
                slot: slot(random),
                way: Way {
                    seed: random.below(1_000_000),
                    holds: random.below(5),
                    window: 5 + random.below(4),
                },
            },
            55..58 => Self::Forsake {
                slot: slot(random),
                is_closed: is(random, 2),
            },
            58..61 => Self::Follow {
                slot: anybody(random),
                pace: Pace::random(random),
            },
            61..67 => Self::Await {
                slot: anybody(random),
                name: one_of(random, &NAMES),
                hundredths: random.below(101),
                beyond: random.below(3),
                patience: millis(random, 150),
            },
            67..77 => Self::Start {
                slot: slot(random),
                version: 1 + u32::from(is(random, 4)),
            },
            77..81 => Self::ShutDown { slot: slot(random) },
            81..85 => Self::Kill { slot: slot(random) },
            85..99 => Self::fault(random),
            99..101 => Self::EndLeases,
            101..131 => Self::operation(random),
            131..136 => Self::Fail {
                stream: random.below(SIGNALS + INSTANCES),
            },
            136..139 => Self::Heal,
            _ => Self::Pass(millis(random, 40)),
        }
    }

    fn send(random: &mut Random) -> Self {
        Self::Send {
            signal: random.below(SIGNALS),
            instance: random.below(INSTANCES),
            timer: is(random, 4),
            refused: is(random, 3).then(|| one_of(random, &ANSWERS)),
            awaited: is(random, 6).then(|| (one_of(random, &HANDLERS), millis(random, 150))),
        }
    }

    fn fault(random: &mut Random) -> Self {
        let slot = slot(random);
        match random.below(14) {
            0..4 => Self::Freeze {
                slot,
                call: one_of(random, &CALLS),
                halt: one_of(random, &HALTS),
            },
            4..8 => Self::Thaw {
                slot,
                is_cut: is(random, 4),
            },
            _ => Self::Break {
                slot,
                call: one_of(random, &CALLS),
                fault: one_of(random, &FAULTS),
                times: 1 + random.below(2) as usize,
            },
        }
    }

    fn operation(random: &mut Random) -> Self {
        let name = one_of(random, &NAMES);
        // Those that can put something aside.
        let handler = one_of(random, &NAMES[..5]);
        match random.below(30) {
            0..3 => Self::Pause(name),
            3..8 => Self::Resume(name),
            8..12 => Self::Reset {
                name,
                hundredths: random.below(101),
            },
            12..16 => Self::Repartition {
                name,
                partitions: 1 + random.below(4) as u32,
            },
            16 => Self::CancelRebuild,
            17..21 => Self::Retry {
                name: handler,
                which: some(random),
            },
            _ => Self::Discard {
                name: handler,
                which: some(random),
            },
        }
    }
}

impl Pace {
    fn random(random: &mut Random) -> Self {
        Self {
            hundredths: is(random, 2).then(|| random.below(101)),
            buffer: 1 + random.below(4),
            must_keep_up: is(random, 2),
            only_ledgers: is(random, 3),
            takes: millis(random, 3),
        }
    }
}

const CALLS: [Call; 18] = [
    Call::Append,
    Call::ReadStream,
    Call::ReadAll,
    Call::StreamHead,
    Call::Head,
    Call::Subscriptions,
    Call::ChangeSubscriptions,
    Call::KeepAlive,
    Call::Claim,
    Call::Release,
    Call::Commit,
    Call::Blocks,
    Call::Instances,
    Call::TimersDue,
    Call::SetTimer,
    Call::CancelTimer,
    Call::CommitWork,
    Call::CommitChange,
];

const HALTS: [Halt; 3] = [Halt::BeforeCommit, Halt::AfterCommit, Halt::AtReply];

const FAULTS: [Fault; 3] = [Fault::BeforeCommit, Fault::AfterCommit, Fault::ReplyLost];

const ANSWERS: [OnFailure; 6] = [
    OnFailure::Default,
    OnFailure::Retry,
    OnFailure::Skip,
    OnFailure::SkipRest,
    OnFailure::Replace,
    OnFailure::DeadLetter,
];

/// Whom somebody waits for who has sent a signal.
const HANDLERS: [&str; 3] = ["watching", "batching", "probe"];

fn slot(random: &mut Random) -> usize {
    random.below(SLOTS) as usize
}

/// An app, or an operator.
fn anybody(random: &mut Random) -> Option<usize> {
    is(random, 2).then(|| slot(random))
}

/// One of some, or all of them.
fn some(random: &mut Random) -> Option<u64> {
    (!is(random, 3)).then(|| random.below(100))
}

/// Once in so many times.
fn is(random: &mut Random, times: u64) -> bool {
    random.below(times) == 0
}

fn millis(random: &mut Random, below: u64) -> Duration {
    Duration::from_millis(random.below(below))
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len() as u64) as usize]
}
