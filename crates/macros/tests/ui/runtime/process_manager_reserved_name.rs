use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "$x", id = String)] //~ ERROR a name cannot begin with `$`
struct X;

fn main() {}
