#![doc = include_str!("../README.md")]

mod clock;
pub mod contract;
mod diff;
mod faults;
mod given;

pub use self::clock::ManualClock;
pub use self::faults::{Call, Fault, Faults, FaultyStore, Gate, Halt};
pub use self::given::{Decided, Test};
