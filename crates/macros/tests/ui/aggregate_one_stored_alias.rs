use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    #[command(id)]
    id: u8,
}

#[derive(Serialize, Deserialize, Event)]
#[event(alias = "Pinged")]
struct Ponged;

#[derive(Clone, Default, Aggregate)]
#[aggregate(
    category = "x",
    commands(Ping),
    events(Pinged, Ponged) //~ ERROR two of the listed events have the same stored name
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

impl Apply<Ponged> for X {
    fn apply(&mut self, _: &Ponged) {}
}

fn main() {}
