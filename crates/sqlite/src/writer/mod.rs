//! The writer: one task with the one connection that writes.

mod batch;
mod decide;
mod delete;
mod insert;
mod keep;
mod link;
mod loan;
mod probe;
mod queue;
mod subscriptions;
mod task;
mod tell;
mod work;

pub(crate) use self::batch::carry_out_now;
pub(crate) use self::loan::{Loan, Shared};
pub(crate) use self::queue::WriterHandle;
pub(crate) use self::subscriptions::SubscriptionWork;
pub(crate) use self::task::Writer;
pub(crate) use self::work::{Answer, Work};
