use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = " ", id = String)] //~ ERROR a name cannot be blank
struct X;

fn main() {}
