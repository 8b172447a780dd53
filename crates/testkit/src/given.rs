//! Given these events, when this command, then those events.

use std::fmt::{self, Debug};
use std::future::Future;
use std::panic::Location;

use ordain::{
    Aggregate, Command, CommandHandler, CommandId, CommandOf, CommandSet, Context, CorrelationId,
    Events, Existence, Metadata, Routed, StreamVersion,
};
use serde_json::Value;

use crate::diff::diff;
use crate::stored::{Names, json_of, pretty, stored, try_stored};

/// The test of an aggregate, without store and runtime: what has happened so far.
///
/// ```
/// # #[path = "../tests/bank/mod.rs"] mod bank;
/// # use bank::*;
/// use ordain_testkit::Test;
///
/// Test::<Account>::given((
///     AccountEvent::Opened { owner: "Ann".into() },
///     AccountEvent::Deposited { amount: 10 },
/// ))
/// .when(AccountCommand::Withdraw { account: "a".into(), amount: 4 })
/// .then_events(AccountEvent::Withdrawn { amount: 4 })
/// .when(AccountCommand::Withdraw { account: "a".into(), amount: 7 })
/// .then_error(AccountError::InsufficientFunds { balance: 6 });
/// ```
///
/// Every event, given or produced, is written as JSON and read back, as a store would do; so a
/// mistake in its serde attributes shows here. Events are compared as JSON and need no `PartialEq`.
#[must_use = "say which command comes: `.when(..)`"]
pub struct Test<A: Aggregate> {
    past: Vec<A::Event>,
    id: Option<A::Id>,
    metadata: Metadata,
    command_id: Option<CommandId>,
    correlation_id: Option<CorrelationId>,
}

/// A test after a command: what came of it.
pub struct Decided<A: Aggregate> {
    test: Test<A>,
    command: &'static str,
    answer: Answer<A>,
}

enum Answer<A: Aggregate> {
    Events(Vec<A::Event>),
    Error(A::Error),
    NotFound,
    Exists,
}

