use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Pinged;

#[derive(EventSet)]
enum XEvent {
    Pinged(Pinged), //~ ERROR `Pinged` is not an event
}

fn main() {}
