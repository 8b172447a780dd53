use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

mod other {
    use super::*;

    #[derive(Serialize, Deserialize, Event)]
    pub struct Pinged;
}

#[derive(EventHandler)]
#[event_handler(
    name = "x",
    events(
        Pinged,
        other::Pinged //~ ERROR `Pinged` is listed twice; two types of one name need `path::Pinged as OtherName`
    )
)]
struct X;

fn main() {}
