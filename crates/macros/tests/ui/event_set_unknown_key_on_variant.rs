use ordain::prelude::*;

#[derive(EventSet)]
enum XEvent {
    #[event(rename = "x")]
    //~^ ERROR unknown key; here `#[event(..)]` takes `name`, `alias`, `version`, `first_version`
    Pinged,
}

fn main() {}
