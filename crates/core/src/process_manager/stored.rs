//! What is stored of instances, their commands and timers; as JSON.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use time::OffsetDateTime;
use uuid::Uuid;

use super::reaction::IssuedCommand;
use crate::store::{OutgoingRecord, TimerRecord};
use crate::{
    BoxError, CausationId, CodecError, CommandId, CorrelationId, EventContext, Metadata, StreamId,
};

/// An instance's state, and what it counts.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct StoredInstance {
    /// The version of the state's shape.
    pub(super) version: u32,
    pub(super) state: Value,
    /// How many commands it has issued.
    #[serde(default)]
    pub(super) issued: u64,
    /// The key of the timer that could not be handled, if that is why the instance is put aside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed_timer: Option<String>,
    /// The command that failed last, and why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failed_command: Option<FailedCommand>,
}

/// A command that failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct FailedCommand {
    pub(super) name: String,
    pub(super) command_id: CommandId,
    pub(super) error: String,
}

/// A command on its way.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredCommand {
    pub(super) command: IssuedCommand,
    /// How many commands it replaces, one after the other.
    #[serde(default)]
    pub(super) generation: u32,
    #[serde(flatten)]
    pub(super) origin: Origin,
}

/// What a timer carries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct StoredTimer {
    pub(super) payload: Value,
    /// Whether the event that set it was a replay.
    #[serde(default)]
    pub(super) replay: bool,
    #[serde(flatten)]
    pub(super) origin: Origin,
}

/// What commands inherit from what they react to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Origin {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) correlation_id: Option<CorrelationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) causation_id: Option<CausationId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) actor: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tenant: Option<String>,
}

impl Origin {
    pub(super) fn of_event(context: &EventContext) -> Self {
        let Metadata { actor, tenant, .. } = context.metadata();
        Self {
            correlation_id: context.correlation_id(),
            causation_id: Some(context.event_id().into()),
            actor: actor.clone(),
            tenant: tenant.clone(),
        }
    }
}

impl StoredCommand {
    pub(super) fn read(record: &OutgoingRecord) -> Result<Self, CodecError> {
        read(&record.data)
    }
}

impl StoredTimer {
    pub(super) fn read(record: &TimerRecord) -> Result<Self, CodecError> {
        read(&record.data)
    }
}

pub(super) fn read<T: serde::de::DeserializeOwned>(data: &Bytes) -> Result<T, CodecError> {
    serde_json::from_slice(data).map_err(CodecError::decode)
}

pub(super) fn write(value: &impl Serialize) -> Result<Bytes, CodecError> {
    let json = serde_json::to_vec(value).map_err(CodecError::encode)?;
    Ok(json.into())
}

/// Refuses what not every store keeps as a key.
pub(super) fn check_key(what: &str, key: &str) -> Result<(), BoxError> {
    let (len, max) = (key.len(), StreamId::LEN_MAX);
    if len > max {
        let problem =
            format!("{what} has {len} bytes; at most {max} are kept: shorten it, or use a hash");
        return Err(problem.into());
    }
    if key.contains('\0') {
        return Err(
            format!("{what} holds a NUL character, which no store keeps: leave it out").into(),
        );
    }
    Ok(())
}

/// What makes a command id, beyond manager and instance.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// A part of an event.
    Event { id: Uuid, part: u16 },
    /// A timer.
    Timer { key: &'a str, generation: u64 },
    /// A command that failed and is replaced.
    Failure { command_id: CommandId },
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Event { id, part } => write!(f, "event\0{id}\0{part}"),
            Self::Timer { key, generation } => write!(f, "timer\0{key}\0{generation}"),
            Self::Failure { command_id } => write!(f, "failure\0{command_id}"),
        }
    }
}

const NAMESPACE: Uuid = Uuid::from_u128(0x9f4c_11d5_6f0a_4c3e_8b57_2a60_c1de_7a01);

/// Which of the timers of its instance and key one is: a function of what has set it, and so the same after a
/// reset, from wherever that begins. From 1, in 63 bits.
pub(super) fn timer_generation(source: Source<'_>, generation: u32, index: usize) -> u64 {
    let name = format!("{source}\0{generation}\0{index}");
    let (high, _) = Uuid::new_v5(&NAMESPACE, name.as_bytes()).as_u64_pair();
    (high >> 1).max(1)
}

/// The id of a command: a function of where it comes from, of version 7, with the time of what it reacts to.
pub(super) fn command_id(
    (manager, instance): (&str, &str),
    source: Source<'_>,
    (generation, index): (u32, usize),
    time: OffsetDateTime,
) -> CommandId {
    let name = format!("{manager}\0{instance}\0{source}\0{generation}\0{index}");
    let hash = Uuid::new_v5(&NAMESPACE, name.as_bytes()).into_bytes();
    let mut random = [0; 10];
    random.copy_from_slice(&hash[..10]);
    let millis = u64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    let id = uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid();
    CommandId::from_uuid(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_id_follows_from_where_the_command_comes_from() {
        let time = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(1_700_000_000_123);
        let event = Source::Event {
            id: Uuid::from_u128(7),
            part: 0,
        };
        let timer = Source::Timer {
            key: "k",
            generation: 1,
        };
        let ids = [
            command_id(("m", "i"), event, (0, 0), time),
            command_id(("m", "i"), event, (0, 1), time),
            command_id(("m", "i"), event, (1, 0), time),
            command_id(("m", "j"), event, (0, 0), time),
            command_id(("n", "i"), event, (0, 0), time),
            command_id(("m", "i"), timer, (0, 0), time),
        ];
        let generations = [
            timer_generation(event, 0, 0),
            timer_generation(event, 0, 1),
            timer_generation(event, 1, 0),
            timer_generation(timer, 0, 0),
        ];
        let distinct: std::collections::HashSet<_> = generations.into_iter().collect();
        assert_eq!(distinct.len(), generations.len());
        assert_eq!(generations[0], timer_generation(event, 0, 0));
        let distinct: std::collections::HashSet<_> = ids.into_iter().collect();
        assert_eq!(distinct.len(), ids.len());
        assert_eq!(ids[0], command_id(("m", "i"), event, (0, 0), time));
        assert_eq!(ids[0].unix_millis(), Some(1_700_000_000_123));
    }
}
