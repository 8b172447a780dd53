//! The appender: one task that carries out everything which takes the order lock.

mod alone;
mod append;
mod array;
mod backoff;
mod call;
mod optimism;
mod pending;
mod plan;
mod request;
mod settle;
mod streams;
mod task;
mod verdict;
mod witness;

pub(crate) use self::array::ElementType;
pub(crate) use self::request::{Answer, Delete, Link, Verdict, Work};
pub(crate) use self::task::{Appender, AppenderHandle, Tools};
