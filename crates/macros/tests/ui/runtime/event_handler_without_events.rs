use ordain::prelude::*;

#[derive(EventHandler)]
#[event_handler(name = "x")]
struct X; //~ ERROR `X` has no events: add `#[event_handler(events(..))]`

fn main() {}
