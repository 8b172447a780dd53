#![doc = include_str!("../README.md")]

mod clock;
pub mod contract;
mod diff;
pub mod differential;
mod faults;
mod given;
#[doc(hidden)]
pub mod nodes;
#[cfg(all(feature = "postgres", unix))]
pub mod postgres;
mod schemas;

pub use self::clock::ManualClock;
pub use self::faults::{Call, Fault, Faults, FaultyStore, Gate, Halt};
pub use self::given::{Decided, Test};
pub use self::schemas::{EventSchemas, assert_event_schemas};
