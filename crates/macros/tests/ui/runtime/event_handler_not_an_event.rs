use ordain::prelude::*;

struct Pinged;

#[derive(EventHandler)]
#[event_handler(
    name = "x",
    events(Pinged) //~ ERROR `Pinged` is not an event
)]
struct X;

fn main() {}
