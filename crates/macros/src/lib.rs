//! The derive macros of ordain.
//!
//! They are used by way of the crate `ordain`, which re-exports them. Every one that names it in
//! its expansion takes `crate = path`, for where it is re-exported under another path.

mod aggregate;
mod aggregate_id;
mod attributes;
mod command;
mod command_set;
mod event;
mod event_handler;
mod event_set;
mod lists;
mod payload;
mod process_manager;
mod projection;
mod reader;
mod stored_type;

use proc_macro::TokenStream;
use syn::{DeriveInput, Error, Result, parse_macro_input};

/// Makes a struct an event.
///
/// `#[event(..)]` takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `name = ".."` | the name it is stored under | the type's name |
/// | `alias = ".."` | a name it was stored under in the past; repeatable | none |
/// | `version = N` | the version of its shape, from 1 | 1 |
/// | `first_version = N` | the oldest shape that was ever stored | 1 |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// Serialize and Deserialize are derived beside it. It converts into the `Events` of every
/// aggregate that lists it.
///
/// ```
/// use ordain::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// #[event(name = "MoneyDeposited", alias = "CashIn", version = 2)]
/// struct Deposited {
///     amount: u64,
/// }
///
/// assert_eq!(<Deposited as ordain::Event>::NAME, "MoneyDeposited");
/// ```
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(input: TokenStream) -> TokenStream {
    expand(input, event::derive)
}

/// Makes a struct a command.
///
/// One field is marked `#[command(id)]`: it says which aggregate the command is for.
/// `#[command(..)]` on the struct takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `name = ".."` | its name, for gateways and logs | the type's name |
/// | `version = N` | the version of its shape, from 1 | 1 |
/// | `validate = path` | `fn(&Self) -> Result<(), Invalid>` | everything is valid |
/// | `fingerprint = path` | `fn(&Self) -> String` | a digest of its JSON |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// ```
/// use ordain::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Command)]
/// #[command(validate = Deposit::check)]
/// struct Deposit {
///     #[command(id)]
///     account: String,
///     amount: u64,
/// }
///
/// impl Deposit {
///     fn check(&self) -> Result<(), Invalid> {
///         let mut invalid = Invalid::none();
///         invalid.require(self.amount > 0, "amount", "has to be positive").finish()
///     }
/// }
///
/// let deposit = Deposit { account: "a".into(), amount: 0 };
/// assert!(ordain::Command::validate(&deposit).is_err());
/// ```
#[proc_macro_derive(Command, attributes(command))]
pub fn derive_command(input: TokenStream) -> TokenStream {
    expand(input, command::derive)
}

/// Makes a struct or an enum an aggregate.
///
/// It makes the enums of its commands and events, called after it (`AccountCommand`,
/// `AccountEvent`, with its visibility), finds the commands their aggregate and the events their
/// set, and calls `Execute` (or `ExecuteWith`) and `Apply` for each of them. The enum of commands is
/// dispatched like the commands in it. The enums' `Debug` says which command or event it is, not
/// what it holds. `#[aggregate(..)]` takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `category = ".."` | the category of its streams | refused |
/// | `commands(A, path::B as C)` | the commands that it decides | none |
/// | `outside(A, B)` | the commands that a `CommandHandler` decides | none |
/// | `events(A, path::B as C)` | its events | none |
/// | `created_by(A, B)` | the commands that need it to be absent; the others need it to exist | see below |
/// | `may_create(A, B)` | the commands that do not mind | see below |
/// | `error = Type` | why it says no | `ordain::NoError` |
/// | `id = Type` | its id | that of its first command |
/// | `snapshot(every = N, version = N)` | how often its state is kept, and the version of the state's shape | not kept |
/// | `tolerates(A(X, Y), B(X))` | the events that may have happened since the version that command `A` expected | none |
/// | `unlisted_events = "refuse"` or `"ignore"` | what a load does with other events of its stream | `"refuse"` |
/// | `lifespan = path` | `fn(&Self, After<'_, Self>) -> Lifespan` | `Lifespan::Default` |
/// | `new = path` | `fn(&Id) -> Self`, the state before the first event | `Default::default()` |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// With neither `created_by` nor `may_create`, no command asks whether it exists. Two types of one
/// name are told apart by `as`. Type parameters go on the aggregate alone, not on the two enums.
///
/// ```
/// use ordain::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// struct MoneyDeposited {
///     amount: u64,
/// }
///
/// #[derive(Debug, Serialize, Deserialize, Command)]
/// struct Deposit {
///     #[command(id)]
///     account: String,
///     amount: u64,
/// }
///
/// #[derive(Debug, Default, Clone, Aggregate)]
/// #[aggregate(category = "account", commands(Deposit), events(MoneyDeposited))]
/// struct Account {
///     balance: u64,
/// }
///
/// impl Execute<Deposit> for Account {
///     fn execute(&self, command: &Deposit) -> Decision<Self> {
///         let amount = command.amount;
///         Ok(MoneyDeposited { amount }.into())
///     }
/// }
///
/// impl Apply<MoneyDeposited> for Account {
///     fn apply(&mut self, event: &MoneyDeposited) {
///         self.balance += event.amount;
///     }
/// }
///
/// let mut account = Account::default();
/// ordain::Aggregate::apply(&mut account, &MoneyDeposited { amount: 5 }.into());
/// assert_eq!(account.balance, 5);
/// ```
#[proc_macro_derive(Aggregate, attributes(aggregate))]
pub fn derive_aggregate(input: TokenStream) -> TokenStream {
    expand(input, aggregate::derive)
}

