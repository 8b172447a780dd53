use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    //~^ ERROR `Ping` does not say which aggregate it is for: mark one field `#[command(id)]`
    id: u8,
}

fn main() {}
