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
struct Ponged;

#[derive(Clone, Default, Aggregate)]
#[aggregate(category = "x", commands(Ping), events(Pinged))]
struct X;

impl Execute<Ping> for X {
    fn execute(&self, _: &Ping) -> Decision<Self> {
        Ok(Ponged.into())
        //~^ ERROR `Ponged` is not an event of `X`
        //~^^ NOTE list `Ponged` in `#[aggregate(events(..))]` of `X`
    }
}

impl Apply<Pinged> for X {
    fn apply(&mut self, _: &Pinged) {}
}

fn main() {}
