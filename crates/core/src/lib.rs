#![doc = include_str!("../README.md")]

#[allow(
    unused_extern_crates,
    reason = "the derives name `::ordain`, also inside this crate"
)]
extern crate self as ordain;

// Write side
mod aggregate;
mod command;
#[cfg(feature = "runtime")]
mod dispatch;
#[cfg(feature = "runtime")]
pub mod middleware;

// Facts and storage
mod codec;
mod event;
mod id;
mod metadata;
mod position;
#[cfg(feature = "runtime")]
mod snapshot;
#[cfg(feature = "runtime")]
pub mod store;
mod stream;
mod upcast;

// Read side
#[cfg(feature = "runtime")]
mod handler;
#[cfg(feature = "runtime")]
mod process_manager;
#[cfg(feature = "runtime")]
mod projection;
#[cfg(feature = "runtime")]
pub mod subscription;

// Running
#[cfg(feature = "runtime")]
mod app;
#[cfg(feature = "runtime")]
mod clock;
#[cfg(feature = "runtime")]
mod config;
mod error;
#[cfg(feature = "runtime")]
mod health;
#[cfg(feature = "runtime")]
mod retry;

pub mod prelude;

pub use self::aggregate::{
    After, Aggregate, Apply, CommandHandler, Context, Decision, Events, Execute, ExecuteWith,
    Existence, Lifespan, NoError, Snapshots, Steps, UnlistedEvents,
};
#[cfg(feature = "runtime")]
pub use self::app::{
    App, AppBuilder, HistoryEvent, LoadError, Loaded, Moment, ShutdownError, StartError,
};
#[cfg(feature = "runtime")]
pub use self::clock::{Clock, SystemClock, to_micros};
pub use self::codec::{Codec, CodecError, Format, ReadValue};
pub use self::command::{
    Command, CommandOf, CommandSet, Invalid, OutsideCommand, OutsideRoute, Problem, Routed,
};
#[cfg(feature = "runtime")]
pub use self::config::Config;
#[cfg(feature = "runtime")]
pub use self::dispatch::{
    Answer, Conflict, Dispatch, DispatchError, DispatchJson, ErasedEvent, ErasedReceipt, Receipt,
    ReceiptWithState, Rejection,
};
pub use self::error::BoxError;
pub use self::event::{
    Event, EventOf, EventSet, EventType, EventTypeVisitor, LinkPlace, NewEvent, RawData, RawEvent,
    RecordedEvent,
};
#[cfg(feature = "runtime")]
pub use self::handler::{
    BatchHandler, Delivery, EventContext, EventHandler, Failure, FailureAction, FailureCause,
    Handle, Handled, Ordering, RawHandler,
};
#[cfg(feature = "runtime")]
pub use self::health::{Degraded, Health, Phase};
pub use self::id::{AggregateId, CausationId, CommandId, CorrelationId, EventId, EventIds};
pub use self::metadata::{CommandMark, Metadata};
pub use self::position::{ExpectedVersion, GlobalPosition, StreamVersion};
#[cfg(feature = "runtime")]
pub use self::process_manager::{
    CommandAction, CommandFailure, FailedCommandStep, IssuedCommand, NoTimer, OnTimer, Process,
    ProcessContext, ProcessInstance, ProcessManager, ProcessOptions, ProcessOutgoing, ProcessSteps,
    ProcessTimer, Processes, Reaction, Route, Schedule, ScheduleError, ScheduledId, TimerContext,
};
#[cfg(feature = "runtime")]
pub use self::projection::{Project, ProjectBatch, Projected, Projection, ReadModel};
#[cfg(feature = "runtime")]
pub use self::retry::Backoff;
#[cfg(feature = "runtime")]
pub use self::snapshot::Snapshot;
#[cfg(feature = "runtime")]
pub use self::store::{EventStore, MemoryStore, ReadModels, StoreError};
pub use self::stream::{InvalidStreamId, StreamId, check_category};
pub use self::upcast::{
    DecodeError, DecodeProblem, Decoded, Part, Upcast, Upcaster, Upcasters, UpcastersError,
};

#[cfg(all(feature = "macros", feature = "runtime"))]
pub use ordain_macros::ProcessManager;
#[cfg(feature = "macros")]
pub use ordain_macros::{Aggregate, AggregateId, Command, CommandSet, Event, EventSet};
#[cfg(all(feature = "macros", feature = "runtime"))]
pub use ordain_macros::{EventHandler, Projection};

#[doc(hidden)]
pub mod __private;
