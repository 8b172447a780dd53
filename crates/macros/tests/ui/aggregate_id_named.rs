use ordain::prelude::*;

#[derive(AggregateId)]
struct Id {
    //~^ ERROR an id is a struct with one unnamed field: `struct Id(String);`
    text: String,
}

fn main() {}
