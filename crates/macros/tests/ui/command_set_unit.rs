use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand {
    Ping, //~ ERROR `Ping` needs named fields, one of them `id`
}

fn main() {}
