use ordain::prelude::*;

#[derive(CommandSet)]
#[command(id = id, aggregate = X)]
enum XCommand<T> {
    //~^ ERROR `XCommand` is generic, but a set of commands is one type under one name
    Ping { id: T },
}

fn main() {}
