use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "x", id = String, state_version = 0)] //~ ERROR it counts from 1
struct X;

fn main() {}
