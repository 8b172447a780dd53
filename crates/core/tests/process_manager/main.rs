//! Process managers: routing, commands, timers, failures, crashes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod commands;
mod crashes;
mod domain;
mod routing;
mod scheduled;
mod timers;
mod transfer;