/// Makes an enum a set of events, for an aggregate that is written by hand.
///
/// A variant with named fields, or with none, is an event by itself: its payload is the object of
/// the fields, and `#[event(..)]` on the variant takes `name`, `alias`, `version` and
/// `first_version` as [`Event`](derive@Event) does. A variant that holds one value of a type that
/// is an `Event` stands for that type. On the enum, `#[event(..)]` takes `crate = path`.
///
/// serde's attributes on fields are heeded, as are `rename_all` on variants and
/// `rename_all_fields` and `deny_unknown_fields` on the enum; serde's derives are not needed.
///
/// ```
/// use ordain::prelude::*;
/// use ordain::{Codec, EventSet};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// struct MoneyDeposited {
///     amount: u64,
/// }
///
/// #[derive(Debug, EventSet)]
/// enum AccountEvent {
///     #[event(name = "AccountOpened", alias = "Begun")]
///     Opened { owner: String },
///     MoneyDeposited(MoneyDeposited),
///     Closed,
/// }
///
/// # fn main() -> Result<(), ordain::CodecError> {
/// let event = AccountEvent::Opened { owner: "Ann".into() };
/// assert_eq!(event.event_type().name, "AccountOpened");
/// assert_eq!(event.encode(&Codec::Json)?, r#"{"owner":"Ann"}"#);
/// # Ok(())
/// # }
/// ```
#[proc_macro_derive(EventSet, attributes(event, serde))]
pub fn derive_event_set(input: TokenStream) -> TokenStream {
    expand(input, event_set::derive)
}

/// Makes an enum a set of commands, for an aggregate that is written by hand.
///
/// Every variant has named fields, one of them the id, of the same name and type in all. A command's
/// body is the object of the fields. `#[command(..)]` on the enum takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `id = field` | the field that is the id | refused |
/// | `aggregate = Type` | whose commands they are | refused |
/// | `validate = path` | `fn(&Self) -> Result<(), Invalid>` | everything is valid |
/// | `fingerprint = path` | `fn(&Self) -> String` | a digest of its JSON |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// On a variant it takes `name` and `version`. serde's attributes are heeded as by
/// [`EventSet`](derive@EventSet).
///
/// ```
/// use ordain::prelude::*;
/// use ordain::CommandSet;
///
/// #[derive(Debug, EventSet)]
/// enum LampEvent {
///     Lit,
/// }
///
/// #[derive(Debug, CommandSet)]
/// #[command(id = lamp, aggregate = Lamp)]
/// enum LampCommand {
///     #[command(name = "LightLamp")]
///     Light { lamp: u32 },
/// }
///
/// #[derive(Debug, Clone)]
/// struct Lamp;
///
/// impl ordain::Aggregate for Lamp {
///     const CATEGORY: &'static str = "lamp";
///     type Id = u32;
///     type Command = LampCommand;
///     type Event = LampEvent;
///     type Error = ordain::NoError;
///
///     fn new(_: &u32) -> Self {
///         Self
///     }
///
///     fn execute(&self, _: &LampCommand, _: &Context<'_, Self>) -> Decision<Self> {
///         Ok(LampEvent::Lit.into())
///     }
///
///     fn apply(&mut self, _: &LampEvent) {}
/// }
///
/// let body = serde_json::json!({ "lamp": 7 });
/// let command = LampCommand::from_json("LightLamp", body);
/// assert!(matches!(command, Some(Ok(LampCommand::Light { lamp: 7 }))));
/// ```
#[proc_macro_derive(CommandSet, attributes(command, serde))]
pub fn derive_command_set(input: TokenStream) -> TokenStream {
    expand(input, command_set::derive)
}

