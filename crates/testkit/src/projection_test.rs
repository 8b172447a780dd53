//! Given these events, then the read model is that.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, Location};

use futures::FutureExt as _;
use ordain::store::{ProjectionStore, SubscriptionKey};
use ordain::{BoxError, Delivery, EventContext, EventSet, Projection, RecordedEvent, StoreError};

use crate::recorder::{Recorder, event_setters};
use crate::stored::through_the_codec;

/// The test of a projection, on a store of the test's own.
///
/// The projection runs as an app would run it, in transactions of the store, but nothing is appended and
/// there is no app. For the logic of a projection, a [`MemoryStore`](ordain::MemoryStore) will do if the
/// projection knows it; its SQL wants a throwaway database.
///
/// ```
/// # use ordain::ReadModels;
/// # use ordain::prelude::*;
/// # use serde::{Deserialize, Serialize};
/// # #[derive(Debug, Serialize, Deserialize, Event)]
/// # struct MoneyDeposited { amount: u64 }
/// # #[derive(Projection)]
/// # #[projection(name = "balances", events(MoneyDeposited), tables)]
/// # struct Balances;
/// # impl Project<MoneyDeposited, ReadModels> for Balances {
/// #     async fn project(
/// #         &self,
/// #         event: &MoneyDeposited,
/// #         context: &EventContext,
/// #         db: &mut ReadModels,
/// #     ) -> Result<(), BoxError> {
/// #         let before: u64 = db.get(Self::NAME, context.id()).unwrap_or_default();
/// #         db.put(Self::NAME, context.id(), before + event.amount);
/// #         Ok(())
/// #     }
/// # }
/// # impl ReadModel<ReadModels> for Balances {
/// #     async fn reset(&self, db: &mut ReadModels) -> Result<(), BoxError> {
/// #         db.clear(Self::NAME);
/// #         Ok(())
/// #     }
/// # }
/// use ordain::MemoryStore;
/// use ordain_testkit::ProjectionTest;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// ProjectionTest::on(MemoryStore::new(), Balances)
///     .await
///     .twice()
///     .stream("account-ann")
///     .given(MoneyDeposited { amount: 10 })
///     .given(MoneyDeposited { amount: 5 })
///     .then(async |store| {
///         let balance = store.read_models().get::<u64>(Balances::NAME, "ann");
///         assert_eq!(balance, Some(15));
///     })
///     .await;
/// # }
/// ```
///
/// Events come one at a time, since each has its own place: what is said by [`stream`](Self::stream),
/// [`actor`](Self::actor) and so on holds for those that follow.
pub struct ProjectionTest<S, P> {
    store: S,
    projection: P,
    recorder: Recorder,
    given: Vec<RecordedEvent>,
    /// How many of those given are projected.
    projected: usize,
    twice: bool,
}

