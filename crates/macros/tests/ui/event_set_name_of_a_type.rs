use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(EventSet)]
enum XEvent {
    #[event(name = "Ping")]
    //~^ ERROR the name and version of this event are those of its type: say it there
    Pinged(Pinged),
}

fn main() {}
