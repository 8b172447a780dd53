//! Throwaway servers of PostgreSQL. Without programs of a server, all of these fail.
#![expect(clippy::unwrap_used, reason = "it is all test")]

mod bouncer;
mod database;
mod lifetime;
mod server;
mod support;
