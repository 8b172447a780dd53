use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = "Ping")]
#[event(name = "Pong")] //~ ERROR `name` is given twice
struct Pinged;

fn main() {}
