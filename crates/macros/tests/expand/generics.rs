//! Aggregates with parameters.

use std::marker::PhantomData;

use ordain::prelude::*;
use ordain::{Aggregate as _, CommandOf, Routed};
use serde::{Deserialize, Serialize};

use crate::{decided, run};

/// How far it goes.
pub trait Policy: std::fmt::Debug + Default + Clone + Send + Sync + 'static {
    /// The end.
    const LIMIT: u64;
}

/// A policy.
#[derive(Debug, Default, Clone)]
pub struct Low;

impl Policy for Low {
    const LIMIT: u64 = 2;
}

/// An event; its name is that of a type parameter elsewhere.
#[derive(Debug, Serialize, Deserialize, Event)]
pub struct A;

/// A command.
#[derive(Debug, Serialize, Deserialize, Command)]
pub struct Increment {
    #[command(id)]
    counter: u64,
}

/// Too much.
#[derive(Debug, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("full")]
pub struct Full;

/// A state with parameters.
#[derive(Debug, Clone, Default, Aggregate)]
#[aggregate(category = "counter", commands(Increment), events(A), error = Full)]
pub struct Counter<P, const STEP: u64>
where
    P: Policy,
{
    count: u64,
    policy: PhantomData<P>,
}

impl<P: Policy, const STEP: u64> Execute<Increment> for Counter<P, STEP> {
    fn execute(&self, _: &Increment) -> Decision<Self> {
        if self.count >= P::LIMIT {
            return Err(Full);
        }
        Ok(A.into())
    }
}

impl<P: Policy, const STEP: u64> Apply<A> for Counter<P, STEP> {
    fn apply(&mut self, _: &A) {
        self.count += STEP;
    }
}

#[test]
fn parameters_go_on_the_aggregate_alone() {
    let mut counter = Counter::<Low, 1>::new(&7);
    for _ in 0..2 {
        let routed: Routed<Counter<Low, 1>> = Increment { counter: 7 }.route();
        let command: CounterCommand = decided(routed);
        let events: Vec<CounterEvent> = run(&mut counter, &7, command).unwrap();
        assert_eq!(events.len(), 1);
    }
    let more = CounterCommand::Increment(Increment { counter: 7 });
    assert_eq!(run(&mut counter, &7, more).unwrap_err(), Full);
}
