//! Where an event stands: in its stream, and in the whole log.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Wraps a number.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The number for a 64-bit signed column: what does not fit becomes the largest.
            pub const fn to_i64(self) -> i64 {
                if self.0 > i64::MAX as u64 { i64::MAX } else { self.0 as i64 }
            }

            /// The next one; the largest has no next and stays.
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }

            /// This one and `count` more; stops at the largest.
            pub const fn plus(self, count: u64) -> Self {
                Self(self.0.saturating_add(count))
            }
        }

        impl From<u64> for $name {
            fn from(number: u64) -> Self {
                Self(number)
            }
        }

        impl From<$name> for u64 {
            fn from(number: $name) -> Self {
                number.0
            }
        }

        impl PartialEq<u64> for $name {
            fn eq(&self, other: &u64) -> bool {
                self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

number! {
    /// The number of entries of a stream: events, tombstones, links.
    ///
    /// The first entry is version 1; a stream that does not exist is at [`StreamVersion::NONE`].
    StreamVersion
}

number! {
    /// A place in the log of all events: dense, and in the order of commits.
    ///
    /// The first is 1; [`GlobalPosition::ORIGIN`] lies before it.
    GlobalPosition
}

impl StreamVersion {
    /// The version of a stream that does not exist.
    pub const NONE: Self = Self(0);

    /// The version of a stream's first entry.
    pub const FIRST: Self = Self(1);
}

impl GlobalPosition {
    /// Before the first event.
    pub const ORIGIN: Self = Self(0);

    /// After every event.
    pub const END: Self = Self(u64::MAX);
}

/// What a stream must look like for an append to be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExpectedVersion {
    /// Anything.
    Any,
    /// It has never had an entry.
    NoStream,
    /// It exists and is not deleted.
    StreamExists,
    /// It has exactly this version; 0 means the same as `NoStream`.
    Exact(StreamVersion),
}

impl ExpectedVersion {
    /// Exactly this version.
    pub fn exact(version: impl Into<StreamVersion>) -> Self {
        Self::Exact(version.into())
    }

    /// Whether a stream at `actual` meets the expectation.
    pub fn accepts(self, actual: StreamVersion) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual == StreamVersion::NONE,
            Self::StreamExists => actual > StreamVersion::NONE,
            Self::Exact(version) => actual == version,
        }
    }
}

impl fmt::Display for ExpectedVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any version"),
            Self::NoStream => f.write_str("no stream"),
            Self::StreamExists => f.write_str("an existing stream"),
            Self::Exact(version) => write!(f, "version {version}"),
        }
    }
}