impl<S: ProjectionStore, P: Projection<S::Connection>> ProjectionTest<S, P> {
    /// Makes the tables, twice, as a second start of an app does.
    ///
    /// # Panics
    /// If they cannot be made.
    #[track_caller]
    pub fn on(store: S, projection: P) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            let test = Self {
                store,
                projection,
                recorder: Recorder::new(),
                given: Vec::new(),
                projected: 0,
                twice: false,
            };
            for start in ["the first", "a second"] {
                if let Err(error) = test.setup().await {
                    panic!(
                        "`setup` of `{}` failed at {start} start: {error} (at {caller})",
                        P::NAME
                    );
                }
            }
            test
        }
    }

    event_setters!(recorder);

    /// Looks at the read model twice each time: after the events, and after a reset and the same events
    /// anew, as replays. It finds what `reset` forgets to empty, and what depends on more than the events.
    ///
    /// The same event never comes twice without a reset between: what was written, and how far it has
    /// come, is committed together.
    #[must_use = "say what is in the read model: `.then(..).await`"]
    pub fn twice(mut self) -> Self {
        self.twice = true;
        self
    }

    /// This event comes.
    #[must_use = "say what is in the read model: `.then(..).await`"]
    #[track_caller]
    pub fn given(mut self, event: impl Into<P::Events>) -> Self {
        let event = event.into();
        let event = through_the_codec(&event).unwrap_or_else(|problem| panic!("{problem}"));
        let recorded = self.recorder.record(&event, self.store.codec());
        self.given.push(recorded);
        self
    }

    /// Looks at the read model after the events given so far, those since the last look in one
    /// transaction.
    ///
    /// # Panics
    /// If one of them cannot be projected.
    #[track_caller]
    pub fn then(mut self, look: impl AsyncFn(S)) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            let new = &self.given[self.projected..];
            if let Err(failure) = self.project(new, Delivery::Live).await {
                panic!("{failure} (at {caller})");
            }
            self.projected = self.given.len();
            look(self.store.clone()).await;
            if self.twice {
                self.rebuild(caller).await;
                let look = AssertUnwindSafe(look(self.store.clone()));
                assert!(
                    look.catch_unwind().await.is_ok(),
                    "after a reset and the same events anew, the read model of `{}` is another \
                     (at {caller})",
                    P::NAME
                );
            }
            self
        }
    }

    /// The events since the last look cannot be projected, and this is what the error says; nothing of
    /// them is written.
    #[track_caller]
    pub fn then_error(mut self, expected: &str) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            let new = &self.given[self.projected..];
            let failed = self.project(new, Delivery::Live).await;
            let name = P::NAME;
            let Err(Failure { error, .. }) = failed else {
                panic!(
                    "`{name}`: expected the error \"{expected}\", but it took in all (at {caller})"
                );
            };
            let actual = error.to_string();
            assert!(
                actual == expected,
                "`{name}`: expected the error \"{expected}\", but it says \"{actual}\" (at {caller})"
            );
            self.given.truncate(self.projected);
            self
        }
    }

    /// Has the projection reset its tables, as if nothing had come.
    ///
    /// # Panics
    /// If it cannot.
    #[track_caller]
    pub fn reset(mut self) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            self.reset_tables(caller).await;
            self.given.clear();
            self.projected = 0;
            self
        }
    }

    async fn rebuild(&self, caller: &Location<'_>) {
        self.reset_tables(caller).await;
        if let Err(failure) = self.project(&self.given, Delivery::Replay).await {
            panic!("after a reset, {failure} (at {caller})");
        }
    }

    async fn setup(&self) -> Result<(), BoxError> {
        let mut work = self.store.begin_work().await?;
        self.projection.setup(S::connection(&mut work)).await?;
        self.commit(work).await?;
        Ok(())
    }

    async fn reset_tables(&self, caller: &Location<'_>) {
        let reset = async {
            let mut work = self.store.begin_work().await?;
            self.projection.reset(S::connection(&mut work)).await?;
            self.commit(work).await?;
            Ok::<_, BoxError>(())
        };
        if let Err(error) = reset.await {
            panic!("`reset` of `{}` failed: {error} (at {caller})", P::NAME);
        }
    }

    /// Takes in all of these in one transaction, or none.
    async fn project(&self, events: &[RecordedEvent], delivery: Delivery) -> Result<(), Failure> {
        let mut work = self.store.begin_work().await.map_err(Failure::of_all)?;
        for recorded in events {
            let db = S::connection(&mut work);
            let projected = self.project_one(recorded, delivery, db).await;
            projected.map_err(|error| Failure::of(recorded, error))?;
        }
        self.commit(work).await.map_err(Failure::of_all)
    }

    async fn project_one(
        &self,
        recorded: &RecordedEvent,
        delivery: Delivery,
        db: &mut S::Connection,
    ) -> Result<(), BoxError> {
        let Some(event) = P::Events::decode(&recorded.raw(self.store.codec())) else {
            return Err("its set does not know the name it is stored under".into());
        };
        let context = EventContext::outside(recorded.clone())
            .delivered(delivery)
            .delivered_by(SubscriptionKey::new(P::NAME, P::VERSION));
        self.projection.project(&event?, &context, db).await
    }

    async fn commit(&self, work: S::Work) -> Result<(), StoreError> {
        self.store.commit_change(work, Vec::new()).await.map(drop)
    }
}

/// What could not be projected, and why.
struct Failure {
    what: String,
    error: BoxError,
}

impl Failure {
    fn of(event: &RecordedEvent, error: BoxError) -> Self {
        let (name, place) = (&event.event_type, event.position);
        Self {
            what: format!("`{name}` at position {place}"),
            error,
        }
    }

    fn of_all(error: StoreError) -> Self {
        Self {
            what: "what was given".to_owned(),
            error: error.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be projected: {}", self.what, self.error)
    }
}

impl<S, P> fmt::Debug for ProjectionTest<S, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (given, projected) = (self.given.len(), self.projected);
        write!(f, "ProjectionTest({projected} of {given} events projected)")
    }
}
