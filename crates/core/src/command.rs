//! Commands: what the user declares, and how one finds its aggregate.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Aggregate, AggregateId};

/// A request to change one aggregate.
///
/// Usually derived. A command does not name its aggregate, so it may live in a crate of its own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a command",
    label = "not a command",
    note = "derive it: `#[derive(Serialize, Deserialize, Command)]`"
)]
pub trait Command: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Its name, for gateways and logs.
    const NAME: &'static str;

    /// The version of its shape: a repeated command is compared with the first only at equal versions.
    const VERSION: u32 = 1;

    /// The id of its aggregate.
    type Id: AggregateId;

    /// Which aggregate it is for.
    fn id(&self) -> &Self::Id;

    /// What can be said against it without knowing the aggregate; asked by the
    /// validation middleware.
    ///
    /// # Errors
    /// All that is wrong with it.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// What tells it from another command under the same id; `None` for a digest of its JSON.
    ///
    /// Keys of maps are sorted for the digest; the order of lists counts. So override it where a command
    /// holds a `HashSet`, whose order differs from one value to the next.
    fn fingerprint(&self) -> Option<String> {
        None
    }
}

/// A command that the aggregate `A` lists; implemented by `derive(Aggregate)`.
#[diagnostic::on_unimplemented(
    message = "no aggregate handles the command `{Self}`",
    label = "`{A}` does not list this command",
    note = "list `{Self}` in `#[aggregate(commands(..))]` of its aggregate"
)]
pub trait CommandOf<A: Aggregate>: Send + 'static {
    /// Says who handles it.
    fn route(self) -> Routed<A>;
}

/// Who handles a command.
pub enum Routed<A: Aggregate> {
    /// The aggregate itself.
    Decide(A::Command),
    /// A command handler outside it.
    Outside(OutsideCommand<A>),
}

impl<A: Aggregate> fmt::Debug for Routed<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decide(command) => write!(f, "Decide({})", command.name()),
            Self::Outside(command) => write!(f, "Outside({})", command.name()),
        }
    }
}

/// The commands that an aggregate decides itself, as one type.
///
/// Derived for the enum behind `derive(Aggregate)`, or for an enum of the user's by
/// `derive(CommandSet)`.
pub trait CommandSet<Id>: Sized + Send + Sync + 'static {
    /// The names of the commands.
    const NAMES: &'static [&'static str];

    /// Which aggregate this one is for.
    fn id(&self) -> &Id;

    /// The name of this one.
    fn name(&self) -> &'static str;

    /// The version of its shape.
    fn version(&self) -> u32 {
        1
    }

    /// Reads the command of this name; `None` if the set has none.
    fn from_json(name: &str, body: Value) -> Option<Result<Self, serde_json::Error>>;

    /// Writes this one.
    ///
    /// # Errors
    /// What JSON cannot express.
    fn to_json(&self) -> Result<Value, serde_json::Error>;

    /// See [`Command::validate`].
    ///
    /// # Errors
    /// All that is wrong with it.
    fn validate(&self) -> Result<(), Invalid> {
        Ok(())
    }

    /// See [`Command::fingerprint`].
    fn fingerprint(&self) -> Option<String> {
        None
    }
}

/// A command that a handler outside the aggregate decides. Cheap to clone.
pub struct OutsideCommand<A: Aggregate> {
    command: Arc<dyn ErasedCommand<A::Id>>,
}

impl<A: Aggregate> OutsideCommand<A> {
    /// Wraps a command.
    pub fn new<C: Command<Id = A::Id>>(command: C) -> Self {
        Self {
            command: Arc::new(command),
        }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.command.name()
    }

    /// Which aggregate it is for.
    pub fn id(&self) -> &A::Id {
        self.command.aggregate_id()
    }

    /// The command, if it is a `C`.
    pub fn downcast_ref<C: Command>(&self) -> Option<&C> {
        self.command.as_any().downcast_ref()
    }

    /// The type of the command.
    pub fn command_type(&self) -> TypeId {
        self.command.as_any().type_id()
    }

