//! Given these events, when this one comes, then those commands and timers.

mod happening;
mod kept;
mod run;
mod then;

use std::error::Error;
use std::fmt;
use std::time::Duration;

use ordain::store::{OutgoingRecord, TimerRecord};
use ordain::{
    Codec, Delivery, DispatchError, EventContext, ProcessManager, ProcessOutgoing, ProcessSteps,
    Rejection,
};
use serde::Serialize;

use self::happening::Happening;
use self::kept::Kept;
pub use self::then::TimerDue;
use crate::recorder::{Recorder, event_setters};

/// The test of a process manager, without store and app.
///
/// ```
/// # use std::time::Duration;
/// # use ordain::prelude::*;
/// # use ordain::{ProcessContext, Reaction, Route};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct OrderPlaced {}
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct OrderPaid {}
/// # #[derive(Debug, Serialize, Deserialize, Command)]
/// # struct SendInvoice { #[command(id)] order: String }
/// # #[derive(Debug, Serialize, Deserialize, Command)]
/// # struct CancelOrder { #[command(id)] order: String }
/// # #[derive(Debug, Default, Clone, Aggregate)]
/// # #[aggregate(category = "order", commands(SendInvoice, CancelOrder), events(OrderPaid))]
/// # struct Order;
/// # impl Execute<SendInvoice> for Order {
/// #     fn execute(&self, _: &SendInvoice) -> Decision<Self> { Ok(().into()) }
/// # }
/// # impl Execute<CancelOrder> for Order {
/// #     fn execute(&self, _: &CancelOrder) -> Decision<Self> { Ok(().into()) }
/// # }
/// # impl Apply<OrderPaid> for Order { fn apply(&mut self, _: &OrderPaid) {} }
/// # #[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
/// # #[process_manager(name = "payment", id = String, events(OrderPlaced, OrderPaid), timer = Overdue)]
/// # struct Payment {}
/// # #[derive(Debug, Serialize, Deserialize)]
/// # struct Overdue;
/// # impl Process<OrderPlaced> for Payment {
/// #     fn route(_: &OrderPlaced, context: &EventContext) -> Route<String> { Route::start(context.id()) }
/// #     fn handle(&self, _: &OrderPlaced, context: &ProcessContext) -> Reaction<Self> {
/// #         let order = context.instance().to_owned();
/// #         Reaction::dispatch(SendInvoice { order }).timer("overdue", DAY, Overdue)
/// #     }
/// # }
/// # impl Process<OrderPaid> for Payment {
/// #     fn route(_: &OrderPaid, context: &EventContext) -> Route<String> { Route::stop(context.id()) }
/// # }
/// # impl OnTimer<Overdue> for Payment {
/// #     fn on_timer(&self, _: &Overdue, context: &ordain::TimerContext) -> Reaction<Self> {
/// #         Reaction::dispatch(CancelOrder { order: context.instance().into() }).stop()
/// #     }
/// # }
/// # const DAY: Duration = Duration::from_secs(86_400);
/// use ordain_testkit::ProcessTest;
///
/// # fn main() {
/// ProcessTest::<Payment>::new()
///     .stream("order-7")
///     .when(OrderPlaced {})
///     .then_dispatched([SendInvoice { order: "7".into() }])
///     .then_timer("overdue", DAY, Overdue)
///     .when_time_passes(DAY)
///     .then_dispatched([CancelOrder { order: "7".into() }])
///     .then_stopped("7");
/// # }
/// ```
///
/// It takes the steps that a running process manager takes, each as if the instance had left memory before:
/// events, states, timers and commands are written as JSON and read back.
///
/// * Events come one at a time, since each has its own place: what is said by [`stream`](Self::stream),
///   [`actor`](Self::actor) and so on holds for those that follow.
/// * Commands succeed, unless the test says before the next event or time that they
///   [fail](Happened::when_rejected). A running process manager, too, shows an instance nothing new before
///   its commands are settled. What comes of them, the events of their aggregates, the test has to tell.
/// * Time passes when the [test says so](Self::when_time_passes), and only then do timers fire: an event that
///   is [recorded](Self::recorded_at) later overtakes those that are due, as after downtime.
#[must_use = "say which event comes: `.when(..)`"]
pub struct ProcessTest<P: ProcessManager> {
    steps: ProcessSteps<P>,
    recorder: Recorder,
    delivery: Delivery,
    attempt: u32,
    kept: Kept,
    /// What instances, or nobody yet, could not handle, and is to be tried again.
    open_events: Vec<(Option<String>, EventContext)>,
    /// Timers that could not be handled, and are to be tried again; how often they were tried.
    open_timers: Vec<(TimerRecord, u32)>,
    /// Why the process manager has stopped, if it has.
    halted: Option<String>,
}

