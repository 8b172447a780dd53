#![doc = include_str!("../README.md")]

mod clock;
pub mod contract;
mod diff;
pub mod differential;
mod faults;
mod given;
mod handler_test;
#[doc(hidden)]
pub mod nodes;
#[cfg(all(feature = "postgres", unix))]
pub mod postgres;
mod process_test;
mod projection_test;
mod recorder;
mod running;
mod schemas;
mod stored;
mod upcaster_test;

pub use self::clock::ManualClock;
pub use self::faults::{Call, Fault, Faults, FaultyStore, Gate, Halt};
pub use self::given::{Decided, Test};
pub use self::handler_test::{HandlerTest, Reacted};
pub use self::process_test::{Happened, ProcessTest, TimerDue};
pub use self::projection_test::ProjectionTest;
pub use self::running::{Running, Seen, running};
pub use self::schemas::{EventSchemas, assert_event_schemas};
pub use self::upcaster_test::{Upcasted, UpcasterTest};
