use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(EventHandler)]
#[event_handler(name = "x", events(Pinged))]
struct X<'a>(&'a str); //~ ERROR `X` borrows, but what reads events has to own all it holds: no lifetimes

fn main() {}
