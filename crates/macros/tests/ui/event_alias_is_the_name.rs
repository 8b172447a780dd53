use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(alias = "Pinged")] //~ ERROR `Pinged` is its name; an alias is a name it had before
struct Pinged;

fn main() {}
