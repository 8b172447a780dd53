use ordain::prelude::*;

#[derive(EventSet)]
enum XEvent {
    //~^ ERROR two of the listed events have the same stored name
    Pinged,
    #[event(name = "Pinged")]
    Ponged,
}

fn main() {}
