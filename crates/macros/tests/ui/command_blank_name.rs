use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
#[command(name = "")] //~ ERROR a name cannot be blank
struct Ping(#[command(id)] u8);

fn main() {}
