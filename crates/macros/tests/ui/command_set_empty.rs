use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand {} //~ ERROR `XCommand` has no commands

fn main() {}
