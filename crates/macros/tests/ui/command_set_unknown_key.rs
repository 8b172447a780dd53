use ordain::prelude::*;

#[derive(CommandSet)]
#[command(name = "x")] //~ ERROR unknown key; here `#[command(..)]` takes `id`, `aggregate`, `validate`, `fingerprint`, `crate`
enum XCommand {
    Ping { id: u8 },
}

fn main() {}
