use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    #[command(id)]
    one: u8,
    #[command(id)] //~ ERROR `Ping` has two fields marked `#[command(id)]`: keep one
    two: u8,
}

fn main() {}
