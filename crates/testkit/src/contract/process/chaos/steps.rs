//! What happens in a case, drawn from a seed.

use std::time::Duration;

use super::super::super::support::Random;
use crate::{Call, Fault, Halt};

/// How many apps run at once at the most.
pub(super) const SLOTS: u64 = 3;

/// How many streams signals are sent to.
pub(super) const SIGNALS: u64 = 4;

/// How many instances, and ledgers, signals are for.
pub(super) const INSTANCES: u64 = 4;

/// Whom an operator tells something.
pub(super) const NAMES: [&str; 3] = ["watching", "trail", "probe"];

/// One thing that happens.
#[derive(Debug, Clone, Copy)]
pub(super) enum Step {
    /// A signal is sent, and with it a command for an instance, and a timer.
    Send {
        signal: u64,
        instance: u64,
        timer: bool,
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
    /// Whatever of it has halted goes on.
    Thaw {
        slot: usize,
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
    Retry(&'static str),
    /// Things take their course for so long.
    Wait(Duration),
}

impl Step {
    pub(super) fn random(random: &mut Random) -> Self {
        match random.below(100) {
            0..30 => Self::Send {
                signal: random.below(SIGNALS),
                instance: random.below(INSTANCES),
                timer: random.below(4) == 0,
            },
            30..40 => Self::Start {
                slot: slot(random),
                version: 1 + u32::from(random.below(4) == 0),
            },
            40..44 => Self::ShutDown { slot: slot(random) },
            44..48 => Self::Kill { slot: slot(random) },
            48..52 => Self::Freeze {
                slot: slot(random),
                call: one_of(random, &CALLS),
                halt: one_of(random, &HALTS),
            },
            52..56 => Self::Thaw { slot: slot(random) },
            56..62 => Self::Break {
                slot: slot(random),
                call: one_of(random, &CALLS),
                fault: one_of(random, &FAULTS),
                times: 1 + random.below(2) as usize,
            },
            62..64 => Self::EndLeases,
            64..66 => Self::Pause(one_of(random, &NAMES)),
            66..69 => Self::Resume(one_of(random, &NAMES)),
            69..72 => Self::Reset {
                name: one_of(random, &NAMES),
                hundredths: random.below(101),
            },
            72..75 => Self::Repartition {
                name: one_of(random, &NAMES),
                partitions: 1 + random.below(4) as u32,
            },
            75 => Self::CancelRebuild,
            76..79 => Self::Fail {
                stream: random.below(SIGNALS + INSTANCES),
            },
            79..82 => Self::Heal,
            82..85 => Self::Retry(one_of(random, &NAMES)),
            _ => Self::Wait(Duration::from_millis(random.below(40))),
        }
    }
}

const CALLS: [Call; 15] = [
    Call::Append,
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
    Call::CommitWork,
    Call::CommitChange,
];

const HALTS: [Halt; 3] = [Halt::BeforeCommit, Halt::AfterCommit, Halt::AtReply];

const FAULTS: [Fault; 3] = [Fault::BeforeCommit, Fault::AfterCommit, Fault::ReplyLost];

fn slot(random: &mut Random) -> usize {
    random.below(SLOTS) as usize
}

fn one_of<T: Copy>(random: &mut Random, all: &[T]) -> T {
    all[random.below(all.len() as u64) as usize]
}
