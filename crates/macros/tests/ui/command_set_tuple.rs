use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand {
    Ping(u8), //~ ERROR `Ping` needs named fields, one of them `id`
}

fn main() {}
