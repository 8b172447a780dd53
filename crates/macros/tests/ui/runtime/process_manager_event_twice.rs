use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "x",
    id = String,
    events(
        Pinged,
        Pinged, //~ ERROR `Pinged` is listed twice; two types of one name need `path::Pinged as OtherName`
    )
)]
struct X;

fn main() {}
