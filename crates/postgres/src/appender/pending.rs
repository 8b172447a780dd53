//! Requests that wait.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use ordain::{EventId, StoreError};

use super::request::{Answer, HELD, Request, Work};

/// Requests in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Pending {
    requests: VecDeque<Request>,
    deferred: Deferred,
}

/// Requests whose outgoing commands other transactions hold, and those chained to them, in their order. All are
/// tried again at once.
#[derive(Debug, Default)]
struct Deferred {
    requests: VecDeque<Request>,
    wake_at: Option<Instant>,
}

/// How much one batch takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct BatchBounds {
    pub(super) requests: usize,
    pub(super) bytes: usize,
}

impl Pending {
    /// After this a request that was deferred is tried again.
    const DEFERRED_FOR: Duration = Duration::from_millis(10);

    /// Whether there is nothing to do at the moment.
    pub(super) fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.requests.len() + self.deferred.requests.len()
    }

    pub(super) fn push(&mut self, request: Request) {
        self.requests.push_back(request);
    }

    pub(super) fn put_back(&mut self, requests: Vec<Request>) {
        for request in requests.into_iter().rev() {
            self.requests.push_front(request);
        }
    }

    /// Has a request wait before it is tried again, and those chained to it behind it.
    pub(super) fn defer(&mut self, request: Request) {
        self.deferred.requests.push_back(request);
        self.deferred.wake_at = Some(Instant::now() + Self::DEFERRED_FOR);
    }

    /// When those that were deferred are tried again.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.deferred.wake_at
    }

    /// Has those that were deferred tried again, if it is time; they came first.
    pub(super) fn wake(&mut self, now: Instant) {
        if self.deferred.wake_at.is_some_and(|at| at <= now) {
            self.deferred.wake_at = None;
            let woken = std::mem::take(&mut self.deferred.requests);
            self.put_back(woken.into());
        }
    }

    /// Whether the next one is carried out together with others.
    pub(super) fn next_joins_batches(&self) -> bool {
        self.requests
            .front()
            .is_some_and(|request| request.work.joins_batches())
    }

    pub(super) fn pop(&mut self) -> Option<Request> {
        self.requests.pop_front()
    }

    /// Takes what one call carries out: as many as the bounds allow, but no id twice, so that the server
    /// need not compare the requests of a batch with each other.
    pub(super) fn take_batch(&mut self, bounds: BatchBounds) -> Vec<Request> {
        let mut batch = Vec::new();
        let mut ids = Ids::default();
        let mut bytes = 0;
        while batch.len() < bounds.requests.max(1) && (batch.is_empty() || bytes < bounds.bytes) {
            let joins = |request: &Request| request.work.joins_batches();
            let Some(request) = self.requests.pop_front_if(|request| joins(request)) else {
                break;
            };
            if let Err(refused) = request.work.check_chain() {
                request.answer(Err(refused));
                continue;
            }
            if self.deferred.holds_up(&request.work) {
                self.deferred.requests.push_back(request);
                continue;
            }
            if !ids.insert(&request.work) {
                self.requests.push_front(request);
                break;
            }
            bytes += request.work.bytes();
            batch.push(request);
        }
        batch
    }

    /// Answers those whose time is up, and drops those whose answer nobody waits for.
    pub(super) fn expire(&mut self, now: Instant, last_failure: Option<&str>) {
        expire(&mut self.requests, now, last_failure);
        expire(&mut self.deferred.requests, now, Some(HELD));
    }

    /// When the next one's time is up.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        let all = self.requests.iter().chain(&self.deferred.requests);
        let ends = all.map(|request| {
            let deadline = request.work.deadline();
            deadline.map_or(request.give_up_at, |at| at.min(request.give_up_at))
        });
        ends.min()
    }

    pub(super) fn in_doubt(&self) -> impl Iterator<Item = &Request> {
        self.requests.iter().filter(|request| request.in_doubt)
    }

    /// Takes those out of which `settled` makes an answer; the rest is in doubt no more.
    pub(super) fn settle(&mut self, mut settled: impl FnMut(&Request) -> Option<Answer>) {
        for mut request in std::mem::take(&mut self.requests) {
            if !request.in_doubt {
                self.requests.push_back(request);
                continue;
            }
            match settled(&request) {
                Some(answer) => request.answer(Ok(answer)),
                None => {
                    request.in_doubt = !request.work.joins_batches();
                    self.requests.push_back(request);
                }
            }
        }
    }
}

impl Deferred {
    /// Whether one of them is of the same chain.
    fn holds_up(&self, work: &Work) -> bool {
        let chain = work.chain_id();
        chain.is_some() && self.requests.iter().any(|it| it.work.chain_id() == chain)
    }
}

fn expire(requests: &mut VecDeque<Request>, now: Instant, last_failure: Option<&str>) {
    if !requests.iter().any(|request| is_over(request, now)) {
        return;
    }
    for request in std::mem::take(requests) {
        if !is_over(&request, now) {
            requests.push_back(request);
            continue;
        }
        let error = time_is_up(&request, now, last_failure);
        request.answer(Err(error));
    }
}

fn is_over(request: &Request, now: Instant) -> bool {
    let late = request
        .work
        .deadline()
        .is_some_and(|deadline| now >= deadline);
    late || now >= request.give_up_at || request.reply.is_closed()
}

fn time_is_up(request: &Request, now: Instant, last_failure: Option<&str>) -> StoreError {
    let reason = last_failure.unwrap_or("the database did not answer in time");
    if request.in_doubt {
        return StoreError::OutcomeUnknown {
            source: reason.into(),
        };
    }
    match request.work.deadline() {
        Some(deadline) if now >= deadline => StoreError::DeadlinePassed,
        _ => StoreError::unavailable(reason),
    }
}

/// Which request of a batch brings which ids.
#[derive(Default)]
struct Ids {
    brought: HashMap<EventId, usize>,
    requests: usize,
}

impl Ids {
    /// Takes note of a request's ids; whether no other request brings one of them.
    fn insert(&mut self, work: &Work) -> bool {
        self.requests += 1;
        let (append, command) = match work {
            Work::Append(append) => (Some(append), append.command.as_ref()),
            Work::Outcome(outcome) => (None, Some(&outcome.command)),
            _ => return true,
        };
        let writes = append.iter().flat_map(|append| &append.writes);
        let events = writes.flat_map(|write| &write.events);
        let ids = events.map(|event| event.event_id);
        let first = command.map(|command| command.first_event);
        ids.chain(first)
            .all(|id| *self.brought.entry(id).or_insert(self.requests) == self.requests)
    }
}
