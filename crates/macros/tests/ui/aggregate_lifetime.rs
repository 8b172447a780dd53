use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Aggregate)]
#[aggregate(category = "x", id = u8)]
struct X<'a>(&'a str); //~ ERROR `X` borrows, but an aggregate has to own all it holds: no lifetimes

fn main() {}
