use ordain::prelude::*;

#[derive(Default, Aggregate)]
#[aggregate(category = "x", id = u8)]
struct X; //~ ERROR Clone

fn main() {}
