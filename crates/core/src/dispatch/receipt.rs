//! What a successful command gives back.

use std::fmt;
use std::ops::Deref;

use serde_json::Value;

use crate::{
    Aggregate, CommandId, CorrelationId, EventSet, GlobalPosition, StreamId, StreamVersion,
};

/// What a successful command gives back: its events are stored.
#[non_exhaustive]
pub struct Receipt<A: Aggregate> {
    /// The aggregate's stream.
    pub stream: StreamId,
    /// The stream's version after the command.
    pub version: StreamVersion,
    /// The position of the command's last event; without events, that of the stream's last entry.
    pub position: GlobalPosition,
    /// The command's events.
    pub events: Vec<A::Event>,
    /// How often the command was redone after a conflict.
    pub retries: u32,
    /// Whether the command had been carried out before under the same id, and this is the answer
    /// from then.
    pub repeated: bool,
    /// The id of the command.
    pub command_id: CommandId,
    /// The piece of business it belongs to.
    pub correlation_id: CorrelationId,
}

impl<A: Aggregate> fmt::Debug for Receipt<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events: Vec<_> = self
            .events
            .iter()
            .map(|event| event.event_type().name)
            .collect();
        f.debug_struct("Receipt")
            .field("stream", &self.stream)
            .field("version", &self.version)
            .field("position", &self.position)
            .field("events", &events)
            .field("retries", &self.retries)
            .field("repeated", &self.repeated)
            .finish_non_exhaustive()
    }
}

/// A receipt with the aggregate's state after the command.
#[derive(Debug)]
#[non_exhaustive]
pub struct ReceiptWithState<A: Aggregate> {
    /// The receipt.
    pub receipt: Receipt<A>,
    /// The state at the receipt's version.
    pub state: A,
}

impl<A: Aggregate> Deref for ReceiptWithState<A> {
    type Target = Receipt<A>;

    fn deref(&self) -> &Receipt<A> {
        &self.receipt
    }
}

/// A receipt without Rust types, for gateways.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ErasedReceipt {
    /// The aggregate's stream.
    pub stream: StreamId,
    /// The stream's version after the command.
    pub version: StreamVersion,
    /// The position of the command's last event; without events, that of the stream's last entry.
    pub position: GlobalPosition,
    /// The command's events.
    pub events: Vec<ErasedEvent>,
    /// How often the command was redone after a conflict.
    pub retries: u32,
    /// Whether this is the answer from when the command came first.
    pub repeated: bool,
    /// The id of the command.
    pub command_id: CommandId,
    /// The piece of business it belongs to.
    pub correlation_id: CorrelationId,
}

/// An event without its Rust type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ErasedEvent {
    /// The name of its type.
    pub event_type: &'static str,
    /// The version of its payload's shape.
    pub schema_version: u32,
    /// Its payload.
    pub data: Value,
}

impl ErasedReceipt {
    pub(crate) fn of<A: Aggregate>(receipt: Receipt<A>) -> Self {
        Self {
            stream: receipt.stream,
            version: receipt.version,
            position: receipt.position,
            events: receipt.events.iter().map(erase).collect(),
            retries: receipt.retries,
            repeated: receipt.repeated,
            command_id: receipt.command_id,
            correlation_id: receipt.correlation_id,
        }
    }
}

fn erase<S: EventSet>(event: &S) -> ErasedEvent {
    let codec = crate::Codec::Json;
    let json = event.encode(&codec).and_then(|bytes| codec.decode(&bytes));
    let event_type = event.event_type();
    ErasedEvent {
        event_type: event_type.name,
        schema_version: event_type.version,
        data: json.unwrap_or(Value::Null),
    }
}
