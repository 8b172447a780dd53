//! What the payload column is.

use std::fmt;
use std::str::FromStr;

use crate::batch::ElementType;

/// The type of the column that holds the payloads, chosen when a store is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Payload {
    /// `json`: the text as it was written, checked to be JSON.
    #[default]
    Json,
    /// `jsonb`: JSON that is taken apart, which changes the order of keys and is slower.
    Jsonb,
    /// `bytea`: bytes, for any codec.
    Bytea,
}

impl Payload {
    /// The name of the type in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Jsonb => "jsonb",
            Self::Bytea => "bytea",
        }
    }
}

impl Payload {
    pub(crate) fn element_type(self) -> ElementType {
        match self {
            Self::Json => ElementType::JSON,
            Self::Jsonb => ElementType::JSONB,
            Self::Bytea => ElementType::BYTEA,
        }
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Payload {
    type Err = UnknownPayload;

    fn from_str(name: &str) -> Result<Self, UnknownPayload> {
        [Self::Json, Self::Jsonb, Self::Bytea]
            .into_iter()
            .find(|payload| payload.name() == name)
            .ok_or(UnknownPayload)
    }
}

/// The name is not one of `json`, `jsonb` and `bytea`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a payload is `json`, `jsonb` or `bytea`")]
pub struct UnknownPayload;
