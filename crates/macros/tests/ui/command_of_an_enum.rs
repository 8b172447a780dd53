use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
enum Ping {} //~ ERROR a command is a struct; for an enum of commands there is `derive(CommandSet)`

fn main() {}
