use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    #[command(id)]
    id: u8,
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(commands(Ping), events(Pinged))]
struct X; //~ ERROR `X` has no category to name its streams by: add `#[aggregate(category = "..")]`

impl Execute<Ping> for X {
    fn execute(&self, _: &Ping) -> Decision<Self> {
        Ok(Pinged.into())
    }
}

impl Apply<Pinged> for X {
    fn apply(&mut self, _: &Pinged) {}
}

fn main() {}
