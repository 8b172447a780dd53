use ordain::prelude::*;
use ordain::{App, MemoryStore};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Projection)]
#[projection(name = "x", events(Pinged), batches)]
struct X;

fn main() {
    let _ = App::builder(MemoryStore::new())
        .projection(X) //~ ERROR `X` is not a projection on `ReadModels`
        ;
}
