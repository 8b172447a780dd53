use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id)]
enum XCommand {
    //~^ ERROR `XCommand` does not say whose commands they are: add `#[command(aggregate = Type)]`
    Ping { id: u8 },
}

fn main() {}
