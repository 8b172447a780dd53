use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(EventSet)]
enum XEvent<T> {
    //~^ ERROR `XEvent` is generic, but a set of events is one type under one name
    Pinged { what: T },
}

fn main() {}
