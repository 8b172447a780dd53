use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(EventSet)]
struct Pinged; //~ ERROR a set of events is an enum; for one event there is `derive(Event)`

fn main() {}
