//! Given these events, when this one is delivered, then it is handled.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::Location;

use ordain::store::SubscriptionKey;
use ordain::{
    Codec, Delivery, EventContext, EventHandler, EventSet, Failure, FailureAction, FailureCause,
    Ordering,
};

use crate::diff::diff;
use crate::recorder::{Recorder, event_setters};
use crate::stored::through_the_codec;

/// The test of an event handler, without store and app.
///
/// ```
/// # use std::sync::Mutex;
/// # use ordain::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct MoneyDeposited { amount: u64 }
/// # #[derive(Default, EventHandler)]
/// # #[event_handler(name = "receipts", events(MoneyDeposited))]
/// # struct Receipts { sent: Mutex<Vec<String>> }
/// # impl Handle<MoneyDeposited> for Receipts {
/// #     async fn handle(&self, event: &MoneyDeposited, context: &EventContext) -> Result<(), BoxError> {
/// #         if event.amount == 0 {
/// #             return Err("nothing to write".into());
/// #         }
/// #         self.sent.lock().unwrap().push(format!("{}: {}", context.id(), event.amount));
/// #         Ok(())
/// #     }
/// # }
/// use ordain::FailureAction;
/// use ordain_testkit::HandlerTest;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// HandlerTest::new(Receipts::default())
///     .stream("account-ann")
///     .given(MoneyDeposited { amount: 10 })
///     .when(MoneyDeposited { amount: 5 })
///     .await
///     .then_ok()
///     .then(|receipts| assert_eq!(*receipts.sent.lock().unwrap(), ["ann: 10", "ann: 5"]))
///     .when(MoneyDeposited { amount: 0 })
///     .await
///     .then_error("nothing to write")
///     .then_action(FailureAction::Retry);
/// # }
/// ```
///
/// Events come one at a time, since each has its own place: what is said by [`stream`](Self::stream),
/// [`actor`](Self::actor) and so on holds for those that follow. Each is written as JSON and read back
/// first, as by a store.
#[must_use = "say which event comes: `.when(..)`"]
pub struct HandlerTest<H: EventHandler> {
    handler: H,
    recorder: Recorder,
    delivery: Delivery,
    attempt: u32,
    before: Vec<Delivered<H>>,
}

/// An event and what is known about it.
struct Delivered<H: EventHandler> {
    event: H::Events,
    context: EventContext,
}

/// A test after an event: what came of it.
pub struct Reacted<H: EventHandler> {
    test: HandlerTest<H>,
    last: Delivered<H>,
    failure: Option<Failure>,
}

impl<H: EventHandler> HandlerTest<H> {
    /// Nothing has been delivered yet.
    pub fn new(handler: H) -> Self {
        Self {
            handler,
            recorder: Recorder::new(),
            delivery: Delivery::Live,
            attempt: 1,
            before: Vec::new(),
        }
    }

    event_setters!(recorder);

    /// Whether the events that follow were handled before under this name; they are live unless told.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Which attempt to handle the events that follow it is; the first unless told.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// This event was delivered before, and handled.
    #[track_caller]
    pub fn given(mut self, event: impl Into<H::Events>) -> Self {
        let delivered = self.deliver(event.into());
        self.before.push(delivered);
        self
    }

    /// This event is delivered, after those that are given.
    ///
    /// # Panics
    /// If one of those cannot be handled.
    #[track_caller]
    pub fn when(mut self, event: impl Into<H::Events>) -> impl Future<Output = Reacted<H>> {
        let last = self.deliver(event.into());
        let caller = Location::caller();
        async move {
            for given in std::mem::take(&mut self.before) {
                if let Some(failure) = self.handle(&given).await {
                    let (name, cause) = (given.name(), failure.cause);
                    panic!("`{name}` is given, and could not be handled: {cause} (at {caller})");
                }
            }
            let failure = self.handle(&last).await;
            Reacted {
                test: self,
                last,
                failure,
            }
        }
    }

    #[track_caller]
    fn deliver(&mut self, event: H::Events) -> Delivered<H> {
        let event = through_the_codec(&event).unwrap_or_else(|problem| panic!("{problem}"));
        let recorded = self.recorder.record(&event, &Codec::Json);
        let context = EventContext::outside(recorded)
            .delivered(self.delivery)
            .delivered_by(SubscriptionKey::new(H::NAME, H::VERSION))
            .attempted(self.attempt);
        Delivered { event, context }
    }

