use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
#[event(
    nam = "Ping" //~ ERROR unknown key; here `#[event(..)]` takes `name`, `alias`, `version`, `first_version`, `crate`
)]
struct Pinged;

fn main() {}
