use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand {
    Ping { id: u8 },
    Pong { key: u8 }, //~ ERROR `Pong` has no field `id` to say which aggregate it is for
}

fn main() {}
