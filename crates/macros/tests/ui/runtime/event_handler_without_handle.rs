use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Event)]
struct Ponged;

#[derive(EventHandler)]
#[event_handler(
    name = "x",
    events(
        Pinged,
        Ponged, //~ ERROR `X` does not handle `Ponged`
        //~^ NOTE missing `impl Handle<Ponged> for X`
        //~^^ NOTE or take `Ponged` out of `events(..)`
    )
)]
struct X;

impl Handle<Pinged> for X {
    async fn handle(&self, _: &Pinged, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
