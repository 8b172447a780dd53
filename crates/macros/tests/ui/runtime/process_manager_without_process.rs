use ordain::prelude::*;
use ordain::{EventContext, Route};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Event)]
struct Ponged;

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "x",
    id = String,
    events(
        Pinged,
        Ponged, //~ ERROR `X` does not process `Ponged`
        //~^ NOTE missing `impl Process<Ponged> for X`
    )
)]
struct X;

impl Process<Pinged> for X {
    fn route(_: &Pinged, context: &EventContext) -> Route<String> {
        Route::start(context.id())
    }
}

fn main() {}
