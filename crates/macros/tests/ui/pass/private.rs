//! The lints that a careful user denies.

#![deny(
    warnings,
    missing_docs,
    missing_debug_implementations,
    unreachable_pub,
    unused_qualifications,
    rust_2018_idioms,
    clippy::all,
    clippy::pedantic
)]

use ordain::prelude::*;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize, Event)]
struct Pinged;

#[derive(Serialize, Deserialize, Command)]
struct Ping(#[command(id)] u8);

#[derive(Clone, Default, Aggregate)]
#[aggregate(category = "ping", commands(Ping), events(Pinged))]
struct Pinger;

impl Execute<Ping> for Pinger {
    fn execute(&self, _: &Ping) -> Decision<Self> {
        Ok(Pinged.into())
    }
}

impl Apply<Pinged> for Pinger {
    fn apply(&mut self, _: &Pinged) {}
}

#[derive(Clone, Default, Aggregate)]
#[aggregate(category = "nothing", id = u8)]
struct Nothing;

fn main() {
    let _ = (Pinger, Nothing);
}
