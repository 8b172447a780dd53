use ordain::prelude::*;
use ordain::{EventContext, Route};
use serde::{Deserialize, Serialize};

mod other {
    use ordain::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize, Event)]
    pub struct Pinged;
}

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Clone, Default, Serialize, Deserialize, ProcessManager)]
#[process_manager(
    name = "x",
    id = String,
    events(
        Pinged, //~ ERROR two of the listed events have the same stored name
        other::Pinged as OtherPinged,
    )
)]
struct X;

impl Process<Pinged> for X {
    fn route(_: &Pinged, _: &EventContext) -> Route<String> {
        Route::none()
    }
}

impl Process<other::Pinged> for X {
    fn route(_: &other::Pinged, _: &EventContext) -> Route<String> {
        Route::none()
    }
}

fn main() {}
