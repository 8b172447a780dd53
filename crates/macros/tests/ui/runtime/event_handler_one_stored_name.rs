use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Event)]
#[event(name = "Pinged")]
struct Ponged;

#[derive(EventHandler)]
#[event_handler(
    name = "x",
    events(Pinged, Ponged) //~ ERROR two of the listed events have the same stored name
)]
struct X;

impl Handle<Pinged> for X {
    async fn handle(&self, _: &Pinged, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }
}

impl Handle<Ponged> for X {
    async fn handle(&self, _: &Ponged, _: &EventContext) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
