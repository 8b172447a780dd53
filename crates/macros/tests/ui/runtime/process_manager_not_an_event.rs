use ordain::prelude::*;
use ordain::{EventContext, Route};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Pinged;

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "x",
    id = String,
    events(
        Pinged, //~ ERROR `Pinged` is not an event
    )
)]
struct X;

impl Process<Pinged> for X {
    fn route(_: &Pinged, _: &EventContext) -> Route<String> {
        Route::none()
    }
}

fn main() {}
