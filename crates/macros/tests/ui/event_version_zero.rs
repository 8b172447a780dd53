use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(version = 0)] //~ ERROR it counts from 1
struct Pinged;

fn main() {}