/// A test after an event, some time, or a command that failed: what came of it.
pub struct Happened<P: ProcessManager> {
    test: ProcessTest<P>,
    last: Happening,
    /// The instance that the test looks at, if not at all.
    of: Option<String>,
}

impl<P: ProcessManager> ProcessTest<P> {
    /// Nothing has come yet, and no instance is there.
    #[expect(
        clippy::new_without_default,
        reason = "a test that begins with nothing should say so"
    )]
    pub fn new() -> Self {
        Self {
            steps: ProcessSteps::new(Codec::Json),
            recorder: Recorder::new(),
            delivery: Delivery::Live,
            attempt: 1,
            kept: Kept::default(),
            open_events: Vec::new(),
            open_timers: Vec::new(),
            halted: None,
        }
    }

    event_setters!(recorder);

    /// Whether the events that follow were handled before under this name: then their commands are not issued
    /// again. They are live unless told.
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.delivery = delivery;
        self
    }

    /// Which attempt to handle the events and timers that follow it is; the first unless told.
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.attempt = attempt;
        self
    }

    /// An instance is there with this state.
    #[track_caller]
    pub fn given_state(self, instance: &str, state: P) -> Self {
        let state = serde_json::to_value(state);
        let state = state.unwrap_or_else(|error| panic!("the state cannot be written: {error}"));
        self.given_stored(instance, P::STATE_VERSION, state)
    }

    /// An instance is there with a state that was stored as this JSON, by a program whose states were of this
    /// version.
    #[track_caller]
    pub fn given_stored(
        mut self,
        instance: &str,
        version: u32,
        state: impl Into<serde_json::Value>,
    ) -> Self {
        let stored = self.steps.stored(instance, version, state.into());
        let stored = stored.unwrap_or_else(|error| panic!("the state cannot be written: {error}"));
        self.kept.instances.insert(instance.to_owned(), stored);
        self
    }

    /// This event came before, and its commands have succeeded.
    ///
    /// # Panics
    /// If it cannot be handled.
    #[track_caller]
    pub fn given(mut self, event: impl Into<P::Events>) -> Self {
        let happened = self.deliver(event.into());
        if let Some(failure) = happened.failure(None) {
            panic!("{} is given, and {failure}", happened.what);
        }
        self.kept.settle();
        self
    }

    /// This event comes. The commands before it have succeeded.
    #[must_use = "say what comes of it: `.then_dispatched(..)`"]
    #[track_caller]
    pub fn when(mut self, event: impl Into<P::Events>) -> Happened<P> {
        self.kept.settle();
        let last = self.deliver(event.into());
        self.happened(last)
    }

    /// So much time passes: the timers that are due fire, in that order. The commands before them have
    /// succeeded.
    ///
    /// A timer whose instance has issued commands meanwhile waits until they are settled: it fires when time
    /// passes again, as little as it may be.
    #[must_use = "say what comes of it: `.then_dispatched(..)`"]
    #[track_caller]
    pub fn when_time_passes(mut self, time: Duration) -> Happened<P> {
        let mut last = Happening::new(format!("{time:?} later"));
        self.check_running(&last.what);
        self.kept.settle();
        self.recorder.recorded_at += time;
        self.fire_due(&mut last);
        self.happened(last)
    }
}

impl<P: ProcessManager> Happened<P> {
    event_setters!(test.recorder);

    /// As [`ProcessTest::delivery`].
    pub fn delivery(mut self, delivery: Delivery) -> Self {
        self.test.delivery = delivery;
        self
    }

    /// As [`ProcessTest::attempt`].
    pub fn attempt(mut self, attempt: u32) -> Self {
        self.test.attempt = attempt;
        self
    }

