#![doc = include_str!("../README.md")]

mod clock;
pub mod contract;
mod faults;

pub use self::clock::ManualClock;
pub use self::faults::{Call, Fault, Faults, FaultyStore, Gate, Halt};
