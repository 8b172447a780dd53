//! Reacting to events.

mod context;
mod decode;
mod event_handler;
mod failure;

pub use self::context::{Delivery, EventContext};
pub use self::event_handler::{BatchHandler, EventHandler, Handle, Handled, Ordering, RawHandler};
pub use self::failure::{Failure, FailureAction, FailureCause};

pub(crate) use self::decode::Decoder;
pub(crate) use self::event_handler::{Batched, Raw, Single, key_of};