/// Makes a type an event handler, with one `Handle` per event that it lists.
///
/// It makes the enum of the events, called after it (`ReceiptsEvent`, with its visibility), and the
/// constant `NAME`. `#[event_handler(..)]` takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `name = ".."` | the name under which it is remembered how far it has come | refused |
/// | `version = N` | the version of what it does, from 1; or the path to a constant | 1 |
/// | `events(A, path::B as C)` | the events it wants, of any aggregates | refused |
/// | `replays` | it wants what it has handled before, too | it does not |
/// | `options = path` | `fn(&Self) -> SubscriptionOptions` | the defaults |
/// | `ordering = path` | `fn(&Self, &ReceiptsEvent, &EventContext) -> Ordering` | by stream |
/// | `on_failure = path` | `fn(&Self, &Failure) -> FailureAction` | tried again, then dead-lettered |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// Two types of one name are told apart by `as`. It needs the feature `runtime`.
///
/// ```
/// use ordain::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// struct MoneyDeposited {
///     amount: u64,
/// }
///
/// #[derive(EventHandler)]
/// #[event_handler(name = "receipts", events(MoneyDeposited))]
/// struct Receipts;
///
/// impl Handle<MoneyDeposited> for Receipts {
///     async fn handle(&self, event: &MoneyDeposited, context: &EventContext) -> Result<(), BoxError> {
///         println!("{} for account {}", event.amount, context.id());
///         Ok(())
///     }
/// }
///
/// assert_eq!(Receipts::NAME, "receipts");
/// ```
#[proc_macro_derive(EventHandler, attributes(event_handler))]
pub fn derive_event_handler(input: TokenStream) -> TokenStream {
    expand(input, event_handler::derive)
}

/// Makes a type a projection, with one `Project` per event that it lists.
///
/// It is one on every connection for which it has a `Project` of each event. It makes the enum of the
/// events, called after it (`BalancesEvent`, with its visibility), and the constant `NAME`.
/// `#[projection(..)]` takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `name = ".."` | the name under which it is remembered how far it has come | refused |
/// | `version = N` | the version of the read model, from 1; or the path to a constant | 1 |
/// | `events(A, path::B as C)` | the events it wants, of any aggregates | refused |
/// | `tables` | its `ReadModel` makes, empties and replaces the tables | nothing does |
/// | `batches` | its `ProjectBatch` takes in all events, many at once | one `Project` per event |
/// | `options = path` | `fn(&Self) -> SubscriptionOptions` | the defaults |
/// | `ordering = path` | `fn(&Self, &BalancesEvent, &EventContext) -> Ordering` | by stream |
/// | `on_failure = path` | `fn(&Self, &Failure) -> FailureAction` | tried again, then dead-lettered |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// Two types of one name are told apart by `as`. It needs the feature `runtime`.
///
/// ```
/// use ordain::ReadModels;
/// use ordain::prelude::*;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// struct MoneyDeposited {
///     amount: u64,
/// }
///
/// #[derive(Projection)]
/// #[projection(name = "balances", events(MoneyDeposited), tables)]
/// struct Balances;
///
/// impl Project<MoneyDeposited, ReadModels> for Balances {
///     async fn project(
///         &self,
///         event: &MoneyDeposited,
///         context: &EventContext,
///         db: &mut ReadModels,
///     ) -> Result<(), BoxError> {
///         let before: u64 = db.get(Self::NAME, context.id()).unwrap_or_default();
///         db.put(Self::NAME, context.id(), before + event.amount);
///         Ok(())
///     }
/// }
///
/// impl ReadModel<ReadModels> for Balances {
///     async fn reset(&self, db: &mut ReadModels) -> Result<(), BoxError> {
///         db.clear(Self::NAME);
///         Ok(())
///     }
/// }
/// ```
#[proc_macro_derive(Projection, attributes(projection))]
pub fn derive_projection(input: TokenStream) -> TokenStream {
    expand(input, projection::derive)
}

