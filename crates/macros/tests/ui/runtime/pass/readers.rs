//! Handlers and projections under the lints that a careful user denies.

#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic
)]

/// The domain.
pub mod domain {
    use ordain::prelude::*;
    // With the traits in scope, full paths to them would be unneeded qualifications.
    use ordain::subscription::SubscriptionOptions;
    use ordain::{
        CommandAction, CommandFailure, Event, EventHandler, EventSet, EventType, Failure,
        FailureAction, Ordering, ProcessContext, ProcessManager, ProcessOptions, Projected,
        Projection, Reaction, ReadModels, Route, TimerContext,
    };
    use serde::{Deserialize, Serialize};

    /// An event.
    #[derive(Debug, Serialize, Deserialize, Event)]
    pub struct AccountOpened {
        /// Whose.
        pub owner: String,
    }

    /// An event, large beside the other.
    #[derive(Debug, Serialize, Deserialize, Event)]
    pub struct AccountMoved {
        /// Where.
        pub place: ([u64; 32], [u64; 32]),
    }

    /// A small event.
    #[derive(Debug, Serialize, Deserialize, Event)]
    pub struct AccountClosed;

    /// Which process.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, AggregateId)]
    pub struct OtherId(String);

    /// What a timer carries.
    #[derive(Debug, Serialize, Deserialize)]
    pub struct Remind;

    /// A process.
    #[derive(Debug, Clone, Default, Serialize, Deserialize, ProcessManager)]
    #[process_manager(
        name = "welcome",
        id = OtherId,
        events(AccountOpened, AccountClosed),
        timer = Remind,
        version = 2,
        state_version = 3,
        options = ProcessOptions::new,
        on_failure = Failure::default_action,
        on_command_failure = Welcome::answer,
        apply_command_failure = Welcome::note,
        migrate = Welcome::migrate
    )]
    pub struct Welcome {
        owner: String,
    }

    impl Welcome {
        fn answer(&self, failure: &CommandFailure) -> CommandAction<Self> {
            if self.owner.is_empty() {
                CommandAction::Skip
            } else {
                failure.default_action()
            }
        }

        fn note(&mut self, failure: &CommandFailure) {
            self.owner.clone_from(&failure.instance);
        }

        fn migrate(_: u32, state: serde_json::Value) -> Option<Self> {
            serde_json::from_value(state).ok()
        }
    }

    impl Process<AccountOpened> for Welcome {
        fn route(_: &AccountOpened, context: &EventContext) -> Route<OtherId> {
            Route::start(OtherId(context.id().to_owned()))
        }

        fn handle(&self, _: &AccountOpened, _: &ProcessContext) -> Reaction<Self> {
            let after = std::time::Duration::from_secs(1);
            Reaction::none().timer("remind", after, Remind)
        }
    }

    impl Process<AccountClosed> for Welcome {
        fn route(_: &AccountClosed, _: &EventContext) -> Route<OtherId> {
            Route::none()
        }
    }

    impl OnTimer<Remind> for Welcome {
        fn on_timer(&self, _: &Remind, _: &TimerContext) -> Reaction<Self> {
            Reaction::none().stop()
        }
    }

    /// A handler with everything.
    #[derive(Debug, EventHandler)]
    #[event_handler(
        name = "letters",
        version = 2,
        events(AccountOpened, AccountMoved),
        replays,
        options = Letters::options,
        ordering = Letters::ordering,
        on_failure = give_up
    )]
    pub struct Letters;

    impl Letters {
        fn options(&self) -> SubscriptionOptions {
            let Self = self;
            SubscriptionOptions::new().partitions(4)
        }

        fn ordering(&self, event: &LettersEvent, context: &EventContext) -> Ordering {
            match (self, event) {
                (Self, LettersEvent::AccountOpened(event)) => Ordering::Key(event.owner.clone()),
                (Self, LettersEvent::AccountMoved(_)) => Ordering::Key(context.id().to_owned()),
            }
        }
    }

    fn give_up(_: &Letters, failure: &Failure) -> FailureAction {
        match failure.attempts {
            1 => FailureAction::Retry,
            _ => FailureAction::Skip,
        }
    }

    impl Handle<AccountOpened> for Letters {
        async fn handle(&self, event: &AccountOpened, _: &EventContext) -> Result<(), BoxError> {
            std::future::ready(event.owner.len()).await;
            Ok(())
        }
    }

    impl Handle<AccountMoved> for Letters {
        async fn handle(&self, _: &AccountMoved, _: &EventContext) -> Result<(), BoxError> {
            Ok(())
        }
    }

    /// A projection with tables.
    #[derive(Debug, Clone, Projection)]
    #[projection(name = "owners", events(AccountOpened), tables)]
    pub struct Owners;

    impl Project<AccountOpened, ReadModels> for Owners {
        async fn project(
            &self,
            event: &AccountOpened,
            context: &EventContext,
            db: &mut ReadModels,
        ) -> Result<(), BoxError> {
            db.put(Self::NAME, context.id(), event.owner.clone());
            Ok(())
        }
    }

    impl ReadModel<ReadModels> for Owners {}

    /// A projection of batches, in a table of its version.
    #[derive(Debug, Clone, Projection)]
    #[projection(name = "moves", version = V, events(AccountMoved, AccountClosed), batches)]
    pub struct Moves<const V: u32>;

    impl<const V: u32> ProjectBatch<MovesEvent, ReadModels> for Moves<V> {
        async fn project_batch(
            &self,
            events: &[Projected<'_, MovesEvent>],
            db: &mut ReadModels,
        ) -> Result<(), BoxError> {
            for Projected { context, .. } in events {
                db.put(Self::NAME, context.id(), V);
            }
            Ok(())
        }
    }

    /// Names.
    #[must_use]
    pub fn names<C, H: EventHandler, P: Projection<C>, E: Event>() -> [&'static str; 3] {
        [H::NAME, P::NAME, E::NAME]
    }

    /// Types.
    #[must_use]
    pub fn types<S: EventSet>() -> &'static [EventType] {
        S::TYPES
    }
}

mod private {
    use ordain::ReadModels;
    use ordain::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Event)]
    pub(super) struct Pinged;

    #[derive(EventHandler)]
    #[event_handler(name = "pings", events(Pinged))]
    struct Pings;

    impl Handle<Pinged> for Pings {
        async fn handle(&self, _: &Pinged, _: &EventContext) -> Result<(), BoxError> {
            Ok(())
        }
    }

    #[derive(Projection)]
    #[projection(name = "pings", events(Pinged))]
    pub(super) struct PingCount;

    impl Project<Pinged, ReadModels> for PingCount {
        async fn project(
            &self,
            _: &Pinged,
            _: &EventContext,
            _: &mut ReadModels,
        ) -> Result<(), BoxError> {
            Ok(())
        }
    }

    pub(super) fn all() -> impl Sized {
        (Pings, PingCount)
    }
}

fn main() {
    let _ = private::all();
}
