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
#[aggregate(
    category = "x",
    commands(Ping),
    events(Pinged),
    tolerates(Ping()) //~ ERROR name the events that it tolerates
)]
struct X;

impl Execute<Ping> for X {
    fn execute(&self, _: &Ping) -> Decision<Self> {
        Ok(Pinged.into())
    }
}

impl Apply<Pinged> for X {
    fn apply(&mut self, _: &Pinged) {}
}

fn main() {}
