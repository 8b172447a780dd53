use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "x")]
struct X; //~ ERROR `X` does not say what tells its instances apart: add `id = Type`

fn main() {}
