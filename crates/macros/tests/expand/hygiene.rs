//! Expansions beside types with the names of std's, and by way of a re-export.

use ordain::EventSet as _;

use self::kit::inner as framework;

/// A facade.
pub mod kit {
    /// Two deep.
    pub mod inner {
        #[doc(hidden)]
        pub use ::ordain::__private;
        pub use ::ordain::*;
    }
}

/// The names that a prelude has.
#[derive(Debug)]
pub struct Result;
/// See above.
#[derive(Debug)]
pub struct Option;
/// See above.
#[derive(Debug)]
pub struct String;
/// See above.
#[derive(Debug)]
pub struct Vec;
/// See above.
#[derive(Debug)]
pub struct Ok;
/// See above.
#[derive(Debug)]
pub struct Some;
/// See above.
#[derive(Debug)]
pub struct From;
/// See above.
#[derive(Debug)]
pub struct Default;

/// An event.
#[derive(Debug, serde::Serialize, serde::Deserialize, framework::Event)]
#[event(crate = framework)]
pub struct Pinged;

/// A command.
#[derive(Debug, serde::Serialize, serde::Deserialize, framework::Command)]
#[command(crate = framework, fingerprint = print, validate = fine)]
pub struct Ping(#[command(id)] u8);

fn print(_: &Ping) -> std::string::String {
    std::string::String::new()
}

fn fine(_: &Ping) -> std::result::Result<(), framework::Invalid> {
    std::result::Result::Ok(())
}

/// A command that is decided outside.
#[derive(Debug, serde::Serialize, serde::Deserialize, framework::Command)]
#[command(crate = crate::hygiene::kit::inner)]
pub struct Pong(#[command(id)] u8);

/// A state.
#[derive(Debug, Clone, std::default::Default, framework::Aggregate)]
#[aggregate(
    category = "ping",
    commands(Ping),
    outside(Pong),
    events(Pinged),
    created_by(Ping, Pong),
    tolerates(Ping(Pinged)),
    crate = framework
)]
pub struct Pinger;

impl framework::Execute<Ping> for Pinger {
    fn execute(&self, _: &Ping) -> framework::Decision<Self> {
        std::result::Result::Ok(Pinged.into())
    }
}

impl framework::Apply<Pinged> for Pinger {
    fn apply(&mut self, _: &Pinged) {}
}

/// Events.
#[derive(Debug, framework::EventSet)]
#[event(crate = crate::hygiene::kit::inner)]
pub enum Set {
    /// With names that the expansion might use.
    Named {
        /// One.
        codec: u8,
        /// Two.
        raw: u8,
        /// Three.
        serializer: u8,
    },
    /// With a name that the expansion might use.
    ViewNamed,
    /// Another's.
    Pinged(Pinged),
}

/// Commands.
#[derive(Debug, framework::CommandSet)]
#[command(id = name, aggregate = Other, crate = framework)]
pub enum OtherCommand {
    /// With names that the expansion might use.
    Named {
        /// The id.
        name: u8,
        /// Another.
        body: u8,
        /// Another.
        payload: u8,
        /// Another.
        id: u8,
    },
}

/// Its aggregate.
#[derive(Debug, Clone)]
pub struct Other;

impl framework::Aggregate for Other {
    const CATEGORY: &'static str = "other";
    type Id = u8;
    type Command = OtherCommand;
    type Event = Set;
    type Error = framework::NoError;

    fn new(_: &u8) -> Self {
        Self
    }

    fn execute(
        &self,
        _: &OtherCommand,
        _: &framework::Context<'_, Self>,
    ) -> framework::Decision<Self> {
        std::result::Result::Ok(Pinged.into())
    }

    fn apply(&mut self, _: &Set) {}
}

impl framework::EventOf<Other> for Pinged {}

/// A process manager.
#[derive(
    Debug,
    Clone,
    std::default::Default,
    serde::Serialize,
    serde::Deserialize,
    framework::ProcessManager,
)]
#[process_manager(
    name = "pinging",
    id = u8,
    events(Pinged),
    timer = u8,
    migrate = migrate,
    crate = framework
)]
pub struct Pinging;

fn migrate(_: u32, _: serde_json::Value) -> std::option::Option<Pinging> {
    None
}

impl framework::Process<Pinged> for Pinging {
    fn route(_: &Pinged, _: &framework::EventContext) -> framework::Route<u8> {
        framework::Route::start(7)
    }
}

impl framework::OnTimer<u8> for Pinging {
    fn on_timer(&self, _: &u8, _: &framework::TimerContext) -> framework::Reaction<Self> {
        framework::Reaction::none()
    }
}

/// A handler.
#[derive(Debug, framework::EventHandler)]
#[event_handler(
    name = "pings",
    version = 2,
    events(Pinged),
    replays,
    options = options,
    ordering = by_name,
    on_failure = skip,
    crate = framework
)]
pub struct Pings;

impl framework::Handle<Pinged> for Pings {
    async fn handle(
        &self,
        _: &Pinged,
        _: &framework::EventContext,
    ) -> std::result::Result<(), framework::BoxError> {
        std::result::Result::Ok(())
    }
}

fn options(_: &Pings) -> framework::subscription::SubscriptionOptions {
    framework::subscription::SubscriptionOptions::new().partitions(2)
}

fn by_name(_: &Pings, event: &PingsEvent, _: &framework::EventContext) -> framework::Ordering {
    framework::Ordering::Key(std::format!("{event:?}"))
}

fn skip(_: &Pings, _: &framework::Failure) -> framework::FailureAction {
    framework::FailureAction::Skip
}

/// A projection, on any connection that is a word.
#[derive(Debug, framework::Projection)]
#[projection(name = "ping_count", events(Pinged), tables, crate = crate::hygiene::kit::inner)]
pub struct PingCount;

impl<W: std::convert::From<u8> + Send> framework::Project<Pinged, W> for PingCount {
    async fn project(
        &self,
        _: &Pinged,
        _: &framework::EventContext,
        db: &mut W,
    ) -> std::result::Result<(), framework::BoxError> {
        *db = W::from(1);
        std::result::Result::Ok(())
    }
}

impl<W: Send> framework::ReadModel<W> for PingCount {}

#[test]
fn readers_say_what_was_said() {
    use framework::{EventHandler, Projection};
    assert_eq!(
        (Pings::NAME, <Pings as EventHandler>::NAME),
        ("pings", "pings")
    );
    assert_eq!(Pings::VERSION, 2);
    const { assert!(Pings::REPLAYS) };
    assert_eq!(EventHandler::options(&Pings).partitions, 2);
    assert_eq!(PingCount::NAME, "ping_count");
    assert_eq!(<PingCount as Projection<u64>>::VERSION, 1);
    let types = <PingCount as Projection<u8>>::Events::TYPES;
    assert_eq!(types.len(), 1);
}

#[test]
fn it_runs() {
    assert_eq!(Pinging::NAME, "pinging");
    let events = crate::run(&mut Pinger, &1, PingerCommand::Ping(Ping(1)));
    assert_eq!(events.unwrap().len(), 1);
    let (name, body, payload, id) = (1, 2, 3, 4);
    let command = OtherCommand::Named {
        name,
        body,
        payload,
        id,
    };
    assert_eq!(framework::CommandSet::id(&command), &1);
    assert_eq!(crate::run(&mut Other, &1, command).unwrap().len(), 1);
}
