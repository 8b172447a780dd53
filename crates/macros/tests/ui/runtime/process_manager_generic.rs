use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "x", id = String)]
struct X<T>(T); //~ ERROR `X` is generic, but a process manager is one type under one name

fn main() {}
