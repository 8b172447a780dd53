use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
struct Ping {
    //~^ ERROR a set of commands is an enum; for one command there is `derive(Command)`
    id: u8,
}

fn main() {}
