//! What the derives expand to, run without an app.

#![deny(
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    clippy::all
)]

pub mod enums;
pub mod generics;
pub mod hygiene;
pub mod ids;
pub mod lists;
pub mod structs;

use ordain::StreamVersion;
use ordain::{Aggregate, CommandId, CommandOf, Context, CorrelationId, Events, Metadata, Routed};

/// Runs one command on a state, as a live instance would.
pub fn run<A: Aggregate>(
    state: &mut A,
    id: &A::Id,
    command: A::Command,
) -> Result<Vec<A::Event>, A::Error> {
    let metadata = Metadata::default();
    let (command_id, correlation_id) = (CommandId::new(), CorrelationId::new());
    let version = StreamVersion::NONE;
    let context = Context::new(id, version, command_id, correlation_id, &metadata);
    let events: Events<A> = Aggregate::execute(state, &command, &context)?;
    let events = events.into_vec();
    for event in &events {
        Aggregate::apply(state, event);
    }
    Ok(events)
}

/// Finds the aggregate by the command alone.
pub fn dispatch<A: Aggregate, C: CommandOf<A>>(command: C) -> Routed<A> {
    command.route()
}

/// The command that the aggregate decides itself.
pub fn decided<A: Aggregate>(routed: Routed<A>) -> A::Command {
    match routed {
        Routed::Decide(command) => command,
        Routed::Outside(command) => panic!("{} is decided outside", command.name()),
    }
}
