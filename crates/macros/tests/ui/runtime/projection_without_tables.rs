use ordain::prelude::*;
use ordain::{App, MemoryStore, ReadModels};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Projection)]
#[projection(name = "x", events(Pinged), tables)]
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
        //~^ NOTE and its `tables` a `ReadModel<ReadModels>`
        ;
}
