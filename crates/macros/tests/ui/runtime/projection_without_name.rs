use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Projection)]
#[projection(events(Pinged))]
struct X; //~ ERROR `X` has no name to remember under how far it has come: add `#[projection(name = "..")]`

fn main() {}
