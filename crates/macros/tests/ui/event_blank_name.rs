use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(name = " ")] //~ ERROR a name cannot be blank
struct Pinged;

fn main() {}
