use ordain::prelude::*;

#[derive(CommandSet)]
#[command(aggregate = X)]
enum XCommand {
    //~^ ERROR `XCommand` does not say which field of its commands is the id: add `#[command(id = field)]`
    Ping { id: u8 },
}

fn main() {}
