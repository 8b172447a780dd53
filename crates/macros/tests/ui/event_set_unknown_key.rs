use ordain::prelude::*;

#[derive(EventSet)]
#[event(name = "x")] //~ ERROR unknown key; here `#[event(..)]` takes `crate`
enum XEvent {
    Pinged,
}

fn main() {}
