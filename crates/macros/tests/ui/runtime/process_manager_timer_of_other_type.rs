use std::time::Duration;

use ordain::prelude::*;
use ordain::Reaction;
use serde::{Deserialize, Serialize};

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(name = "x", id = String)]
struct X;

fn set() -> Reaction<X> {
    let after = Duration::from_secs(1);
    Reaction::none().timer("t", after, 7_u8) //~ ERROR the trait bound `NoTimer: From<u8>` is not satisfied
}

fn main() {
    let _ = set();
}
