use ordain::prelude::*;

#[derive(Clone, Default)]
struct X;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand {
    Ping {
        id: u8,
    },
    Pong {
        id: String, //~ ERROR the id of this command is a `String`, but that of the aggregate a `u8`
    },
}

fn main() {}
