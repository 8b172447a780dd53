//! Read models that move together with their checkpoint.

mod inline;
mod projecting;
mod setup;

use std::future::Future;

pub(crate) use self::inline::{InlineAppend, InlineProjections};
pub(crate) use self::projecting::Projecting;
use crate::handler::{EventContext, Failure, FailureAction, Ordering};
use crate::subscription::SubscriptionOptions;
use crate::{BoxError, Event, EventSet};

/// Takes one type of event into a read model.
///
/// A type that has one of these per event derives [`Projection`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not project `{E}` with `{Conn}`",
    label = "missing `impl Project<{E}, {Conn}> for {Self}`",
    note = "write it for the connection of the app's store, or take `{E}` out of `events(..)`"
)]
pub trait Project<E: Event, Conn>: Send + Sync + 'static {
    /// Takes the event into the read model, in a transaction that the runner commits.
    ///
    /// # Errors
    /// Whatever keeps it from being taken in; everything the transaction wrote is undone.
    fn project(
        &self,
        event: &E,
        context: &EventContext,
        db: &mut Conn,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// Takes many events into a read model at once.
///
/// A projection that derives [`Projection`] with `batches` has one of these, in place of a [`Project`] per event.
/// Where one statement writes many rows, a rebuild is several times as fast.
///
/// ```
/// use std::collections::HashMap;
///
/// use ordain::prelude::*;
/// use ordain::{Projected, ReadModels};
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct MoneyDeposited { amount: u64 }
///
/// #[derive(Projection)]
/// #[projection(name = "balances", events(MoneyDeposited), batches)]
/// struct Balances;
///
/// impl ProjectBatch<BalancesEvent, ReadModels> for Balances {
///     async fn project_batch(
///         &self,
///         events: &[Projected<'_, BalancesEvent>],
///         db: &mut ReadModels,
///     ) -> Result<(), BoxError> {
///         let mut sums = HashMap::<_, u64>::new();
///         for Projected { event: BalancesEvent::MoneyDeposited(deposited), context } in events {
///             *sums.entry(context.id()).or_default() += deposited.amount;
///         }
///         for (account, sum) in sums {
///             let before: u64 = db.get("balances", account).unwrap_or_default();
///             db.put("balances", account, before + sum);
///         }
///         Ok(())
///     }
/// }
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not project batches with `{Conn}`",
    label = "missing `impl ProjectBatch<{E}, {Conn}> for {Self}`",
    note = "write it for the connection of the app's store, or take out `batches`"
)]
pub trait ProjectBatch<E: EventSet, Conn>: Send + Sync + 'static {
    /// As [`Projection::project_batch`].
    ///
    /// # Errors
    /// Whatever keeps one of them from being taken in; everything the transaction wrote is undone.
    fn project_batch(
        &self,
        events: &[Projected<'_, E>],
        db: &mut Conn,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;
}

/// An event of a batch that is taken into a read model.
#[derive(Debug)]
pub struct Projected<'e, E> {
    /// The event.
    pub event: &'e E,
    /// What is known about it.
    pub context: &'e EventContext,
}

/// The tables of a read model.
///
/// A projection that derives [`Projection`] with `tables` has one of these.
pub trait ReadModel<Conn>: crate::__private::HasTables + Send + Sync + 'static {
    /// Makes the tables unless they are there; called whenever an app starts.
    ///
    /// # Errors
    /// Whatever keeps them from being made.
    fn setup(&self, db: &mut Conn) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = db;
        async { Ok(()) }
    }

    /// Empties the tables; called when the projection is reset.
    ///
    /// # Errors
    /// Whatever keeps them from being emptied.
    fn reset(&self, db: &mut Conn) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = db;
        async { Ok(()) }
    }

    /// Puts the tables in the place of those of the version before, once they have caught up with them.
    ///
    /// # Errors
    /// Whatever keeps it from being done; it is tried again.
    fn take_over(&self, db: &mut Conn) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = db;
        async { Ok(()) }
    }
}

/// Makes a read model of events: each is taken in exactly once.
///
/// Usually derived, with one [`Project`] per event. Many events are taken in by one transaction, which
/// commits the checkpoint too. `Conn` is what the store gives to write with: a `PgConnection`, a
/// `SqliteConnection`, or the memory store's [`ReadModels`](crate::ReadModels).
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a projection on `{Conn}`",
    note = "every event that it lists needs a `Project<_, {Conn}>`, and its `tables` a `ReadModel<{Conn}>`"
)]
pub trait Projection<Conn>: Send + Sync + 'static {
    /// The name under which it is remembered how far it has come.
    const NAME: &'static str;

    /// The version of the read model, from 1. A higher one is built beside the lower one, in tables of its
    /// own, and takes its place when it has caught up.
    const VERSION: u32 = 1;

    /// Whether events are ordered by stream, whatever [`ordering`](Self::ordering) says: then none is decoded only to
    /// find that out. The derive says so unless it is given an `ordering`.
    const ORDERED_BY_STREAM: bool = false;

    /// The events it wants.
    type Events: EventSet;

    /// Takes an event into the read model, in a transaction that the runner commits.
    ///
    /// # Errors
    /// Whatever keeps it from being taken in; everything the transaction wrote is undone.
    fn project(
        &self,
        event: &Self::Events,
        context: &EventContext,
        db: &mut Conn,
    ) -> impl Future<Output = Result<(), BoxError>> + Send;

    /// Takes events into the read model that come together, in their order: at most
    /// [`batch_max`](SubscriptionOptions#structfield.batch_max). Unless it says otherwise, one after the other.
    ///
    /// A batch that fails is undone, and split until the event that fails is found.
    ///
    /// # Errors
    /// Whatever keeps one of them from being taken in; everything the transaction wrote is undone.
    fn project_batch(
        &self,
        events: &[Projected<'_, Self::Events>],
        db: &mut Conn,
    ) -> impl Future<Output = Result<(), BoxError>> + Send
    where
        Conn: Send,
    {
        async move {
            for Projected { event, context } in events {
                self.project(event, context, db).await?;
            }
            Ok(())
        }
    }

    /// As [`ReadModel::setup`].
    ///
    /// # Errors
    /// Whatever keeps the tables from being made.
    fn setup(&self, db: &mut Conn) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = db;
        async { Ok(()) }
    }

    /// As [`ReadModel::reset`].
    ///
    /// # Errors
    /// Whatever keeps the tables from being emptied.
    fn reset(&self, db: &mut Conn) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = db;
        async { Ok(()) }
    }

    /// As [`ReadModel::take_over`].
    ///
    /// # Errors
    /// Whatever keeps it from being done.
    fn take_over(&self, db: &mut Conn) -> impl Future<Output = Result<(), BoxError>> + Send {
        let _ = db;
        async { Ok(()) }
    }

    /// How the subscription works.
    fn options(&self) -> SubscriptionOptions {
        SubscriptionOptions::default()
    }

    /// What the event is ordered by. It must follow from the event alone.
    fn ordering(&self, event: &Self::Events, context: &EventContext) -> Ordering {
        let _ = (event, context);
        Ordering::Stream
    }

    /// What to do when an event could not be taken in.
    fn on_failure(&self, failure: &Failure) -> FailureAction {
        failure.default_action()
    }
}
