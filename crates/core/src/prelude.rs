//! What a domain module needs: `use ordain::prelude::*`.
//!
//! The traits `Aggregate`, `Command`, `Event`, `EventHandler`, `ProcessManager` and `Projection` are not in it, only their
//! derives: the per-type traits have methods of the same names.

#[cfg(feature = "macros")]
pub use ordain_macros::{Aggregate, AggregateId, Command, CommandSet, Event, EventSet};
#[cfg(all(feature = "macros", feature = "runtime"))]
pub use ordain_macros::{EventHandler, ProcessManager, Projection};

pub use crate::{Apply, CommandHandler, Context, Decision, Events, Execute, ExecuteWith, Invalid};
#[cfg(feature = "runtime")]
pub use crate::{
    BoxError, EventContext, Handle, OnTimer, Process, Project, ProjectBatch, ReadModel,
};
