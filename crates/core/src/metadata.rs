//! What is stored beside an event's payload.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;

/// What is known about an event beyond its payload and ids; stored as JSON.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Metadata {
    /// Who gave the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// On whose behalf, in a system with many tenants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// When it happened in the world, where that differs from when it was recorded.
    #[serde(
        default,
        with = "time::serde::rfc3339::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub occurred_at: Option<OffsetDateTime>,
    /// The command that produced the event, where its caller named the command id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<CommandMark>,
    /// Whatever else the caller stored.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub custom: Map<String, Value>,
}

impl Metadata {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What recognises a command when its id comes again: stored with the first event it produced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CommandMark {
    /// The command's name.
    pub name: String,
    /// The command's schema version.
    pub version: u32,
    /// A digest of the command's content; compared only at equal schema versions.
    pub fingerprint: String,
}

impl CommandMark {
    /// The mark of a command.
    pub fn new(name: impl Into<String>, version: u32, fingerprint: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version,
            fingerprint: fingerprint.into(),
        }
    }

    /// Whether `other` can be the same command: always, where the schema versions differ.
    pub fn matches(&self, other: &Self) -> bool {
        self.name == other.name
            && (self.version != other.version || self.fingerprint == other.fingerprint)
    }
}
