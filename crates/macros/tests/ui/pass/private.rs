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

macro_rules! counter {
    ($name:ident, $category:literal, $command:path, $event:path) => {
        #[derive(Clone, Default, Aggregate)]
        #[aggregate(
                    category = $category,
                    commands($command as Count),
                    events($event as Counted),
                    created_by(Count)
                )]
        struct $name;

        impl Execute<$command> for $name {
            fn execute(&self, _: &$command) -> Decision<Self> {
                Ok(Events::none())
            }
        }

        impl Apply<$event> for $name {
            fn apply(&mut self, _: &$event) {}
        }
    };
}

mod counting {
    use super::*;

    #[derive(Serialize, Deserialize, Event)]
    pub(super) struct Counted;

    #[derive(Serialize, Deserialize, Command)]
    pub(super) struct Count(#[command(id)] u8);
}

counter!(Counter, "counter", counting::Count, counting::Counted);

fn inside_a_function() -> impl Sized {
    #[derive(Serialize, Deserialize, Event)]
    struct Ponged;

    #[derive(Serialize, Deserialize, Command)]
    struct Pong(#[command(id)] u8);

    #[derive(Clone, Default, Aggregate)]
    #[aggregate(category = "pong", outside(Pong), events(Ponged))]
    struct Ponger;

    impl Apply<Ponged> for Ponger {
        fn apply(&mut self, _: &Ponged) {}
    }

    #[derive(EventSet)]
    enum Heard {
        Ponged(Ponged),
        Nothing { since: u8 },
    }

    (Ponger, Heard::Nothing { since: 1 })
}

fn main() {
    let _ = (Pinger, Nothing, Counter, inside_a_function());
}
