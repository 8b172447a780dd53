use ordain::prelude::*;

#[derive(AggregateId)]
struct Id(u8, u8); //~ ERROR an id is a struct with one unnamed field: `struct Id(String);`

fn main() {}
