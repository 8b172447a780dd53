//! The test of a process manager: what passes, what the failures say, and that a running one does the same.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod differential;
mod failures;
mod passing;
mod running;
mod signals;
