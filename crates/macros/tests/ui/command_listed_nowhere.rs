use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Command)]
struct Ping {
    #[command(id)]
    id: u8,
}

fn dispatch<A: ordain::Aggregate>(_: impl ordain::CommandOf<A>) {}

fn main() {
    dispatch(Ping { id: 1 });
    //~^ ERROR no aggregate handles the command `Ping`
    //~^^ NOTE list `Ping` in `#[aggregate(commands(..))]` of its aggregate
}
