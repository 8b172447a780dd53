//! The lints that a careful user denies.

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
    use ordain::{Aggregate, Command, Event, EventOf, EventSet, EventType, Routed};
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

    /// An event with the same prefix.
    #[derive(Debug, Serialize, Deserialize, Event)]
    pub struct AccountClosed;

    /// A command.
    #[derive(Debug, Serialize, Deserialize, Command)]
    pub struct OpenAccount {
        /// Which.
        #[command(id)]
        pub account: String,
        /// For whom.
        pub owner: String,
    }

    /// A command.
    #[derive(Debug, Serialize, Deserialize, Command)]
    pub struct CloseAccount(#[command(id)] pub String);

    /// A state.
    #[derive(Debug, Clone, Default, Serialize, Deserialize, Aggregate)]
    #[aggregate(
        category = "account",
        commands(OpenAccount),
        outside(CloseAccount),
        events(AccountOpened, AccountMoved, AccountClosed),
        created_by(OpenAccount),
        tolerates(OpenAccount(AccountOpened, AccountMoved, AccountClosed)),
        snapshot(every = 10)
    )]
    pub struct Account {
        owner: String,
    }

    impl Execute<OpenAccount> for Account {
        fn execute(&self, command: &OpenAccount) -> Decision<Self> {
            let owner = command.owner.clone();
            Ok(AccountOpened { owner }.into())
        }
    }

    impl Apply<AccountOpened> for Account {
        fn apply(&mut self, event: &AccountOpened) {
            self.owner.clone_from(&event.owner);
        }
    }

    impl Apply<AccountMoved> for Account {
        fn apply(&mut self, _: &AccountMoved) {}
    }

    impl Apply<AccountClosed> for Account {
        fn apply(&mut self, _: &AccountClosed) {}
    }

    /// Events of a hand-written aggregate.
    #[derive(Debug, EventSet)]
    pub enum OtherEvent {
        /// One.
        Began {
            /// When.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            year: Option<u32>,
        },
        /// Another's.
        Opened(AccountOpened),
        /// Last.
        Ended,
    }

    /// Its commands.
    #[derive(Debug, CommandSet)]
    #[command(id = other, aggregate = Other)]
    pub enum OtherCommand {
        /// One.
        Begin {
            /// Which.
            other: OtherId,
        },
    }

    /// Its id.
    #[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, AggregateId)]
    pub struct OtherId(String);

    /// Its state.
    #[derive(Debug, Clone)]
    pub struct Other;

    impl EventOf<Other> for AccountOpened {}

    impl Aggregate for Other {
        const CATEGORY: &'static str = "other";
        type Id = OtherId;
        type Command = OtherCommand;
        type Event = OtherEvent;
        type Error = ordain::NoError;

        fn new(_: &OtherId) -> Self {
            Self
        }

        fn execute(&self, command: &OtherCommand, _: &Context<'_, Self>) -> Decision<Self> {
            let OtherCommand::Begin { .. } = command;
            Ok(OtherEvent::Began { year: None }.into())
        }

        fn apply(&mut self, event: &OtherEvent) {
            let _: &EventType = event.event_type();
        }
    }

    /// Where a command goes.
    #[must_use]
    pub fn decided<A: Aggregate>(routed: &Routed<A>) -> bool {
        matches!(routed, Routed::Decide(_))
    }

    /// Names.
    #[must_use]
    pub fn names<C: Command, E: Event>() -> [&'static str; 2] {
        [C::NAME, E::NAME]
    }
}

fn main() {}
