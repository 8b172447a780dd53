//! How payloads become bytes.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::BoxError;

/// How a store's payloads become bytes: JSON, or a format of the user's.
///
/// A store records the codec's name and refuses to be opened with another one.
#[derive(Clone, Default)]
pub enum Codec {
    /// JSON text.
    #[default]
    Json,
    /// Another format.
    Custom(Arc<dyn Format>),
}

/// A payload format of the user's.
///
/// Encoding and decoding have to be each other's inverse. Upcasters work on JSON values, so under
/// them a format has to be self-describing (CBOR or MessagePack, not bincode).
pub trait Format: Send + Sync + 'static {
    /// The name that a store records.
    fn name(&self) -> &str;

    /// Writes a value.
    ///
    /// # Errors
    /// Whatever the format cannot express.
    fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, BoxError>;

    /// Reads a value: hands a deserialiser over `bytes` to `read`, once.
    ///
    /// # Errors
    /// Whatever is malformed, and what `read` returns.
    fn decode(&self, bytes: &[u8], read: &mut ReadValue<'_>) -> Result<(), BoxError>;
}

/// Takes the value out of a deserialiser.
pub type ReadValue<'a> =
    dyn FnMut(&mut dyn erased_serde::Deserializer<'_>) -> Result<(), erased_serde::Error> + 'a;

impl Codec {
    /// A format of the user's.
    pub fn custom(format: impl Format) -> Self {
        Self::Custom(Arc::new(format))
    }

    /// The name that a store records: `json`, or the format's own.
    pub fn name(&self) -> &str {
        match self {
            Self::Json => "json",
            Self::Custom(format) => format.name(),
        }
    }

    /// Whether payloads are JSON text.
    pub fn is_json(&self) -> bool {
        matches!(self, Self::Json)
    }

    /// Writes a value.
    ///
    /// # Errors
    /// What the format cannot express, such as a map with keys that are no text in JSON.
    pub fn encode<T: Serialize>(&self, value: &T) -> Result<Bytes, CodecError> {
        let bytes = match self {
            Self::Json => serde_json::to_vec(value).map_err(CodecError::encode)?,
            Self::Custom(format) => format.encode(value).map_err(CodecError::encode)?,
        };
        Ok(bytes.into())
    }

    /// Reads a value.
    ///
    /// # Errors
    /// What is malformed, or of another shape than `T`.
    pub fn decode<T: DeserializeOwned>(&self, bytes: &[u8]) -> Result<T, CodecError> {
        match self {
            Self::Json => serde_json::from_slice(bytes).map_err(CodecError::decode),
            Self::Custom(format) => decode_custom(&**format, bytes),
        }
    }
}

fn decode_custom<T: DeserializeOwned>(format: &dyn Format, bytes: &[u8]) -> Result<T, CodecError> {
    let mut value = None;
    let mut read = |deserializer: &mut dyn erased_serde::Deserializer<'_>| {
        value = Some(erased_serde::deserialize(deserializer)?);
        Ok(())
    };
    format
        .decode(bytes, &mut read)
        .map_err(CodecError::decode)?;
    value.ok_or_else(|| CodecError::decode("the format handed over no value"))
}

impl fmt::Debug for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Codec({})", self.name())
    }
}

/// A value that could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The format cannot express the value.
    #[error("the value cannot be encoded: {source}")]
    Encode {
        /// What the format says.
        source: BoxError,
    },
    /// The bytes are not such a value.
    #[error("the value cannot be decoded: {source}")]
    Decode {
        /// What the format says.
        source: BoxError,
    },
}

impl CodecError {
    pub(crate) fn encode(source: impl Into<BoxError>) -> Self {
        Self::Encode {
            source: source.into(),
        }
    }

    pub(crate) fn decode(source: impl Into<BoxError>) -> Self {
        Self::Decode {
            source: source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Deposited {
        amount: u64,
    }

    struct Shouted;

    impl Format for Shouted {
        fn name(&self) -> &str {
            "shouted-json"
        }

        fn encode(&self, value: &dyn erased_serde::Serialize) -> Result<Vec<u8>, BoxError> {
            Ok(serde_json::to_string(value)?.to_uppercase().into_bytes())
        }

        fn decode(&self, bytes: &[u8], read: &mut ReadValue<'_>) -> Result<(), BoxError> {
            let text = String::from_utf8_lossy(bytes).to_lowercase();
            let mut json = serde_json::Deserializer::from_str(&text);
            Ok(read(&mut <dyn erased_serde::Deserializer<'_>>::erase(
                &mut json,
            ))?)
        }
    }

    #[test]
    fn a_custom_format_round_trips() {
        let codec = Codec::custom(Shouted);
        let bytes = codec.encode(&Deposited { amount: 3 }).unwrap();
        assert_eq!(&bytes[..], br#"{"AMOUNT":3}"#);
        assert_eq!(
            codec.decode::<Deposited>(&bytes).unwrap(),
            Deposited { amount: 3 }
        );
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        assert!(matches!(
            Codec::Json.decode::<Deposited>(br#"{"amount":"x"}"#),
            Err(CodecError::Decode { .. })
        ));
        assert!(Codec::custom(Shouted).decode::<Deposited>(b"{").is_err());
    }
}
