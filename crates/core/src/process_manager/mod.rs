//! Process managers: instances that react to events with commands and timers.

mod cache;
mod commands;
mod context;
mod events;
mod failure;
mod instance;
mod options;
mod outgoing;
mod parked;
mod processes;
mod reaction;
mod route;
mod runner;
mod schedule;
mod step;
mod steps;
mod stored;
mod timers;
mod work;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use self::context::{ProcessContext, TimerContext};
pub use self::failure::{CommandAction, CommandFailure};
pub use self::options::ProcessOptions;
pub use self::processes::{ProcessInstance, ProcessOutgoing, ProcessTimer, Processes};
pub use self::reaction::{IssuedCommand, Reaction};
pub use self::route::Route;
pub(crate) use self::schedule::{SCHEDULE, Scheduled, cancel};
pub use self::schedule::{Schedule, ScheduleError, ScheduledId};
pub use self::steps::{FailedCommandStep, ProcessSteps};
pub(crate) use self::work::Managing;
use crate::handler::{Failure, FailureAction};
use crate::{AggregateId, Event, EventContext, EventSet};

/// Follows pieces of business that span aggregates: reacts to events with commands and timers.
///
/// Usually derived, with one [`Process`] per event, and an [`OnTimer`] if it has timers. Its value is the state
/// of one instance; [`route`](Self::route) says which instances an event is for. Instances are loaded when
/// something happens to them. State, timers, commands and checkpoint are committed together, so that every
/// event is handled once by each instance it is for, and every command takes effect once, also across crashes
/// and take-overs.
///
/// An instance whose commands are not settled yet is not shown its next event before they are; others go on.
///
/// ```
/// use std::time::Duration;
///
/// use ordain::prelude::*;
/// use ordain::{App, EventContext, MemoryStore, ProcessContext, Reaction, Route, TimerContext};
/// use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct AccountOpened {}
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct BonusPaid { amount: u64 }
/// # #[derive(Debug, Serialize, Deserialize, Command)]
/// # struct OpenAccount { #[command(id)] account: String }
/// # #[derive(Debug, Serialize, Deserialize, Command)]
/// # struct PayBonus { #[command(id)] account: String, amount: u64 }
/// # #[derive(Debug, Default, Clone, Aggregate)]
/// # #[aggregate(category = "account", commands(OpenAccount, PayBonus), events(AccountOpened, BonusPaid))]
/// # struct Account { balance: u64 }
/// # impl Execute<OpenAccount> for Account {
/// #     fn execute(&self, _: &OpenAccount) -> Decision<Self> { Ok(AccountOpened {}.into()) }
/// # }
/// # impl Execute<PayBonus> for Account {
/// #     fn execute(&self, command: &PayBonus) -> Decision<Self> { Ok(BonusPaid { amount: command.amount }.into()) }
/// # }
/// # impl Apply<AccountOpened> for Account { fn apply(&mut self, _: &AccountOpened) {} }
/// # impl Apply<BonusPaid> for Account { fn apply(&mut self, event: &BonusPaid) { self.balance += event.amount; } }
///
/// #[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
/// #[process_manager(name = "welcome", id = String, events(AccountOpened, BonusPaid), timer = GiveUp)]
/// struct Welcome {
///     paid: u64,
/// }
///
/// #[derive(Debug, Serialize, Deserialize)]
/// struct GiveUp;
///
/// impl Process<AccountOpened> for Welcome {
///     fn route(_: &AccountOpened, context: &EventContext) -> Route<String> {
///         Route::start(context.id())
///     }
///
///     fn handle(&self, _: &AccountOpened, context: &ProcessContext) -> Reaction<Self> {
///         let account = context.instance().to_owned();
///         Reaction::dispatch(PayBonus { account, amount: 5 })
///             .timer("give up", Duration::from_secs(3_600), GiveUp)
///     }
/// }
///
/// impl Process<BonusPaid> for Welcome {
///     fn route(_: &BonusPaid, context: &EventContext) -> Route<String> {
///         Route::stop(context.id())
///     }
///
///     fn apply(&mut self, event: &BonusPaid) {
///         self.paid += event.amount;
///     }
/// }
///
/// impl OnTimer<GiveUp> for Welcome {
///     fn on_timer(&self, _: &GiveUp, _: &TimerContext) -> Reaction<Self> {
///         Reaction::none().stop()
///     }
/// }
///
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let app = App::builder(MemoryStore::new())
///     .aggregate::<Account>()
///     .process_manager::<Welcome>()
///     .start()
///     .await?;
/// app.dispatch(OpenAccount { account: "ann".into() }).await?;
/// # for _ in 0..500 {
/// #     if app.load::<Account>(&"ann".to_owned()).await?.balance == 5 { break; }
/// #     tokio::time::sleep(Duration::from_millis(10)).await;
/// # }
/// # assert_eq!(app.load::<Account>(&"ann".to_owned()).await?.balance, 5);
/// app.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub trait ProcessManager:
    Default + Clone + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// The name under which it is remembered how far it has come. A leading `$` is the framework's own.
    const NAME: &'static str;

    /// The version of what it does, from 1. A higher one takes over from a lower one and begins anew: it builds
    /// its instances from the events, without issuing the commands again.
    const VERSION: u32 = 1;

    /// The version of the state's shape, from 1. State of another version is [migrated](Self::migrate).
    const STATE_VERSION: u32 = 1;

    /// Whether what its timers do is done without an instance.
    #[doc(hidden)]
    const STATELESS: bool = false;

    /// The id of an instance.
    type Id: AggregateId;

    /// The events it wants.
    type Events: EventSet;

    /// What its timers carry; [`NoTimer`] if it has none.
    type Timer: Serialize + DeserializeOwned + Send + Sync + 'static;

    /// Which instances an event is for. It must follow from the event alone.
    fn route(event: &Self::Events, context: &EventContext) -> Route<Self::Id>;

    /// What an instance does about an event, in the state before it. No I/O, no clock.
    fn handle(&self, event: &Self::Events, context: &ProcessContext) -> Reaction<Self>;

    /// Takes an event into the state, after it was handled.
    fn apply(&mut self, event: &Self::Events);

    /// What an instance does when a timer is due, in the state before it. No I/O, no clock.
    fn on_timer(&self, timer: &Self::Timer, context: &TimerContext) -> Reaction<Self> {
        let _ = (timer, context);
        Reaction::none()
    }

    /// Takes a timer into the state, after it was handled.
    fn apply_timer(&mut self, timer: &Self::Timer) {
        let _ = timer;
    }

    /// How the process manager works.
    fn options() -> ProcessOptions {
        ProcessOptions::default()
    }

    /// What to do when an instance could not handle an event.
    ///
    /// An event that cannot be read, or routed, belongs to no instance that could be put aside: after its
    /// attempts it stops the process manager, unless it is skipped.
    fn on_failure(failure: &Failure) -> FailureAction {
        failure.default_action()
    }

    /// What to do when a command of the instance failed, or was rejected.
    fn on_command_failure(&self, failure: &CommandFailure) -> CommandAction<Self> {
        failure.default_action()
    }

    /// Takes the failure of a command into the state, when it was left out or replaced.
    fn apply_command_failure(&mut self, failure: &CommandFailure) {
        let _ = failure;
    }

    /// The state from that of another [version](Self::STATE_VERSION); without it, the instance is put aside.
    fn migrate(version: u32, state: Value) -> Option<Self> {
        let _ = (version, state);
        None
    }
}

