use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand {
    //~^ ERROR two of the listed commands have the same name
    Ping {
        id: u8,
    },
    #[command(name = "Ping")]
    Pong {
        id: u8,
    },
}

#[derive(EventSet)]
enum XEvent {
    Pinged,
}

#[derive(Clone)]
struct X;

impl ordain::Aggregate for X {
    const CATEGORY: &'static str = "x";
    type Id = u8;
    type Command = XCommand;
    type Event = XEvent;
    type Error = ordain::NoError;

    fn new(_: &u8) -> Self {
        Self
    }

    fn execute(&self, _: &XCommand, _: &Context<'_, Self>) -> Decision<Self> {
        Ok(XEvent::Pinged.into())
    }

    fn apply(&mut self, _: &XEvent) {}
}

fn main() {}
