use ordain::prelude::*;

#[derive(Clone, Default, Aggregate)]
#[aggregate(category = "x", id = u8, snapshot(every = 10))]
struct X; //~ ERROR Serialize

fn main() {}
