use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(version = 2, first_version = 3)]
struct Pinged; //~ ERROR its first version is 3, but its version is only 2

fn main() {}