    /// Looks at this instance alone, until something else happens.
    pub fn of(mut self, instance: &str) -> Self {
        self.of = Some(instance.to_owned());
        self
    }

    /// The next event. The commands before it have succeeded.
    ///
    /// # Panics
    /// If what came before is to be tried again: [`again`](Self::again).
    #[must_use = "say what comes of it: `.then_dispatched(..)`"]
    #[track_caller]
    pub fn when(self, event: impl Into<P::Events>) -> Self {
        self.settled().when(event)
    }

    /// As [`ProcessTest::when_time_passes`].
    ///
    /// # Panics
    /// If what came before is to be tried again: [`again`](Self::again).
    #[must_use = "say what comes of it: `.then_dispatched(..)`"]
    #[track_caller]
    pub fn when_time_passes(self, time: Duration) -> Self {
        self.settled().when_time_passes(time)
    }

    /// The first command that is outstanding is refused by its aggregate, with this error.
    ///
    /// # Panics
    /// If there is none.
    #[must_use = "say what comes of it: `.then_dispatched(..)`"]
    #[track_caller]
    pub fn when_rejected<E>(self, error: E) -> Self
    where
        E: Error + Serialize + Send + Sync + 'static,
    {
        self.when_command_fails(DispatchError::Rejected(Rejection::new(error)))
    }

    /// The first command that is outstanding fails so.
    ///
    /// # Panics
    /// If there is none, or if it is said to be settled, which is no failure.
    #[must_use = "say what comes of it: `.then_dispatched(..)`"]
    #[track_caller]
    pub fn when_command_fails(mut self, error: DispatchError<Rejection>) -> Self {
        let command = self.first_outstanding("fail");
        let last = self.test.fail_command(&command, error);
        self.test.happened(last)
    }

    /// The first command that is outstanding succeeds, so that the next one may fail.
    ///
    /// # Panics
    /// If there is none.
    #[must_use = "say what comes of it: `.when_rejected(..)`"]
    #[track_caller]
    pub fn when_succeeded(mut self) -> Self {
        let command = self.first_outstanding("succeed");
        let name = ProcessOutgoing::from(&command).name;
        self.test.kept.remove_outgoing(&command);
        let last = Happening::new(format!("the success of `{name}`"));
        self.test.happened(last)
    }

    /// The next attempt at all that could not be handled and is to be tried again. The commands before it have
    /// succeeded.
    ///
    /// # Panics
    /// If there is nothing of that kind: what is handled, is handled once.
    #[track_caller]
    pub fn again(self) -> Self {
        let Self { mut test, last, .. } = self;
        let (is_open, what) = (test.is_open(), last.what);
        assert!(is_open, "{what}: there is nothing to be tried again");
        test.kept.settle();
        let mut last = Happening::new(what);
        for (instance, context) in std::mem::take(&mut test.open_events) {
            let context = context.clone().attempted(context.attempt() + 1);
            match instance {
                Some(instance) => test.visit(&context, &instance, &mut last),
                None => test.take(&context, &mut last),
            }
        }
        if !test.open_timers.is_empty() {
            test.fire_due(&mut last);
        }
        test.happened(last)
    }

    #[track_caller]
    fn first_outstanding(&self, what: &str) -> OutgoingRecord {
        self.test.check_running(&self.last.what);
        let Some(command) = self.test.kept.outstanding(self.of.as_deref()) else {
            panic!(
                "{}: no command is outstanding that could {what}",
                self.last.what
            );
        };
        command.clone()
    }

    /// The test, if it can go on.
    #[track_caller]
    fn settled(self) -> ProcessTest<P> {
        if self.test.is_open() {
            let failure = self.last.failure(None).unwrap_or_default();
            panic!(
                "{}: expected that it is handled, for the test to go on, but {failure}; write \
                 `.again()` for the next attempt",
                self.last.what
            );
        }
        self.test
    }
}

impl<P: ProcessManager> fmt::Debug for ProcessTest<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ProcessTest({} with {:?})", P::NAME, self.kept.living())
    }
}

impl<P: ProcessManager> fmt::Debug for Happened<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = self.of.as_deref();
        write!(
            f,
            "Happened({}: {})",
            self.last.what,
            self.last.describe(of)
        )
    }
}
