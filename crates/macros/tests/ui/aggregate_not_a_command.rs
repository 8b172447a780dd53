use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    #[command(id)]
    id: u8,
}

#[derive(Serialize, Deserialize)]
struct Pong;

#[derive(Clone, Default, Aggregate)]
#[aggregate(
    category = "x",
    commands(
        Ping,
        Pong //~ ERROR `Pong` is not a command
        //~^ NOTE derive it: `#[derive(Serialize, Deserialize, Command)]`
    ),
    events(Pinged)
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

impl Execute<Pong> for X {
    fn execute(&self, _: &Pong) -> Decision<Self> {
        Ok(Pinged.into())
    }
}

fn main() {}
