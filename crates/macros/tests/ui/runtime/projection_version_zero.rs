use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Projection)]
#[projection(
    name = "x",
    version = 0, //~ ERROR it counts from 1
    events(Pinged)
)]
struct X;

fn main() {}
