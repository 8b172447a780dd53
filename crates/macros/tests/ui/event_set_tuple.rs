use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(EventSet)]
enum XEvent {
    Pinged(u8, u8), //~ ERROR `Pinged` needs named fields, or one value that is an `Event`
}

fn main() {}