    /// The failure, if there is one.
    async fn handle(&self, delivered: &Delivered<H>) -> Option<Failure> {
        let Delivered { event, context } = delivered;
        let error = self.handler.handle(event, context).await.err()?;
        let mut failure = Failure::outside(context, FailureCause::Error(error));
        failure.attempts_max = self.handler.options().attempts;
        if let Ordering::Key(key) = self.handler.ordering(event, context) {
            failure.key = key;
        }
        Some(failure)
    }
}

impl<H: EventHandler> Delivered<H> {
    fn name(&self) -> &'static str {
        self.event.event_type().name
    }
}

impl<H: EventHandler> Reacted<H> {
    /// It was handled.
    #[track_caller]
    pub fn then_ok(self) -> Self {
        match &self.failure {
            None => self,
            Some(_) => self.fail("that it is handled"),
        }
    }

    /// It could not be handled, and this is what the error says.
    #[track_caller]
    pub fn then_error(self, expected: &str) -> Self {
        let Some(failure) = &self.failure else {
            self.fail(&format!("the error \"{expected}\""));
        };
        let actual = failure.cause.to_string();
        if actual != expected {
            let diff = diff(&format!("{expected}\n"), &format!("{actual}\n"));
            panic!("`{}` failed with another error:\n{diff}", self.last.name());
        }
        self
    }

    /// It could not be handled, for an error of this type, of which this holds.
    #[track_caller]
    pub fn then_error_matching<E: Error + 'static>(self, holds: impl FnOnce(&E) -> bool) -> Self {
        let Some(failure) = &self.failure else {
            self.fail("an error");
        };
        match failure.error::<E>() {
            Some(error) if holds(error) => self,
            Some(error) => {
                let name = self.last.name();
                panic!("`{name}` failed with an error that does not match: {error:?}")
            }
            None => self.fail(&format!("a `{}`", std::any::type_name::<E>())),
        }
    }

    /// It could not be handled, and this is what the handler has done about it.
    #[track_caller]
    pub fn then_action(self, expected: FailureAction) -> Self {
        let Some(failure) = &self.failure else {
            self.fail(&format!("a failure followed by `{expected:?}`"));
        };
        let action = self.test.handler.on_failure(failure);
        assert!(
            action == expected,
            "`{}` failed at attempt {}: {}; expected `{expected:?}`, but the handler says `{action:?}`",
            self.last.name(),
            failure.attempts,
            failure.cause,
        );
        self
    }

    /// Looks at the handler: what it has sent, or noted.
    pub fn then(self, look: impl FnOnce(&H)) -> Self {
        look(&self.test.handler);
        self
    }

    /// The same event once more: the next attempt if it could not be handled; otherwise delivered again,
    /// as after a crash before the checkpoint.
    pub async fn again(mut self) -> Self {
        let attempt = match self.failure {
            Some(_) => self.last.context.attempt() + 1,
            None => self.test.attempt,
        };
        self.last.context = self.last.context.attempted(attempt);
        self.failure = self.test.handle(&self.last).await;
        self
    }

    /// The next event.
    ///
    /// # Panics
    /// If the one before could not be handled, since then it would not come.
    #[track_caller]
    pub fn when(self, event: impl Into<H::Events>) -> impl Future<Output = Self> {
        if self.failure.is_some() {
            self.fail("that it is handled, for the test to go on");
        }
        self.test.when(event)
    }

    event_setters!(test.recorder);

    /// As [`HandlerTest::delivery`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.test.delivery = delivery;
        self
    }

    /// As [`HandlerTest::attempt`].
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.test.attempt = attempt;
        self
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        panic!("`{}`: expected {expected}, but {self}", self.last.name())
    }
}

/// What came of it, as the second half of a sentence.
impl<H: EventHandler> fmt::Display for Reacted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.failure {
            None => f.write_str("it was handled"),
            Some(failure) => write!(f, "it failed: {}", failure.cause),
        }
    }
}

impl<H: EventHandler> fmt::Debug for HandlerTest<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerTest({} after {})", H::NAME, self.before.len())
    }
}

impl<H: EventHandler> fmt::Debug for Reacted<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reacted({}: {self})", self.last.name())
    }
}
