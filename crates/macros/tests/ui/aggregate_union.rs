use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Copy, Aggregate)]
#[aggregate(category = "x", id = u8)]
union X {
    //~^ ERROR an aggregate's state is a struct or an enum
    one: u8,
}

fn main() {}
