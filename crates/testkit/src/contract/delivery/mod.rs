//! What users of subscriptions, handlers and projections are promised, over any store.

pub mod acknowledging;
pub mod catching_up;
pub mod failing;
pub mod handling;
pub mod projecting;
pub mod sharing;
mod support;
pub mod waiting;
