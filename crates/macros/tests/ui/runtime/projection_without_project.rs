use ordain::prelude::*;
use ordain::{App, MemoryStore, ReadModels};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Event)]
struct Ponged;

#[derive(Projection)]
#[projection(name = "x", events(Pinged, Ponged))]
struct X;

impl Project<Pinged, ReadModels> for X {
    async fn project(
        &self,
        _: &Pinged,
        _: &EventContext,
        _: &mut ReadModels,
    ) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {
    let _ = App::builder(MemoryStore::new())
        .projection(X) //~ ERROR `X` is not a projection on `ReadModels`
        //~^ NOTE `Project<Ponged, ReadModels>` is not implemented for `X`
        ;
}
