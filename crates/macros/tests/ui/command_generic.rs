use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
struct Ping<T>(#[command(id)] T); //~ ERROR `Ping` is generic, but a command is one type under one name

fn main() {}