/// Makes a struct or an enum a process manager.
///
/// It makes the enum of its events, called after it (`TransferEvent`, with its visibility), calls `Process` for
/// each of them, and has `NAME` as a constant of its own. `Default`, `Clone`, `Serialize` and `Deserialize` are
/// derived beside it. `#[process_manager(..)]` takes:
///
/// | key | meaning | if absent |
/// |---|---|---|
/// | `name = ".."` | the name under which it is remembered how far it has come | refused |
/// | `id = Type` | what tells its instances apart | refused |
/// | `events(A, path::B as C)` | the events it processes | none |
/// | `timer = Type` | what its timers carry; it needs an `OnTimer<Type>` | it has no timers |
/// | `version = N` | the version of what it does, from 1 | 1 |
/// | `state_version = N` | the version of its state's shape, from 1 | 1 |
/// | `options = path` | `fn() -> ProcessOptions` | the defaults |
/// | `on_failure = path` | `fn(&Failure) -> FailureAction` | the default action |
/// | `on_command_failure = path` | `fn(&Self, &CommandFailure) -> CommandAction<Self>` | the default action |
/// | `apply_command_failure = path` | `fn(&mut Self, &CommandFailure)` | nothing |
/// | `migrate = path` | `fn(u32, serde_json::Value) -> Option<Self>`, the state from that of another version | `None` |
/// | `crate = path` | where `ordain` is found | `::ordain` |
///
/// ```
/// use ordain::prelude::*;
/// use ordain::{EventContext, Route};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, Serialize, Deserialize, Event)]
/// struct AccountOpened {
///     owner: String,
/// }
///
/// #[derive(Debug, Default, Clone, Serialize, Deserialize, ProcessManager)]
/// #[process_manager(name = "welcome", id = String, events(AccountOpened))]
/// struct Welcome {
///     owner: String,
/// }
///
/// impl Process<AccountOpened> for Welcome {
///     fn route(_: &AccountOpened, context: &EventContext) -> Route<String> {
///         Route::start(context.id())
///     }
///
///     fn apply(&mut self, event: &AccountOpened) {
///         self.owner = event.owner.clone();
///     }
/// }
///
/// assert_eq!(Welcome::NAME, "welcome");
/// ```
#[proc_macro_derive(ProcessManager, attributes(process_manager))]
pub fn derive_process_manager(input: TokenStream) -> TokenStream {
    expand(input, process_manager::derive)
}

/// Gives a struct with one unnamed field the text form of that field.
///
/// It implements `Display` and `FromStr`; together with `Clone`, `Eq` and `Hash`, which are derived
/// beside it, they make the type an `AggregateId`. It takes no attributes.
///
/// ```
/// use ordain::prelude::*;
///
/// #[derive(Debug, Clone, PartialEq, Eq, Hash, AggregateId)]
/// struct AccountId(String);
///
/// let id: AccountId = "a-1".parse()?;
/// assert_eq!(id.to_string(), "a-1");
/// # Ok::<(), std::convert::Infallible>(())
/// ```
#[proc_macro_derive(AggregateId)]
pub fn derive_aggregate_id(input: TokenStream) -> TokenStream {
    expand(input, aggregate_id::derive)
}

fn expand(
    input: TokenStream,
    derive: fn(&DeriveInput) -> Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    derive(&input)
        .unwrap_or_else(Error::into_compile_error)
        .into()
}
