//! Dispatch: a command on its way, and its answer.

mod error;
mod fingerprint;
mod json;
mod options;
mod receipt;
mod remembered;

use std::fmt;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

pub use self::error::{Conflict, DispatchError};
pub(crate) use self::fingerprint::mark_of;
pub(crate) use self::json::Routes;
pub use self::json::{DispatchJson, Rejection};
pub(crate) use self::options::Deadline;
pub(crate) use self::options::DispatchOptions;
use self::options::{Causation, option_setters};
pub use self::receipt::{ErasedEvent, ErasedReceipt, Receipt, ReceiptWithState};
pub(crate) use self::remembered::{Answered, Remembered};
use crate::aggregate::instance::Reply;
use crate::app::App;
use crate::{Aggregate, CausationId, CommandId, CorrelationId, Routed, StreamVersion};

/// A command on its way: say more about it, then await it.
///
/// Nothing happens before the first poll. Commands on one aggregate run in the order of their first
/// polls; with middleware each is first taken through it in a task of its own, so wait for one before you
/// begin the next where their order matters. It owns what it needs, so it can be spawned and joined. A
/// dropped dispatch leaves its command done or not done, nothing in between.
pub struct Dispatch<A: Aggregate, R = Receipt<A>> {
    state: State<A, R>,
}

enum State<A: Aggregate, R> {
    Waiting(Box<Waiting<A, R>>),
    Running(BoxFuture<'static, Result<R, DispatchError<A::Error>>>),
    Taken,
}

struct Waiting<A: Aggregate, R> {
    app: App,
    command: Routed<A>,
    options: DispatchOptions,
    answer: PhantomData<fn() -> R>,
}

// Nothing in it is pinned in place: the running future is boxed.
impl<A: Aggregate, R> Unpin for Dispatch<A, R> {}

impl<A: Aggregate> Dispatch<A> {
    pub(crate) fn new(app: App, command: Routed<A>) -> Self {
        Self::with_options(app, command, DispatchOptions::default())
    }

    /// One that fails with this.
    pub(crate) fn refused(error: DispatchError<A::Error>) -> Self {
        let refused = Box::pin(std::future::ready(Err(error)));
        Self {
            state: State::Running(refused),
        }
    }

    pub(crate) fn with_options(app: App, command: Routed<A>, options: DispatchOptions) -> Self {
        let waiting = Waiting {
            app,
            command,
            options,
            answer: PhantomData,
        };
        Self {
            state: State::Waiting(Box::new(waiting)),
        }
    }

    /// Asks for the aggregate's state after the command, too.
    #[must_use]
    pub fn with_state(self) -> Dispatch<A, ReceiptWithState<A>> {
        let state = match self.state {
            State::Waiting(waiting) => {
                let Waiting {
                    app,
                    command,
                    options,
                    ..
                } = *waiting;
                let waiting = Waiting {
                    app,
                    command,
                    options,
                    answer: PhantomData,
                };
                State::Waiting(Box::new(waiting))
            }
            State::Running(_) | State::Taken => State::Taken,
        };
        Dispatch { state }
    }
}

impl<A: Aggregate, R: Answer<A>> Dispatch<A, R> {
    option_setters!();

    fn set(mut self, change: impl FnOnce(&mut DispatchOptions)) -> Self {
        if let State::Waiting(waiting) = &mut self.state {
            change(&mut waiting.options);
        }
        self
    }
}

impl<A: Aggregate, R: Answer<A>> Future for Dispatch<A, R> {
    type Output = Result<R, DispatchError<A::Error>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut running = match std::mem::replace(&mut self.state, State::Taken) {
            State::Waiting(waiting) => run(*waiting),
            State::Running(running) => running,
            State::Taken => panic!("the dispatch was polled after it had ended"),
        };
        let polled = running.as_mut().poll(context);
        if polled.is_pending() {
            self.state = State::Running(running);
        }
        polled
    }
}

fn run<A: Aggregate, R: Answer<A>>(
    waiting: Waiting<A, R>,
) -> BoxFuture<'static, Result<R, DispatchError<A::Error>>> {
    let Waiting {
        app,
        command,
        options,
        ..
    } = waiting;
    Box::pin(async move {
        let reply = app.send(command, options, R::WITH_STATE).await?;
        Ok(R::of(reply))
    })
}

impl<A: Aggregate, R> fmt::Debug for Dispatch<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.state {
            State::Waiting(waiting) => write!(f, "Dispatch({:?})", waiting.command),
            State::Running(_) => f.write_str("Dispatch(running)"),
            State::Taken => f.write_str("Dispatch(done)"),
        }
    }
}

/// What a dispatch answers with: a receipt, with the state or without.
pub trait Answer<A: Aggregate>: sealed::Sealed<A> + Send + Sized + 'static {}

impl<A: Aggregate, R: sealed::Sealed<A> + Send + 'static> Answer<A> for R {}

mod sealed {
    use super::{Aggregate, Reply};

    pub trait Sealed<A: Aggregate> {
        const WITH_STATE: bool;

        fn of(reply: Reply<A>) -> Self;
    }
}

impl<A: Aggregate> sealed::Sealed<A> for Receipt<A> {
    const WITH_STATE: bool = false;

    fn of(reply: Reply<A>) -> Self {
        reply.receipt
    }
}

impl<A: Aggregate> sealed::Sealed<A> for ReceiptWithState<A> {
    const WITH_STATE: bool = true;

    fn of(reply: Reply<A>) -> Self {
        Self {
            receipt: reply.receipt,
            state: reply.state.expect("asked for with the command"),
        }
    }
}
