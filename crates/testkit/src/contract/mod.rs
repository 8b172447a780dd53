#![doc = include_str!("README.md")]

pub mod append;
pub mod chains;
pub mod commands;
pub mod delete;
pub mod filter;
mod fixture;
pub mod input;
pub mod isolation;
pub mod lifecycle;
pub mod links;
pub mod model;
pub mod order;
pub mod read;
mod scenarios;
pub mod several;
pub mod snapshots;
pub mod streams;
mod support;
pub mod time;

pub use self::fixture::{MemoryFixture, StoreFixture};
pub use self::scenarios::SCENARIOS;
#[doc(hidden)]
pub use self::scenarios::run;
