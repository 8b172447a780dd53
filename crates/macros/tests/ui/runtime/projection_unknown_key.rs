use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Projection)]
#[projection(
    name = "x",
    events(Pinged),
    replays //~ ERROR unknown key; here `#[projection(..)]` takes `name`, `version`, `events`, `options`, `ordering`, `on_failure`, `crate`, `tables`, `batches`
)]
struct X;

fn main() {}
