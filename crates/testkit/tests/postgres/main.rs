//! Throwaway servers of PostgreSQL. Without programs of a server, all of these fail.

mod bouncer;
mod database;
mod lifetime;
mod server;
mod support;