    /// The version of its shape.
    pub fn version(&self) -> u32 {
        self.command.version()
    }

    /// Writes it.
    ///
    /// # Errors
    /// What JSON cannot express.
    pub fn to_json(&self) -> Result<Value, serde_json::Error> {
        self.command.to_json()
    }

    /// See [`Command::validate`].
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn validate(&self) -> Result<(), Invalid> {
        self.command.validate()
    }

    /// See [`Command::fingerprint`].
    pub fn fingerprint(&self) -> Option<String> {
        self.command.fingerprint()
    }
}

impl<A: Aggregate> Clone for OutsideCommand<A> {
    fn clone(&self) -> Self {
        Self {
            command: Arc::clone(&self.command),
        }
    }
}

impl<A: Aggregate> fmt::Debug for OutsideCommand<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideCommand({})", self.name())
    }
}

trait ErasedCommand<Id>: Send + Sync {
    fn name(&self) -> &'static str;
    fn version(&self) -> u32;
    fn aggregate_id(&self) -> &Id;
    fn to_json(&self) -> Result<Value, serde_json::Error>;
    fn validate(&self) -> Result<(), Invalid>;
    fn fingerprint(&self) -> Option<String>;
    fn as_any(&self) -> &dyn Any;
}

impl<C: Command> ErasedCommand<C::Id> for C {
    fn name(&self) -> &'static str {
        C::NAME
    }

    fn version(&self) -> u32 {
        C::VERSION
    }

    fn aggregate_id(&self) -> &C::Id {
        self.id()
    }

    fn to_json(&self) -> Result<Value, serde_json::Error> {
        serde_json::to_value(self)
    }

    fn validate(&self) -> Result<(), Invalid> {
        Command::validate(self)
    }

    fn fingerprint(&self) -> Option<String> {
        Command::fingerprint(self)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// How a command that is handled outside its aggregate is found by name.
pub struct OutsideRoute<A: Aggregate> {
    name: &'static str,
    command_type: TypeId,
    from_json: fn(Value) -> Result<OutsideCommand<A>, serde_json::Error>,
}

impl<A: Aggregate> OutsideRoute<A> {
    /// The route of the command `C`.
    pub fn of<C: Command<Id = A::Id>>() -> Self {
        Self {
            name: C::NAME,
            command_type: TypeId::of::<C>(),
            from_json: |body| Ok(OutsideCommand::new(serde_json::from_value::<C>(body)?)),
        }
    }

    /// The command's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The command's type.
    pub fn command_type(&self) -> TypeId {
        self.command_type
    }

    /// Reads the command.
    ///
    /// # Errors
    /// What does not fit its shape.
    pub fn from_json(&self, body: Value) -> Result<OutsideCommand<A>, serde_json::Error> {
        (self.from_json)(body)
    }
}

impl<A: Aggregate> fmt::Debug for OutsideRoute<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutsideRoute({})", self.name)
    }
}

/// All that is wrong with a command on its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Invalid {
    problems: Vec<Problem>,
}

/// One thing that is wrong with a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which field.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

impl Invalid {
    /// Nothing yet.
    pub fn none() -> Self {
        Self::default()
    }

    /// Notes that something is wrong with `field`.
    pub fn add(&mut self, field: impl Into<String>, message: impl Into<String>) -> &mut Self {
        self.problems.push(Problem {
            field: field.into(),
            message: message.into(),
        });
        self
    }

    /// Notes `message` about `field` unless `holds`.
    pub fn require(&mut self, holds: bool, field: &str, message: &str) -> &mut Self {
        if !holds {
            self.add(field, message);
        }
        self
    }

    /// `Ok` if nothing was noted.
    ///
    /// # Errors
    /// All that was noted.
    pub fn finish(&mut self) -> Result<(), Self> {
        if self.problems.is_empty() {
            Ok(())
        } else {
            Err(std::mem::take(self))
        }
    }

    /// What was noted.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{}: {}", problem.field, problem.message)?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}
