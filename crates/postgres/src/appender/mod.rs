//! The appender: one task that carries out everything which takes the order lock.

mod alone;
mod append;
mod optimism;
mod pending;
mod request;
mod settle;
mod task;

pub(crate) use self::request::{Answer, Delete, Link, Verdict, Work, Written};
pub(crate) use self::task::{Appender, AppenderHandle, Tools};
