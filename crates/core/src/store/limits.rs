//! What every store refuses before it looks at what it holds.

use std::collections::HashSet;

use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Append, NewLinks, Refusal, StoreError};
use crate::{Codec, CodecError, Metadata, NewEvent};

/// The bounds of a single request. They are the same in all stores, so that events can move.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The largest payload, in bytes; 16 MiB unless told.
    pub payload_bytes_max: usize,
    /// The largest metadata, in bytes of JSON; 64 KiB unless told.
    pub metadata_bytes_max: usize,
    /// The most events in one append; 65,536 unless told.
    pub events_max: usize,
    /// The largest sum of the payloads of one append, in bytes; 256 MiB unless told.
    pub append_bytes_max: usize,
}

impl Limits {
    /// The longest name of an event type, in bytes.
    pub const EVENT_TYPE_LEN_MAX: usize = 256;

    /// The bounds of a store: what one append may hold.
    pub fn new(payload_bytes_max: usize, metadata_bytes_max: usize, events_max: usize) -> Self {
        Self {
            payload_bytes_max,
            metadata_bytes_max,
            events_max,
            append_bytes_max: 256 << 20,
        }
    }

    /// Whether the append is usable.
    ///
    /// # Errors
    /// [`StoreError::Refused`] or [`StoreError::DuplicateEvent`].
    pub fn check(&self, append: &Append, codec: &Codec) -> Result<(), StoreError> {
        self.check_shape(append)?;
        let events = append.writes.iter().flat_map(|write| &write.events);
        self.check_sum(events.clone().map(|event| event.data.len()).sum())?;
        events
            .clone()
            .try_for_each(|event| self.check_event(event, codec))?;
        check_distinct(events.map(|event| event.event_id))
    }

    /// Whether the links are usable.
    ///
    /// # Errors
    /// [`StoreError::Refused`] or [`StoreError::DuplicateEvent`].
    pub fn check_links(&self, links: &NewLinks) -> Result<(), StoreError> {
        self.check_count(links.targets.len(), &links.stream)?;
        check_distinct(links.targets.iter().copied())
    }

    fn check_shape(&self, append: &Append) -> Result<(), StoreError> {
        match append.writes.as_slice() {
            [] => return Err(Refusal::NoStreams.into()),
            [_] => {}
            several => check_streams(several.iter().map(|write| &write.stream))?,
        }
        for write in &append.writes {
            self.check_count(write.events.len(), &write.stream)?;
        }
        let count = append.writes.iter().map(|write| write.events.len()).sum();
        self.check_total(count)
    }

    fn check_count(&self, count: usize, stream: &crate::StreamId) -> Result<(), StoreError> {
        if count == 0 {
            return Err(Refusal::NoEvents {
                stream: stream.clone(),
            }
            .into());
        }
        self.check_total(count)
    }

    fn check_total(&self, count: usize) -> Result<(), StoreError> {
        if count > self.events_max {
            return Err(Refusal::TooManyEvents {
                count,
                max: self.events_max,
            }
            .into());
        }
        Ok(())
    }

    fn check_sum(&self, len: usize) -> Result<(), Refusal> {
        let max = self.append_bytes_max;
        if len > max {
            return Err(Refusal::AppendTooLarge { len, max });
        }
        Ok(())
    }

    fn check_event(&self, event: &NewEvent, codec: &Codec) -> Result<(), Refusal> {
        check_event_type(&event.event_type)?;
        if event.schema_version == 0 || event.schema_version > i32::MAX as u32 {
            let (event_type, version) =
                (event.event_type.clone().into_owned(), event.schema_version);
            return Err(Refusal::SchemaVersion {
                event_type,
                version,
            });
        }
        self.check_payload(event, codec)?;
        self.check_metadata(event)
    }

    fn check_payload(&self, event: &NewEvent, codec: &Codec) -> Result<(), Refusal> {
        check_size("payload", event, event.data.len(), self.payload_bytes_max)?;
        if !codec.is_json() {
            return Ok(());
        }
        if holds_escaped_nul(&event.data) {
            return Err(nul("payload", event));
        }
        check_json(&event.data).map_err(|source| Refusal::NotJson {
            event_type: event.event_type.clone().into_owned(),
            source,
        })
    }