impl<A: Aggregate> Test<A> {
    /// Nothing has happened yet.
    #[expect(
        clippy::new_without_default,
        reason = "a test that begins with nothing should say so"
    )]
    pub fn new() -> Self {
        Self {
            past: Vec::new(),
            id: None,
            metadata: Metadata::new(),
            command_id: None,
            correlation_id: None,
        }
    }

    /// These events have happened.
    #[track_caller]
    pub fn given(events: impl Into<Events<A>>) -> Self {
        Self::new().and(events)
    }

    /// These events have happened, too, after the others.
    #[track_caller]
    pub fn and(mut self, events: impl Into<Events<A>>) -> Self {
        self.past.extend(stored(events.into().into_vec()));
        self
    }

    /// Who gives the commands from here on.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.metadata.actor = Some(actor.into());
        self
    }

    /// On whose behalf the commands are given from here on.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.metadata.tenant = Some(tenant.into());
        self
    }

    /// A custom entry of the metadata that the commands carry from here on.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.metadata.custom.insert(key.into(), value.into());
        self
    }

    /// The id of the next command; a fresh one unless told.
    pub fn command_id(mut self, id: CommandId) -> Self {
        self.command_id = Some(id);
        self
    }

    /// The correlation id of the next command; that of its command id unless told.
    pub fn correlation_id(mut self, id: CorrelationId) -> Self {
        self.correlation_id = Some(id);
        self
    }

    /// A command that the aggregate decides.
    ///
    /// # Panics
    /// If a handler outside the aggregate decides it: [`when_handled_by`](Self::when_handled_by) is
    /// for those.
    #[must_use = "say what comes of it: `.then_events(..)`"]
    #[track_caller]
    pub fn when(self, command: impl CommandOf<A>) -> Decided<A> {
        match command.route() {
            Routed::Decide(command) => self.decide(&command),
            Routed::Outside(command) => panic!(
                "`{}` is decided outside `{}`: write `.when_handled_by(&handler, command).await`",
                command.name(),
                A::CATEGORY
            ),
        }
    }

    /// A command that a handler outside the aggregate decides.
    #[track_caller]
    pub fn when_handled_by<H, C>(
        mut self,
        handler: &H,
        command: C,
    ) -> impl Future<Output = Decided<A>>
    where
        H: CommandHandler<C, Aggregate = A>,
        C: Command<Id = A::Id>,
    {
        let caller = Location::caller();
        async move {
            let id = self.same_id(Command::id(&command), caller);
            let (state, metadata) = (self.state(&id), self.metadata.clone());
            let context = self.context(&id, &metadata);
            let decision = handler.handle(&command, &state, &context).await;
            let answer = match decision.map(|events| try_stored(events.into_vec())) {
                Ok(Ok(events)) => Answer::Events(events),
                Ok(Err(problem)) => panic!("{problem} (at {caller})"),
                Err(error) => Answer::Error(error),
            };
            Decided {
                test: self,
                command: C::NAME,
                answer,
            }
        }
    }

    #[track_caller]
    fn decide(mut self, command: &A::Command) -> Decided<A> {
        let id = self.same_id(command.id(), Location::caller());
        let existence = A::existence(command);
        let answer = match (existence, self.past.is_empty()) {
            (Existence::Present, true) => Answer::NotFound,
            (Existence::Absent, false) => Answer::Exists,
            _ => {
                let (state, metadata) = (self.state(&id), self.metadata.clone());
                let context = self.context(&id, &metadata);
                match Aggregate::execute(&state, command, &context) {
                    Ok(events) => Answer::Events(stored(events.into_vec())),
                    Err(error) => Answer::Error(error),
                }
            }
        };
        Decided {
            test: self,
            command: command.name(),
            answer,
        }
    }

    fn state(&self, id: &A::Id) -> A {
        let mut state = A::new(id);
        for event in &self.past {
            Aggregate::apply(&mut state, event);
        }
        state
    }

    fn context<'a>(&mut self, id: &'a A::Id, metadata: &'a Metadata) -> Context<'a, A> {
        let version = StreamVersion::new(self.past.len() as u64);
        let command_id = self.command_id.take().unwrap_or_else(CommandId::new);
        let correlation_id = self.correlation_id.take();
        let correlation_id = correlation_id.unwrap_or_else(|| command_id.into());
        Context::new(id, version, command_id, correlation_id, metadata)
    }

    /// Remembers the id of the first command; a test is about one aggregate.
    #[track_caller]
    fn same_id(&mut self, id: &A::Id, caller: &Location<'_>) -> A::Id {
        let known = self.id.get_or_insert_with(|| id.clone());
        assert!(
            known == id,
            "the commands of a test are for one aggregate; this one is for `{id}`, those before were for \
             `{known}` (at {caller})"
        );
        id.clone()
    }
}

impl<A: Aggregate> Decided<A> {
    /// Exactly these events came of it, in this order.
    #[track_caller]
    pub fn then_events(self, expected: impl Into<Events<A>>) -> Self {
        let expected = stored(expected.into().into_vec());
        let Answer::Events(events) = &self.answer else {
            self.fail(&format!("the events {}", Names(&expected)));
        };
        if events.is_empty() && !expected.is_empty() {
            self.fail(&format!("the events {}", Names(&expected)));
        }
        let (expected, actual) = (json_of(&expected), json_of(events));
        if expected != actual {
            let diff = diff(&pretty(&expected), &pretty(&actual));
            panic!(
                "`{}` did not produce the expected events:\n{diff}",
                self.command
            );
        }
        self
    }

    /// It was accepted and changed nothing.
    #[track_caller]
    pub fn then_no_events(self) -> Self {
        match &self.answer {
            Answer::Events(events) if events.is_empty() => self,
            _ => self.fail("no events"),
        }
    }

    /// The aggregate refused it with this error.
    #[track_caller]
    pub fn then_error(self, expected: A::Error) -> Self
    where
        A::Error: PartialEq,
    {
        let wanted = || format!("the error `{expected:?}`");
        match &self.answer {
            Answer::Error(error) if *error == expected => self,
            Answer::Error(error) => {
                let diff = diff(&format!("{expected:#?}\n"), &format!("{error:#?}\n"));
                panic!("`{}` was refused with another error:\n{diff}", self.command)
            }
            _ => self.fail(&wanted()),
        }
    }

