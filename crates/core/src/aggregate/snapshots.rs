//! How an aggregate's state is kept.

use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Codec, CodecError};

/// How often, and as what, an aggregate's state is kept.
///
/// A snapshot only saves reading: one that is missing, unreadable or of another version is ignored.
pub struct Snapshots<A> {
    every: u64,
    version: u32,
    encode: fn(&A, &Codec) -> Result<Bytes, CodecError>,
    decode: fn(&[u8], &Codec) -> Result<A, CodecError>,
}

impl<A: Serialize + DeserializeOwned> Snapshots<A> {
    /// A snapshot after every `every` events; 0 counts as 1.
    pub const fn every(every: u64) -> Self {
        Self {
            every: if every == 0 { 1 } else { every },
            version: 1,
            encode: |state, codec| codec.encode(state),
            decode: |bytes, codec| codec.decode(bytes),
        }
    }

    /// The version of the state's shape, from 1: snapshots of another version are ignored.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }
}

impl<A> Snapshots<A> {
    /// After how many events one is due.
    pub fn interval(&self) -> u64 {
        self.every
    }

    /// The version of the state's shape.
    pub fn schema_version(&self) -> u32 {
        self.version
    }

    /// Writes a state.
    ///
    /// # Errors
    /// What the codec cannot express.
    pub fn encode(&self, state: &A, codec: &Codec) -> Result<Bytes, CodecError> {
        (self.encode)(state, codec)
    }

    /// Reads a state.
    ///
    /// # Errors
    /// What is not such a state.
    pub fn decode(&self, bytes: &[u8], codec: &Codec) -> Result<A, CodecError> {
        (self.decode)(bytes, codec)
    }
}

impl<A> fmt::Debug for Snapshots<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshots")
            .field("every", &self.every)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
