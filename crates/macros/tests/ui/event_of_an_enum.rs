use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
enum Pinged {} //~ ERROR an event is a struct; for an enum of events there is `derive(EventSet)`

fn main() {}
