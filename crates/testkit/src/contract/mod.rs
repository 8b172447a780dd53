#![doc = include_str!("README.md")]

pub mod append;
mod apps;
pub mod arrivals;
pub mod blocks;
pub mod chains;
pub mod commands;
pub mod delete;
pub mod delivery;
pub mod filter;
mod fixture;
pub mod input;
pub mod isolation;
pub mod leases;
pub mod lifecycle;
pub mod links;
pub mod model;
pub mod order;
pub mod process;
pub mod processes;
pub mod progress;
pub mod projections;
pub mod read;
mod read_side;
pub mod restart;
mod scenarios;
pub mod settling;
pub mod several;
pub mod snapshots;
pub mod streams;
pub mod subscriptions;
mod support;
pub mod time;

#[doc(hidden)]
pub use self::delivery::{
    acknowledging, catching_up, failing, handling, projecting, sharing, waiting,
};
pub use self::fixture::{ConnectionOf, MemoryFixture, StoreFixture, SubscriptionFixture};
#[doc(hidden)]
pub use self::process::{
    bounding, chaos, issuing, keeping, resetting, routing, scheduling, surviving, timing,
    transferring,
};
#[doc(hidden)]
pub use self::scenarios::run;
pub use self::scenarios::{
    DELIVERY_SCENARIOS, PROCESS_SCENARIOS, SCENARIOS, SUBSCRIPTION_SCENARIOS,
};
