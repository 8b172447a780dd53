use ordain::ReadModels;
use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Projection)]
#[projection(name = "x", events(Pinged))]
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

impl ReadModel<ReadModels> for X { //~ ERROR nothing calls the `ReadModel` of `X`
    //~^ NOTE add `tables` to
    async fn reset(&self, _: &mut ReadModels) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
