use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged<T>(T); //~ ERROR `Pinged` is generic, but an event is one type under one name

fn main() {}