    /// The aggregate refused it with an error of which this holds.
    #[track_caller]
    pub fn then_error_matching(self, holds: impl FnOnce(&A::Error) -> bool) -> Self {
        match &self.answer {
            Answer::Error(error) if holds(error) => self,
            Answer::Error(error) => {
                let command = self.command;
                panic!("`{command}` was refused with an error that does not match: {error:?}")
            }
            _ => self.fail("an error"),
        }
    }

    /// It needs an existing aggregate, and this one has no events.
    #[track_caller]
    pub fn then_not_found(self) -> Self {
        match self.answer {
            Answer::NotFound => self,
            _ => self.fail("that the aggregate does not exist"),
        }
    }

    /// It needs an absent aggregate, and this one has events.
    #[track_caller]
    pub fn then_exists(self) -> Self {
        match self.answer {
            Answer::Exists => self,
            _ => self.fail("that the aggregate exists already"),
        }
    }

    /// Looks at the state after all events, those of the last command included.
    #[track_caller]
    pub fn then_state(self, look: impl FnOnce(&A)) -> Self {
        let Some(id) = &self.test.id else {
            return self;
        };
        let mut state = self.test.state(id);
        if let Answer::Events(events) = &self.answer {
            for event in events {
                Aggregate::apply(&mut state, event);
            }
        }
        look(&state);
        self
    }

    /// The next command, after what came of the one before.
    ///
    /// # Panics
    /// If the command before was refused.
    #[must_use = "say what comes of it: `.then_events(..)`"]
    #[track_caller]
    pub fn when(self, command: impl CommandOf<A>) -> Self {
        self.happened().when(command)
    }

    /// As [`Test::when_handled_by`], after what came of the command before.
    ///
    /// # Panics
    /// If the command before was refused.
    #[track_caller]
    pub fn when_handled_by<H, C>(self, handler: &H, command: C) -> impl Future<Output = Self>
    where
        H: CommandHandler<C, Aggregate = A>,
        C: Command<Id = A::Id>,
    {
        self.happened().when_handled_by(handler, command)
    }

    /// Other events that happened after what came of the command.
    ///
    /// # Panics
    /// If the command was refused.
    #[track_caller]
    pub fn and(self, events: impl Into<Events<A>>) -> Test<A> {
        self.happened().and(events)
    }

    /// As [`Test::actor`], for the commands that follow.
    pub fn actor(mut self, actor: impl Into<String>) -> Self {
        self.test = self.test.actor(actor);
        self
    }

    /// As [`Test::tenant`], for the commands that follow.
    pub fn tenant(mut self, tenant: impl Into<String>) -> Self {
        self.test = self.test.tenant(tenant);
        self
    }

    /// As [`Test::metadata`], for the commands that follow.
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.test = self.test.metadata(key, value);
        self
    }

    /// As [`Test::command_id`], for the command that follows.
    pub fn command_id(mut self, id: CommandId) -> Self {
        self.test = self.test.command_id(id);
        self
    }

    /// As [`Test::correlation_id`], for the command that follows.
    pub fn correlation_id(mut self, id: CorrelationId) -> Self {
        self.test = self.test.correlation_id(id);
        self
    }

    #[track_caller]
    fn happened(mut self) -> Test<A> {
        match self.answer {
            Answer::Events(events) => self.test.past.extend(events),
            refused => panic!(
                "`{}` had to succeed for the test to go on, and {refused}",
                self.command
            ),
        }
        self.test
    }

    #[track_caller]
    fn fail(&self, expected: &str) -> ! {
        panic!(
            "`{}`: expected {expected}, but {}",
            self.command, self.answer
        )
    }
}

/// What the answer was, as the second half of a sentence.
impl<A: Aggregate> fmt::Display for Answer<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Events(events) if events.is_empty() => f.write_str("it produced no events"),
            Self::Events(events) => {
                let (names, list) = (Names(events), pretty(&json_of(events)));
                write!(f, "it produced the events {names}:\n{list}")
            }
            Self::Error(error) => write!(f, "it was refused: {error} ({error:?})"),
            Self::NotFound => {
                f.write_str("it needs an existing aggregate, and there are no events")
            }
            Self::Exists => f.write_str("it needs an absent aggregate, and there are events"),
        }
    }
}

impl<A: Aggregate> Debug for Test<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Test(after {})", Names(&self.past))
    }
}

impl<A: Aggregate> Debug for Decided<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Decided({}: {})", self.command, self.answer)
    }
}
