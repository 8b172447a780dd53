use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Event)]
struct Pinged<'a>(&'a str); //~ ERROR `Pinged` borrows, but an event has to own all it holds: no lifetimes

fn main() {}
