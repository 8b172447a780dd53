use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
#[command(version = 0)] //~ ERROR it counts from 1
struct Ping(#[command(id)] u8);

fn main() {}
