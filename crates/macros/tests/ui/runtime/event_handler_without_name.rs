use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(EventHandler)]
#[event_handler(events(Pinged))]
struct X; //~ ERROR `X` has no name to remember under how far it has come: add `#[event_handler(name = "..")]`

fn main() {}
