use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(EventHandler)]
#[event_handler(
    name = "x",
    events(Pinged),
    tables //~ ERROR unknown key; here `#[event_handler(..)]` takes `name`, `version`, `events`, `options`, `ordering`, `on_failure`, `crate`, `replays`
)]
struct X;

fn main() {}
