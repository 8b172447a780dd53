use ordain::prelude::*;

#[derive(AggregateId)]
enum Id {
    //~^ ERROR an id is a struct with one unnamed field: `struct Id(String);`
    One(u8),
}

fn main() {}
