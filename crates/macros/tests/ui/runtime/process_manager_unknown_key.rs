use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "x", id = String, category = "x")] //~ ERROR unknown key; here `#[process_manager(..)]` takes `name`, `id`
struct X;

fn main() {}
