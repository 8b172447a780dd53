#![doc = include_str!("../README.md")]

mod clock;
pub mod contract;

pub use self::clock::ManualClock;
