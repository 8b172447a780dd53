use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Aggregate)]
#[aggregate(category = "x")]
struct X; //~ ERROR `X` has no command to take its id from: add `id = Type`

fn main() {}
