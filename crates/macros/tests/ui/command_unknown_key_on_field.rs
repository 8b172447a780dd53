use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    #[command(key)] //~ ERROR unknown key; here `#[command(..)]` takes `id`
    id: u8,
}

fn main() {}
