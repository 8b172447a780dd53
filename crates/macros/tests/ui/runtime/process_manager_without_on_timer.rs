use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Due;

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "x",
    id = String,
    timer = Due, //~ ERROR `X` does nothing when its timer `Due` is due
    //~^ NOTE missing `impl OnTimer<Due> for X`
)]
struct X;

fn main() {}