/// Reacts to one type of event with commands and timers.
///
/// A type that has one of these per event derives [`ProcessManager`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not process `{E}`",
    label = "missing `impl Process<{E}> for {Self}`",
    note = "write `impl Process<{E}> for {Self}`, or take `{E}` out of `events(..)`"
)]
pub trait Process<E: Event>: ProcessManager {
    /// Which instances the event is for. It must follow from the event alone.
    fn route(event: &E, context: &EventContext) -> Route<Self::Id>;

    /// What an instance does about the event, in the state before it. No I/O, no clock.
    fn handle(&self, event: &E, context: &ProcessContext) -> Reaction<Self> {
        let _ = (event, context);
        Reaction::none()
    }

    /// Takes the event into the state, after it was handled.
    fn apply(&mut self, event: &E) {
        let _ = event;
    }
}

/// Reacts to timers with commands and timers.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does nothing when its timer `{T}` is due",
    label = "missing `impl OnTimer<{T}> for {Self}`",
    note = "write `impl OnTimer<{T}> for {Self}`, or take out `timer = {T}`"
)]
pub trait OnTimer<T>: ProcessManager {
    /// What an instance does when the timer is due, in the state before it. No I/O, no clock.
    fn on_timer(&self, timer: &T, context: &TimerContext) -> Reaction<Self>;

    /// Takes the timer into the state, after it was handled.
    fn apply_timer(&mut self, timer: &T) {
        let _ = timer;
    }
}

/// What the timers of a process manager without timers carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoTimer {}
