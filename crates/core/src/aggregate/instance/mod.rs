//! Live instances: the commands of one aggregate, one after the other.
//!
//! An instance is a queue and, while nobody works on it, the aggregate's state. A command that finds
//! no worker brings one: a task that takes the state, runs commands as long as there are any, and puts
//! the state back. So commands on one aggregate run in the order they came, a dropped dispatch future
//! leaves the worker undisturbed, and an instance without work costs no task.

mod cache;
mod decide;
mod job;
mod settle;
mod snapshot;
mod worker;

use std::any::Any;
use std::collections::VecDeque;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

pub(crate) use self::cache::{AggregateRuntime, Instances};
pub(crate) use self::decide::{HandlerOf, OutsideHandler};
pub(crate) use self::job::{Job, Reply};
use self::worker::Worker;
use super::load::Basis;
use super::{Aggregate, Lifespan};
use crate::{StreamId, StreamVersion};

/// One aggregate in memory.
pub(crate) struct Instance<A: Aggregate> {
    pub(crate) id: A::Id,
    pub(crate) stream: StreamId,
    inbox: Mutex<Inbox<A>>,
    arrived: Notify,
    /// Whether the last command with an id of its caller's had been carried out before.
    repeating: AtomicBool,
}

struct Inbox<A: Aggregate> {
    queue: VecDeque<Job<A>>,
    /// How many commands have come so far.
    arrivals: u64,
    seat: Seat<A>,
}

/// Who works on the instance.
enum Seat<A> {
    Idle {
        live: Option<Live<A>>,
        since: Instant,
        lifespan: Lifespan,
    },
    Busy,
    /// It has been put out of memory; whoever still holds it looks for its successor.
    Retired,
}

/// The state in memory, with all events applied that are stored or on their way.
#[derive(Clone)]
struct Live<A> {
    state: A,
    basis: Basis,
    /// The version of the last snapshot taken.
    snapshot: StreamVersion,
    /// Commands that had come by then came before the state was last known to be current.
    confirmed: u64,
}

/// Why a command was not taken.
pub(crate) enum Refused<A: Aggregate> {
    Retired(Box<Job<A>>),
    Full { waiting: usize },
}

impl<A: Aggregate> Instance<A> {
    fn new(id: A::Id, stream: StreamId, now: Instant) -> Self {
        let seat = Seat::Idle {
            live: None,
            since: now,
            lifespan: Lifespan::Default,
        };
        let inbox = Inbox {
            queue: VecDeque::new(),
            arrivals: 0,
            seat,
        };
        Self {
            id,
            stream,
            inbox: Mutex::new(inbox),
            arrived: Notify::new(),
            repeating: AtomicBool::new(false),
        }
    }

    /// Queues a command and sees to it that somebody works on it.
    pub(crate) fn push(
        self: &Arc<Self>,
        mut job: Job<A>,
        runtime: &Arc<AggregateRuntime<A>>,
    ) -> Result<(), Refused<A>> {
        let mut inbox = self.lock();
        if matches!(inbox.seat, Seat::Retired) {
            return Err(Refused::Retired(Box::new(job)));
        }
        let waiting = inbox.queue.len();
        if waiting >= runtime.shared.config.queue_max {
            return Err(Refused::Full { waiting });
        }
        inbox.arrivals += 1;
        job.arrival = inbox.arrivals;
        inbox.queue.push_back(job);
        match std::mem::replace(&mut inbox.seat, Seat::Busy) {
            Seat::Idle { live, .. } => {
                drop(inbox);
                Worker::spawn(Arc::clone(self), Arc::clone(runtime), live);
            }
            Seat::Busy | Seat::Retired => self.arrived.notify_one(),
        }
        Ok(())
    }

    /// The next command, for the worker.
    fn take(&self) -> Option<Job<A>> {
        self.lock().queue.pop_front()
    }

    /// How many commands have come so far.
    fn arrivals(&self) -> u64 {
        self.lock().arrivals
    }

    /// The worker leaves, unless a command has come.
    fn park(&self, live: &mut Option<Live<A>>, lifespan: Lifespan, now: Instant) -> bool {
        let mut inbox = self.lock();
        if !inbox.queue.is_empty() {
            return false;
        }
        inbox.seat = match lifespan {
            Lifespan::Stop => Seat::Retired,
            lifespan => Seat::Idle {
                live: live.take(),
                since: now,
                lifespan,
            },
        };
        true
    }

    /// The worker died: whatever waits fails, and the next command finds a new instance.
    fn abandon(&self) {
        let mut inbox = self.lock();
        inbox.seat = Seat::Retired;
        inbox.queue.clear();
    }

    /// Puts the instance out of memory if nobody works on it and `is_due`.
    fn retire_if(&self, is_due: impl FnOnce(Instant, Lifespan) -> bool) -> bool {
        let mut inbox = self.lock();
        match inbox.seat {
            Seat::Idle {
                since, lifespan, ..
            } if is_due(since, lifespan) => {
                inbox.seat = Seat::Retired;
                true
            }
            _ => false,
        }
    }

    /// Since when it has been idle, if it is.
    fn idle_since(&self) -> Option<Instant> {
        match self.lock().seat {
            Seat::Idle { since, .. } => Some(since),
            Seat::Busy | Seat::Retired => None,
        }
    }

    /// A copy of the state, if nobody works on it.
    pub(crate) fn idle_state(&self) -> Option<(A, Basis)> {
        match &self.lock().seat {
            Seat::Idle {
                live: Some(live), ..
            } => Some((live.state.clone(), live.basis)),
            _ => None,
        }
    }

    /// No code of the user's runs under the lock, except `A::clone`, which does not change it.
    fn lock(&self) -> MutexGuard<'_, Inbox<A>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an instance that has been idle since then has outlived its span.
fn is_over(since: Instant, lifespan: Lifespan, default: Duration, now: Instant) -> bool {
    let span = match lifespan {
        Lifespan::Default => default,
        Lifespan::Idle(span) => span,
        Lifespan::Forever => return false,
        Lifespan::Stop => Duration::ZERO,
    };
    now.saturating_duration_since(since) >= span
}

/// What a panic says.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    text.unwrap_or_else(|| "a value that is no text".to_owned())
}
