//! The writer: one task with the one connection that writes.

mod batch;
mod decide;
mod delete;
mod insert;
mod keep;
mod link;
mod probe;
mod task;
mod work;

pub(crate) use self::task::{Writer, WriterHandle};
pub(crate) use self::work::{Answer, Work};