    fn check_metadata(&self, event: &NewEvent) -> Result<(), Refusal> {
        if metadata_holds_nul(&event.metadata) {
            return Err(nul("metadata", event));
        }
        if event.metadata.custom.is_empty() {
            let texts = [&event.metadata.actor, &event.metadata.tenant];
            let len = texts.into_iter().flatten().map(String::len).sum();
            return check_size("metadata", event, len, self.metadata_bytes_max);
        }
        let len = serde_json::to_vec(&*event.metadata).map_or(usize::MAX, |json| json.len());
        check_size("metadata", event, len, self.metadata_bytes_max)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::new(16 << 20, 64 << 10, 65_536)
    }
}

fn check_streams<'a>(streams: impl Iterator<Item = &'a crate::StreamId>) -> Result<(), Refusal> {
    let mut seen = HashSet::new();
    for stream in streams {
        if !seen.insert(stream) {
            return Err(Refusal::StreamTwice {
                stream: stream.clone(),
            });
        }
    }
    Ok(())
}

fn check_distinct(ids: impl Iterator<Item = crate::EventId> + Clone) -> Result<(), StoreError> {
    if ids.clone().nth(1).is_none() {
        return Ok(());
    }
    let mut seen = HashSet::new();
    for event_id in ids {
        if !seen.insert(event_id) {
            return Err(StoreError::DuplicateEvent { event_id });
        }
    }
    Ok(())
}

fn check_event_type(event_type: &str) -> Result<(), Refusal> {
    let usable = !event_type.trim().is_empty()
        && event_type.len() <= Limits::EVENT_TYPE_LEN_MAX
        && !event_type.starts_with('$')
        && !event_type.contains('\0');
    if usable {
        return Ok(());
    }
    let shortened = event_type.chars().take(60).collect();
    Err(Refusal::EventType {
        event_type: shortened,
        max: Limits::EVENT_TYPE_LEN_MAX,
    })
}

fn check_size(part: &'static str, event: &NewEvent, len: usize, max: usize) -> Result<(), Refusal> {
    if len <= max {
        return Ok(());
    }
    Err(Refusal::TooLarge {
        part,
        event_type: event.event_type.clone().into_owned(),
        len,
        max,
    })
}

fn check_json(data: &[u8]) -> Result<(), CodecError> {
    let text = std::str::from_utf8(data).map_err(CodecError::decode)?;
    serde_json::from_str::<IgnoredAny>(text).map_err(CodecError::decode)?;
    Ok(())
}

fn nul(part: &'static str, event: &NewEvent) -> Refusal {
    Refusal::Nul {
        part,
        event_type: event.event_type.clone().into_owned(),
    }
}

/// Whether JSON text holds the escape of NUL; a backslash before it makes it six plain characters.
fn holds_escaped_nul(json: &[u8]) -> bool {
    const ESCAPE: &[u8] = b"\\u0000";
    let mut from = 0;
    while let Some(found) = find(&json[from..], ESCAPE) {
        let at = from + found;
        let backslashes = json[..at]
            .iter()
            .rev()
            .take_while(|byte| **byte == b'\\')
            .count();
        if backslashes % 2 == 0 {
            return true;
        }
        from = at + 1;
    }
    false
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

fn metadata_holds_nul(metadata: &Metadata) -> bool {
    let texts = [&metadata.actor, &metadata.tenant];
    texts.into_iter().flatten().any(|text| text.contains('\0'))
        || metadata
            .custom
            .iter()
            .any(|(key, value)| key.contains('\0') || value_holds_nul(value))
}

fn value_holds_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(value_holds_nul),
        Value::Object(map) => map
            .iter()
            .any(|(key, value)| key.contains('\0') || value_holds_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_nul_is_told_from_an_escaped_backslash() {
        assert!(holds_escaped_nul(br#"{"a":"\u0000"}"#));
        assert!(holds_escaped_nul(br#"{"a":"\\\u0000"}"#));
        assert!(!holds_escaped_nul(br#"{"a":"\\u0000"}"#));
        assert!(!holds_escaped_nul(br#"{"a":"u0000"}"#));
    }

    #[test]
    fn payloads_are_also_bounded_together() {
        let limits = Limits {
            append_bytes_max: 5,
            ..Limits::default()
        };
        let append = |payloads: &[&'static str]| {
            let events = payloads.iter().map(|data| NewEvent::new("a", *data));
            let stream = "a-1".parse().unwrap();
            Append::new(stream, crate::ExpectedVersion::Any, events.collect())
        };
        limits.check(&append(&["123", "45"]), &Codec::Json).unwrap();
        let refused = limits.check(&append(&["123", "456"]), &Codec::Json);
        assert!(refused.unwrap_err().is_refused());
    }
}
