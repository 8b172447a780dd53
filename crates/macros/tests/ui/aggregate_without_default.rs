use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Aggregate)]
#[aggregate(category = "x", id = u8)]
struct X; //~ ERROR Default

fn main() {}
