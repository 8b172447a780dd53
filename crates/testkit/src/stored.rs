//! Events as a store would give them back, and as text.

use std::fmt;

use ordain::{Codec, EventSet, RawData, RawEvent};
use serde_json::{Value, json};

/// The stored names of events.
pub(crate) struct Names<'a, E>(pub(crate) &'a [E]);

impl<E: EventSet> fmt::Display for Names<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|event| event.event_type().name))
            .finish()
    }
}

/// The events as a store would give them back.
#[track_caller]
pub(crate) fn stored<E: EventSet>(events: Vec<E>) -> Vec<E> {
    match try_stored(events) {
        Ok(events) => events,
        Err(problem) => panic!("{problem}"),
    }
}

/// The same; an error says what is lost.
pub(crate) fn try_stored<E: EventSet>(events: Vec<E>) -> Result<Vec<E>, String> {
    events.iter().map(through_the_codec).collect()
}

/// One event as a store would give it back.
pub(crate) fn through_the_codec<E: EventSet>(event: &E) -> Result<E, String> {
    let event_type = event.event_type();
    let name = event_type.name;
    let data = event
        .encode(&Codec::Json)
        .map_err(|error| format!("the event `{name}` cannot be stored: {error}"))?;
    let raw = RawEvent {
        event_type: name,
        schema_version: event_type.version,
        data: RawData::Stored(&data, &Codec::Json),
    };
    let text = || String::from_utf8_lossy(&data).into_owned();
    let read = E::decode(&raw)
        .ok_or_else(|| {
            format!("the event `{name}` is stored under a name that its set does not know")
        })?
        .map_err(|error| {
            format!(
                "the event `{name}` cannot be read back: {error}; stored was {}",
                text()
            )
        })?;
    let again = read.encode(&Codec::Json).ok();
    if again.as_ref() != Some(&data) && !same_json(again.as_deref(), &data) {
        let again = again.map(|again| String::from_utf8_lossy(&again).into_owned());
        return Err(format!(
            "the event `{name}` changes when it is stored and read back: stored was {}, read was {}",
            text(),
            again.unwrap_or_default()
        ));
    }
    Ok(read)
}

/// Whether both are the same JSON; the order of a `HashMap` may differ.
fn same_json(left: Option<&[u8]>, right: &[u8]) -> bool {
    let parse = |json| serde_json::from_slice::<Value>(json).ok();
    left.is_some_and(|left| parse(left) == parse(right))
}

/// The events as JSON, each under its name.
pub(crate) fn json_of<E: EventSet>(events: &[E]) -> Vec<Value> {
    let json = |event: &E| {
        let data = event.encode(&Codec::Json).unwrap_or_default();
        let data: Value = serde_json::from_slice(&data).unwrap_or_default();
        json!({ event.event_type().name: data })
    };
    events.iter().map(json).collect()
}

/// What a difference is made of.
pub(crate) fn pretty(events: &[Value]) -> String {
    let text = serde_json::to_string_pretty(events).unwrap_or_default();
    text + "\n"
}
