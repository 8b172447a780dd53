use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
#[command(id = id)] //~ ERROR unknown key; here `#[command(..)]` takes `name`, `version`, `validate`, `fingerprint`, `crate`
struct Ping {
    id: u8,
}

fn main() {}
