use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(id = String)]
struct X; //~ ERROR `X` has no name to remember it by: add `#[process_manager(name = "..")]`

fn main() {}
